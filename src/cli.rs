//! The command line. What a command does stands elsewhere; this only says how it is asked for.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Remote patient monitoring ingest: MQTT vitals in, alarms out over gRPC, every reading kept once.
///
/// Pulseward is a distributed information system, not a medical device and not a risk control:
/// nobody's safety may depend on an alert that it shows.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until it is asked to end (SIGTERM or ctrl-c).
    Serve {
        /// The configuration, a TOML file; docs/pulseward.toml shows every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Go on where rows are missing in the database for good. Needed once, after the database
        /// was restored from a backup older than what the journal still has, or was replaced by an
        /// empty one, or by one of an earlier data directory: the service then brings registry, open
        /// alerts and devices' numbers in the database up to what it knows, notes in the table `gaps`
        /// what is missing, and goes on with the oldest entry that it has. A database of other
        /// patients is refused, and so is one that is ahead of the data directory.
        #[arg(long)]
        accept_gap: bool,
    },
    /// Rebuild a lost data directory from the database; tells what it would do, unless --yes.
    Restore(crate::restore::Options),
    /// Show the whole house in one process: broker, service and a simulated ward.
    #[cfg(feature = "demo")]
    Demo(crate::demo::Options),
    /// Print the configuration in force, without secrets, or everything that is wrong with it.
    CheckConfig {
        /// The configuration.
        file: PathBuf,
    },
    /// Show the live ward: alerts, vitals, and keys to answer; lines where there is no terminal.
    Watch(crate::watch::Options),
    /// Enroll patients and their devices from a CSV file, over gRPC.
    Enroll(crate::enroll::Options),
    /// Check alarm profiles, show the default one, or put one in force.
    #[command(subcommand)]
    Profile(crate::profile_admin::Task),
    /// List refused messages, or send them through the intake again.
    #[command(subcommand)]
    Rejected(crate::rejected_admin::Task),
    /// Write everything held about a patient as JSON Lines.
    Export(crate::export::Options),
    /// Erase a patient: delete everything held about them, for good.
    Erase(crate::erase::Options),
    /// Verify the record of who did and read what.
    #[command(subcommand)]
    Audit(crate::audit_admin::Task),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serve_needs_its_configuration() {
        let serve = |arguments: &[&str]| Arguments::try_parse_from(arguments);
        assert!(serve(&["pulseward", "serve"]).is_err());
        assert!(serve(&["pulseward", "serve", "--config", "x.toml"]).is_ok());
    }

    #[test]
    fn a_restore_says_what_from_and_changes_nothing_unless_told_so() {
        let restore = |options: &[&str]| {
            let arguments = ["pulseward", "restore", "--config", "x.toml"].iter().chain(options);
            match Arguments::try_parse_from(arguments).map(|it| it.command) {
                Ok(Command::Restore(options)) => Some(options.yes),
                _ => None,
            }
        };
        assert_eq!(restore(&[]), None);
        assert_eq!(restore(&["--from-store"]), Some(false));
        assert_eq!(restore(&["--from-store", "--yes"]), Some(true));
    }

    #[test]
    fn sites_are_created_only_in_a_time_zone() {
        let enroll = |options: &[&str]| {
            let arguments = ["pulseward", "enroll", "ward.csv"].iter().chain(options);
            Arguments::try_parse_from(arguments).is_ok()
        };
        assert!(enroll(&[]) && enroll(&["--create-sites", "--time-zone", "Europe/Berlin"]));
        assert!(!enroll(&["--create-sites"]) && !enroll(&["--time-zone", "Europe/Berlin"]));
        assert!(enroll(&["--measures", "heart_rate=1s,spo2=5s", "--upload-interval", "1min"]));
        assert!(!enroll(&["--measures", "heart_rate"]));
    }

    #[test]
    fn one_patient_is_erased_or_a_list_of_them_and_a_list_only_with_yes() {
        let erase = |options: &[&str]| {
            let arguments = ["pulseward", "erase"].iter().chain(options);
            Arguments::try_parse_from(arguments).is_ok()
        };
        assert!(erase(&["--patient", "p-1"]) && erase(&["--patient", "p-1", "--yes"]));
        assert!(erase(&["--from", "erased.csv", "--yes"]) && erase(&["--wait-for", "7"]));
        assert!(erase(&["--patient", "p-1", "--dry-run", "--config", "x.toml"]));
        assert!(!erase(&[]) && !erase(&["--from", "erased.csv"]) && !erase(&["--patient", "a b"]));
        assert!(!erase(&["--patient", "p-1", "--from", "erased.csv", "--yes"]));
        assert!(!erase(&["--patient", "p-1", "--dry-run"]));
        assert!(!erase(&["--patient", "p-1", "--yes", "--dry-run", "--config", "x.toml"]));
    }

    #[test]
    fn any_number_of_sites_and_patients_is_watched() {
        let watched = |options: &[&str]| {
            let arguments = ["pulseward", "watch"].iter().chain(options);
            match Arguments::try_parse_from(arguments).map(|it| it.command) {
                Ok(Command::Watch(options)) => Some((options.sites.len(), options.patients.len())),
                _ => None,
            }
        };
        assert_eq!(watched(&[]), Some((0, 0)));
        assert_eq!(watched(&["--site", "north", "--site", "south", "--plain"]), Some((2, 0)));
        assert_eq!(watched(&["--patient", "p-1", "--token-file", "token"]), Some((0, 1)));
        assert_eq!(watched(&["--site", "a/b"]), None);
    }

    #[test]
    fn an_audit_is_verified_against_as_many_heads_as_are_given() {
        let verify = |options: &[&str]| {
            let arguments = ["pulseward", "audit", "verify"].iter().chain(options);
            Arguments::try_parse_from(arguments).is_ok()
        };
        let head = format!("0:42:{}", "ab".repeat(32));
        assert!(verify(&["--config", "x.toml"]));
        assert!(verify(&["--config", "x.toml", "--head", &head, "--head", &head]));
        assert!(!verify(&[]) && !verify(&["--config", "x.toml", "--head", "42"]));
    }

    #[test]
    fn a_profile_is_put_for_exactly_one_owner() {
        let put = |owner: &[&str]| {
            let arguments = ["pulseward", "profile", "put", "x.toml"].iter().chain(owner);
            Arguments::try_parse_from(arguments).is_ok()
        };
        assert!(put(&["--everyone"]) && put(&["--site", "north"]) && put(&["--patient", "p-1"]));
        assert!(!put(&[]) && !put(&["--everyone", "--site", "north"]) && !put(&["--site", "a/b"]));
    }
}
