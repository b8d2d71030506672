//! `pulseward erase`: erases patients, over gRPC, and waits until nothing of theirs is left in the
//! database.
//!
//! Nobody is erased by a slip: the id must be typed again, or `--yes` said where nobody can be
//! asked. What was erased is printed on the standard output as lines of `patient_id,erased_at`, to
//! be kept with the backups: applied with `--from` to a service that was put back from before, they
//! erase the same patients again, and nobody who was added under such an id since.
//!
//! An erasure goes on in the service, whether or not anybody waits for it.

mod list;

use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};
use tonic::{Code, Status};

pub use self::list::ListError;
use self::list::Listed;
use crate::clock::Timestamp;
use crate::grpc_client::{self, Connection, Service};
use crate::proto::v1;
use crate::proto::v1::registry_service_client::RegistryServiceClient;
use crate::repeat;
use crate::vitals::PatientId;

/// The service itself ends a call after 30 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);
/// How often it is asked how far an erasure is.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// Who is erased.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whom").required(true)))]
pub struct Options {
    /// The patient.
    #[arg(long, value_name = "ID", group = "whom")]
    pub patient: Option<PatientId>,
    /// A CSV file with columns patient_id and erased_at: erased again, where they were put back.
    #[arg(long, value_name = "FILE", group = "whom", requires = "yes")]
    pub from: Option<PathBuf>,
    /// Only wait for an erasure that was begun before, by the number that it was given.
    #[arg(long, value_name = "NUMBER", group = "whom", conflicts_with_all = ["yes", "dry_run"])]
    pub wait_for: Option<u32>,
    /// The service.
    #[command(flatten)]
    pub service: Service,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// Only count what would be deleted, in the database of --config.
    #[arg(long, requires_all = ["patient", "config"], conflicts_with = "yes")]
    pub dry_run: bool,
    /// The service's configuration, for --dry-run.
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pub config: Option<PathBuf>,
    /// Don't wait until nothing is left in the database.
    #[arg(long)]
    pub no_wait: bool,
}

/// Why somebody was not erased, or it is not known how far that is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service can't be reached.
    #[error(transparent)]
    Connect(#[from] grpc_client::NotConnected),
    /// The service refused.
    #[error("{action}: {} ({:?})", .status.message(), .status.code())]
    Refused {
        /// What was asked.
        action: String,
        /// What it answered.
        status: Box<Status>,
    },
    /// The file of erasures is wrong.
    #[error("reading {}", .path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: ListError,
    },
    /// Nobody is there to be asked.
    #[error(
        "nobody to ask whether {patient} is to be erased: say --yes where there is no terminal"
    )]
    NobodyToAsk {
        /// Who was to be erased.
        patient: PatientId,
    },
    /// What was typed is not the patient's id.
    #[error("{patient} was not erased: what was typed is another id")]
    NotConfirmed {
        /// Who was to be erased.
        patient: PatientId,
    },
    /// Nobody takes what is printed.
    #[error("printing")]
    Print(#[from] io::Error),
}

/// What became of those who were to be erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Erased now.
    pub erased: usize,
    /// Not there, or another patient by now; only of a list.
    pub passed_over: usize,
}

/// Erases who is to be erased, and waits. Prints a line for each to `out`; what is for people goes
/// to stderr.
///
/// Not cancel safe: a patient whose answer was not awaited may have been erased.
///
/// # Errors
/// [`Error`]. Who was told by then is erased.
pub async fn run(options: &Options, out: &mut impl Write) -> Result<Summary, Error> {
    let mut desk = Desk::connect(&options.service, !options.no_wait).await?;
    if let Some(number) = options.wait_for {
        desk.wait(number).await?;
        return Ok(Summary::default());
    }
    let mut summary = Summary::default();
    if let Some(path) = &options.from {
        let listed =
            list::read(path).map_err(|source| Error::List { path: path.clone(), source })?;
        for Listed { patient, erased_at } in listed {
            match desk.erase(&patient, Some(erased_at)).await {
                Ok(erasure) => desk.told(&patient, &erasure, &mut summary, out).await?,
                Err(Error::Refused { status, .. }) if is_passed_over(&status) => {
                    eprintln!("{patient}: {}", status.message());
                    summary.passed_over += 1;
                }
                Err(error) => return Err(error),
            }
        }
    } else if let Some(patient) = &options.patient {
        if !options.yes {
            confirm(patient)?;
        }
        let erasure = desk.erase(patient, None).await?;
        desk.told(patient, &erasure, &mut summary, out).await?;
    }
    eprintln!("{AFTERWARDS}");
    Ok(summary)
}

/// What erasing does not reach, and what to do about it.
const AFTERWARDS: &str = "\
What arrived stays in the journal until it is a day old and stored and in a checkpoint, and longer \
while the database is behind. Backups from before now hold the patient until they are deleted; keep \
the line above with them, and run `pulseward erase --from FILE --yes` after one was put back. \
docs/erasure.md tells more.";

fn confirm(patient: &PatientId) -> Result<(), Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::NobodyToAsk { patient: patient.clone() });
    }
    eprint!("Everything held about {patient} will be deleted for good. Type the id to go on: ");
    io::stderr().flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == patient.as_str() {
        Ok(())
    } else {
        Err(Error::NotConfirmed { patient: patient.clone() })
    }
}

/// Not there (any more), or there only since: nothing to do for a list.
fn is_passed_over(status: &Status) -> bool {
    matches!(status.code(), Code::NotFound | Code::FailedPrecondition)
}

/// The service, as erasing sees it.
struct Desk {
    registry: RegistryServiceClient<Connection>,
    is_awaited: bool,
}

impl Desk {
    async fn connect(service: &Service, is_awaited: bool) -> Result<Self, Error> {
        let connection = service.connect(CALL_TIMEOUT).await?;
        Ok(Self { registry: RegistryServiceClient::new(connection), is_awaited })
    }

    async fn erase(
        &mut self,
        patient: &PatientId,
        added_before: Option<Timestamp>,
    ) -> Result<v1::Erasure, Error> {
        let answer = repeat::until_answered(async |request_id| {
            let request = v1::ErasePatientRequest {
                patient_id: patient.to_string(),
                confirm_patient_id: patient.to_string(),
                added_before: added_before.map(crate::grpc::wire_timestamp),
                request_id,
            };
            self.registry.erase_patient(request).await
        })
        .await;
        let answer = answer.map_err(|status| Error::Refused {
            action: format!("erasing {patient}"),
            status: Box::new(status),
        })?;
        Ok(answer.into_inner())
    }

    /// Prints that somebody is erased, before it is waited for what follows.
    async fn told(
        &mut self,
        patient: &PatientId,
        erasure: &v1::Erasure,
        summary: &mut Summary,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        summary.erased += 1;
        let at = erasure.requested_at.and_then(crate::grpc::timestamp).unwrap_or(Timestamp::EPOCH);
        // Just after: whoever is added later is another.
        writeln!(out, "{patient},{}", at.plus(Duration::from_micros(1)))?;
        out.flush()?;
        eprintln!("{patient} is erased, under number {}", erasure.patient_number);
        if self.is_awaited {
            self.wait(erasure.patient_number).await?;
        }
        Ok(())
    }

    /// Waits until the store has nothing left. The database may be away, or behind, for long.
    async fn wait(&mut self, number: u32) -> Result<(), Error> {
        let bar = spinner();
        loop {
            let request = v1::GetErasureRequest { patient_number: number };
            match self.registry.get_erasure(request).await.map(tonic::Response::into_inner) {
                Ok(erasure) if erasure.done_at.is_some() => {
                    bar.finish_and_clear();
                    eprintln!("nothing is left in the database: {}", deleted(&erasure));
                    return Ok(());
                }
                Ok(erasure) => bar.set_message(deleted(&erasure)),
                Err(status) if status.code() == Code::NotFound => {
                    bar.set_message("the database has not heard of it yet");
                }
                Err(status) if status.code() == Code::Unavailable => {
                    bar.set_message(status.message().to_owned());
                }
                Err(status) => {
                    let action = format!("asking how far the erasure of number {number} is");
                    return Err(Error::Refused { action, status: Box::new(status) });
                }
            }
            bar.tick();
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

fn deleted(erasure: &v1::Erasure) -> String {
    format!(
        "{} readings, {} buckets, {} alerts and their {} events, {} refused messages, {} refused \
         rows, and the details of {} audit events deleted",
        erasure.reading_count,
        erasure.bucket_count,
        erasure.alert_count,
        erasure.alert_event_count,
        erasure.rejected_count,
        erasure.refused_row_count,
        erasure.audit_event_count,
    )
}

/// Drawn on stderr, and only on a terminal.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    ProgressBar::new_spinner().with_style(style.expect("the template is fixed"))
}
