//! From the last checkpoint and the entries behind it to the state at the journal's end.
//!
//! Replaying emits nothing: the outputs stand in the journal already. They are compared all the
//! same, so that an engine that decides otherwise than the one that wrote them is noticed; what
//! followers then believe of open alerts is kept beside the state, so that they can be told.

use tracing::{info, warn};

use super::told::Told;
use super::{Error, Guard};
use crate::engine::State;
use crate::engine::alerts::Alert;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::snapshot::{BlobKey, Kind, Restoration};
use crate::journal::{Checkpoint, Entry, Journal};
use crate::position::{MessageId, Position};

/// Entries read from disk at once.
const READ_BYTES_MAX: usize = 4 << 20;

/// The state at the journal's end.
pub struct Recovered {
    /// The engine that led to it, and leads on.
    pub(super) guard: Guard,
    /// The state.
    pub state: State,
    /// The last entry applied to it.
    pub position: Position,
    /// What followers believe of alerts.
    pub(super) told: Told,
    /// How much was replayed: counts towards the next checkpoint.
    pub(super) replayed_bytes: usize,
}

impl Recovered {
    /// The state before the first input.
    pub(super) fn nothing(guard: Guard) -> Self {
        let (state, position, told) = (State::default(), Position::START, Told::default());
        Self { guard, state, position, told, replayed_bytes: 0 }
    }

    /// The alerts that followers believe to be open. Where the state says otherwise, they are told
    /// once the partition runs.
    pub fn open_alerts(&self) -> impl Iterator<Item = &Alert> {
        self.told.open_alerts()
    }
}

/// Restores the checkpoint, if there is one, and replays the journal behind it. Blocking.
///
/// An entry on which the engine panics, though the one that wrote it did not, is set aside by its
/// place: the next start replays it as refused unread. What was set aside as it came says nothing of
/// entries: those of the same content were applied, and are again.
///
/// # Errors
/// [`Error`] if the disk fails, or holds what this service doesn't understand; and if the engine
/// panics, [`Error::Poisoned`] where the next start can go on.
pub fn recover(
    journal: &Journal,
    checkpoint: Option<Checkpoint>,
    guard: Guard,
) -> Result<Recovered, Error> {
    let mut recovered = match checkpoint {
        Some(checkpoint) => restore(checkpoint, guard)?,
        None => Recovered::nothing(guard),
    };
    let restored = recovered.position;
    let (journal_id, partition) = (journal.journal_id(), journal.partition());
    let mut differing = 0_u64;
    while recovered.position < journal.last() {
        for entry in journal.read(recovered.position, READ_BYTES_MAX)? {
            let id = MessageId { journal_id, partition, position: entry.position };
            let outputs = replay(&mut recovered, id, &entry.input)?;
            differing += u64::from(outputs != entry.outputs);
            recovered.told.follow(&entry.outputs);
            recovered.position = entry.position;
            recovered.replayed_bytes += weight(&entry);
        }
    }
    info!(checkpoint = %restored, position = %recovered.position, "state recovered");
    let inputs = recovered.guard.set_aside();
    if inputs > 0 {
        warn!(inputs, "inputs that this version broke down on are set aside");
    }
    if differing > 0 {
        warn!(differing, "this engine decides otherwise than the one that wrote the journal");
    }
    Ok(recovered)
}

/// Applies an entry of the journal; gives what it leads to now.
fn replay(
    recovered: &mut Recovered,
    entry: MessageId,
    input: &Input,
) -> Result<Vec<Output>, Error> {
    let Recovered { guard, state, .. } = recovered;
    let input = guard.screen_entry(entry, input);
    let mut outputs = Vec::new();
    match guard.apply(state, &input, &mut outputs) {
        Ok(_) => Ok(outputs),
        Err(panic) => Err(guard.blame_entry(entry, &input, panic)),
    }
}

/// About how many bytes an entry takes in the journal: what counts towards the next checkpoint.
fn weight(entry: &Entry) -> usize {
    let payload = entry.input.event.payload_bytes();
    std::mem::size_of::<Entry>() + payload + std::mem::size_of_val(&*entry.outputs)
}

fn restore(checkpoint: Checkpoint, guard: Guard) -> Result<Recovered, Error> {
    let mut restoration = Restoration::default();
    for blob in checkpoint.blobs {
        let (key, bytes) = blob?;
        let kind = Kind::from_byte(key.kind).ok_or(Error::UnknownBlob { kind: key.kind })?;
        let id = u32::try_from(key.id).map_err(|_| Error::UnknownBlob { kind: key.kind })?;
        restoration.add(BlobKey { kind, id }, &bytes)?;
    }
    let (state, position) = (restoration.finish(), checkpoint.position);
    let told = Told::of(&state);
    Ok(Recovered { guard, state, position, told, replayed_bytes: 0 })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::{Clock, SystemClock, Timestamp};
    use crate::engine::alerts::{AlertEvent, Phase, Trigger};
    use crate::engine::audit::Origin;
    use crate::engine::input::{
        Action, Command, Event, Poisoned, Principal, Publish, Redrive, Role, Settings, Sites,
    };
    use crate::engine::output::Refusal;
    use crate::journal::{self, Record};
    use crate::partition::told::tests::unknown_alert;
    use crate::partition::{Handle, Partition, Quarantine, Surroundings, handle};
    use crate::position::JournalId;
    use crate::vitals::{PatientId, SiteId};

    fn create(site: &str) -> Command {
        let principal =
            Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
        let action = Action::CreateSite {
            site: SiteId::new(site).unwrap(),
            display_name: String::new(),
            time_zone: "UTC".to_owned(),
        };
        Command {
            principal,
            action,
            origin: Origin { peer: String::new(), salt: [0; 16] },
            request: None,
        }
    }

    /// Opens the journal, runs a partition on it while `work` goes on, and ends it.
    async fn run<F: Future<Output = ()>>(
        dir: &TempDir,
        work: impl FnOnce(Handle, Position) -> F,
    ) -> Position {
        let settings = journal::Settings::new(dir.path().join("journal"));
        let opened = journal::open(&settings).unwrap();
        let guard = Guard::new(Quarantine::open(&settings.dir).unwrap());
        let recovered = recover(&opened.journal, opened.checkpoint, guard).unwrap();
        let position = recovered.position;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (_, stored) = watch::channel(Position::START);
        let surroundings = Surroundings {
            stored,
            backlog: Arc::default(),
            stopping: CancellationToken::new(),
            clock: clock.clone(),
        };
        let (partition, inlets) =
            Partition::new(recovered, opened.writer, Settings::default(), surroundings);
        let running = tokio::spawn(partition.run());
        work(handle(&inlets.commands, clock), position).await;
        drop(inlets);
        running.await.unwrap().unwrap();
        opened.journal.last()
    }

    #[test]
    fn an_entry_weighs_what_it_carries_whoever_sent_it() {
        let payload = bytes::Bytes::from_static(&[0; 5000]);
        let publish = Publish {
            topic: String::new(),
            payload: payload.clone(),
            encoding: None,
            correlation: None,
            retained: false,
        };
        let redrive = Redrive {
            message: MessageId {
                journal_id: JournalId::generate(),
                partition: journal::Settings::new("").partition,
                position: Position::START,
            },
            publish: publish.clone(),
            received_at: Timestamp::EPOCH,
            refused: vec![],
            redrives_stored: 0,
        };
        let patient = PatientId::new("p-1").unwrap();
        let by_hand = Action::RecordReadings { patient, readings: payload };
        let command = |action| Box::new(Command { action, ..create("north") });
        for (event, payload) in [
            (Event::Tick, 0),
            (Event::Publish(publish), 5000),
            (Event::Command(command(Action::Redrive(redrive.clone()))), 5000),
            (Event::Poisoned(Poisoned::Command(command(Action::Redrive(redrive)))), 5000),
            (Event::Command(command(by_hand)), 5000),
        ] {
            let input = Input { received_at: Timestamp::EPOCH, event };
            let entry = Entry { position: Position(1), input, outputs: vec![] };
            assert_eq!(weight(&entry), std::mem::size_of::<Entry>() + payload);
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_restart() {
        let dir = TempDir::new().unwrap();
        let last = run(&dir, |handle, _| async move {
            assert!(handle.submit(create("north")).await.unwrap().is_ok());
        })
        .await;
        run(&dir, |handle, position| async move {
            assert_eq!(position, last, "the last checkpoint leads to the end");
            let again = handle.submit(create("north")).await.unwrap();
            assert!(matches!(again, Err(Refusal::AlreadyExists { .. })), "{again:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn commands_are_answered_while_others_share_their_commit() {
        let dir = TempDir::new().unwrap();
        run(&dir, |handle, _| async move {
            let mut callers = tokio::task::JoinSet::new();
            for number in 0..200 {
                let handle = handle.clone();
                callers.spawn(async move {
                    handle.submit(create(&format!("site-{number}"))).await.unwrap().is_ok()
                });
            }
            assert!(callers.join_all().await.into_iter().all(|done| done));
        })
        .await;
    }

    #[tokio::test]
    async fn alerts_that_another_engine_raised_are_closed_with_their_reason() {
        let dir = TempDir::new().unwrap();
        let settings = journal::Settings::new(dir.path().join("journal"));
        {
            let mut opened = journal::open(&settings).unwrap();
            let input = Input { received_at: SystemClock.now(), event: Event::Tick };
            let outputs = vec![started(unknown_alert())];
            let position = Position::START.next();
            let entry = Arc::new(Entry { position, input, outputs });
            opened.writer.commit(vec![Record::new(entry)]).unwrap();
        }
        let last = run(&dir, |_, _| async {}).await;
        let opened = journal::open(&settings).unwrap();
        let entries = opened.journal.read(Position::START, READ_BYTES_MAX).unwrap();
        assert_eq!(entries.last().map(|entry| entry.position), Some(last));
        let closed: Vec<_> = entries
            .iter()
            .flat_map(|entry| &entry.outputs)
            .filter_map(|output| match output {
                Output::Alert(event) if event.phase == Phase::Close => Some(&**event),
                _ => None,
            })
            .collect();
        let [event] = closed[..] else { panic!("closed once: {closed:?}") };
        assert_eq!(event.alert.id, unknown_alert().id);
        assert_eq!(event.trigger, Trigger::EngineChanged);
        drop(opened);
        let again = run(&dir, |_, _| async {}).await;
        assert_eq!(again.0 - last.0, 2, "only Started and Settings: nothing differs any more");
    }

    fn started(alert: Alert) -> Output {
        let (at, trigger) = (SystemClock.now(), Trigger::Timer);
        let (phase, priority_before, actor, note) = (Phase::Start, None, None, None);
        let event =
            AlertEvent { phase, determined_at: at, trigger, priority_before, actor, note, alert };
        Output::Alert(Box::new(event))
    }
}
