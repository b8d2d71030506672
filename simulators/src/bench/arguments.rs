//! The command line of `pulseward-sim bench`.

use std::path::PathBuf;

use clap::Args;

use super::servers::Programs;
use super::{Part, Settings};

/// What is measured, with which programs.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The service's program, built with --release.
    #[arg(long, value_name = "FILE")]
    pulseward: PathBuf,
    /// The broker's program.
    #[arg(long, value_name = "FILE", default_value = "/usr/sbin/mosquitto")]
    mosquitto: PathBuf,
    /// The directory of postgres, initdb and createdb.
    #[arg(long, value_name = "DIR")]
    postgres_bin: PathBuf,
    /// Small sizes: a look in a minute, no figures.
    #[arg(long)]
    quick: bool,
    /// Only these parts; store and cost are measured with ingest.
    #[arg(long, value_enum, value_name = "NAME", num_args = 1..)]
    only: Vec<Part>,
    /// How often each comparison is made, 1 to 100; by default 5 times, 2 with --quick.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: Option<u8>,
    /// Where the benchmark's own directory is made: the disk under test. By default where temporary
    /// files go.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write what was found to this file, too, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Only measure: a missed target is shown, and does not fail the command.
    #[arg(long)]
    pub no_targets: bool,
}

impl From<&Arguments> for Settings {
    fn from(arguments: &Arguments) -> Self {
        let parts = match arguments.only.as_slice() {
            [] => Part::ALL.to_vec(),
            only => Part::ALL.into_iter().filter(|part| only.contains(part)).collect(),
        };
        Self {
            programs: Programs {
                pulseward: arguments.pulseward.clone(),
                mosquitto: arguments.mosquitto.clone(),
                postgres_bin: arguments.postgres_bin.clone(),
            },
            parts,
            is_quick: arguments.quick,
            rounds: arguments.rounds.map(usize::from),
            directory: arguments.directory.clone().unwrap_or_else(std::env::temp_dir),
        }
    }
}
