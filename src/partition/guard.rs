//! The engine as a partition drives it: a panic ends the run, and not before the input to blame is
//! set aside.
//!
//! What the state holds after a panic is worth nothing: whoever is told of one throws it away. The
//! panic's message may quote a patient's data, so nobody is told more of it than its place in the
//! source.
//!
//! Before an input applies, what time has made due happens. That is done here as an input of its
//! own, which is not journaled: it leads to the same, and a panic of it blames nobody.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::{Error, Quarantine};
use crate::engine::input::{Event, Input, Poisoned};
use crate::engine::output::{Output, Reply};
use crate::engine::{self, State};
use crate::position::MessageId;

/// What takes the state on by one input: [`engine::apply`], but for tests that plant a fault.
pub type Apply = fn(&mut State, &Input, &mut Vec<Output>) -> Option<Reply>;

/// The engine, and what it must not read.
pub struct Guard {
    apply: Apply,
    quarantine: Quarantine,
}

/// The engine panicked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panic {
    during: During,
    /// Where in the source.
    location: String,
}

/// What the engine was about when it panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum During {
    /// What was due before the input.
    Time,
    /// The input itself.
    Input,
}

impl Guard {
    /// The engine of this service.
    #[must_use]
    pub fn new(quarantine: Quarantine) -> Self {
        Self::with(engine::apply, quarantine)
    }

    /// Another in its place: the seam by which tests plant a fault.
    #[must_use]
    pub fn with(apply: Apply, quarantine: Quarantine) -> Self {
        install_hook();
        Self { apply, quarantine }
    }

    /// What comes, as the engine is to be given it: what is set aside, as refused unread.
    pub(super) fn screen(&self, event: Event) -> Event {
        if self.quarantine.holds(&event) { refused_unread(event) } else { event }
    }

    /// An entry of the journal, as the engine is to be given it. What was applied once is applied
    /// again, whatever became of the same content later (V3), but for an entry on which the engine
    /// has panicked in a replay.
    pub(super) fn screen_entry<'i>(&self, entry: MessageId, input: &'i Input) -> Cow<'i, Input> {
        if !self.quarantine.holds_entry(entry) {
            return Cow::Borrowed(input);
        }
        let event = refused_unread(input.event.clone());
        Cow::Owned(Input { received_at: input.received_at, event })
    }

    /// How many inputs are set aside.
    pub(super) fn set_aside(&self) -> usize {
        self.quarantine.len()
    }

    /// Takes the state on by one input, as [`engine::apply`] does. After a panic the state is to be
    /// thrown away, and the outputs with it.
    pub(super) fn apply(
        &self,
        state: &mut State,
        input: &Input,
        outputs: &mut Vec<Output>,
    ) -> Result<Option<Reply>, Panic> {
        // The service's own are never blamed; and the time before a start is not as other time.
        let may_be_blamed = matches!(input.event, Event::Publish(_) | Event::Command(_));
        let is_due = |at| at <= input.received_at;
        if may_be_blamed && state.next_deadline().is_some_and(is_due) {
            let time = Input { received_at: input.received_at, event: Event::Tick };
            caught(|| (self.apply)(state, &time, outputs))
                .map_err(|location| Panic { during: During::Time, location })?;
        }
        let during = if matches!(input.event, Event::Tick) { During::Time } else { During::Input };
        caught(|| (self.apply)(state, input, outputs))
            .map_err(|location| Panic { during, location })
    }

    /// Sets aside what came, if it is to blame; gives the error with which the run must end.
    /// Blocking.
    pub(super) fn blame(&mut self, input: &Input, panic: Panic) -> Error {
        match panic.on_input() {
            Ok(location) => self.quarantine.set_aside(input, location),
            Err(error) => error,
        }
    }

    /// The same of an entry of the journal.
    pub(super) fn blame_entry(&mut self, entry: MessageId, input: &Input, panic: Panic) -> Error {
        match panic.on_input() {
            Ok(location) => self.quarantine.set_aside_entry(entry, input, location),
            Err(error) => error,
        }
    }
}

impl Panic {
    /// Where it was, if an input is to blame.
    fn on_input(self) -> Result<String, Error> {
        let Self { during, location } = self;
        match during {
            During::Time => Err(Error::TimePanicked { location }),
            During::Input => Ok(location),
        }
    }
}

fn refused_unread(event: Event) -> Event {
    match event {
        Event::Publish(publish) => Event::Poisoned(Poisoned::Publish(publish)),
        Event::Command(command) => Event::Poisoned(Poisoned::Command(command)),
        own => own,
    }
}

thread_local! {
    /// Whether this thread's panics are caught here.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Where the last one was.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does something that may panic; gives the panic's place in the source.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    IS_CAUGHT.set(true);
    // Whatever it leaves behind half done is thrown away.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(false);
    done.map_err(|_| LOCATION.take().unwrap_or_else(|| "an unknown place".to_owned()))
}

/// Only a hook is told where a panic is. This one keeps the message of those that are caught here
/// from the log; others go the way they went.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_CAUGHT.get() {
                LOCATION.set(info.location().map(ToString::to_string));
            } else {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::input::Publish;

    fn message() -> Input {
        let publish = Publish {
            topic: "pulseward/v1/north/watch-1/readings".to_owned(),
            payload: Bytes::from_static(b"{}"),
            encoding: None,
            correlation: None,
            retained: false,
        };
        Input { received_at: Timestamp::from_seconds(1_000_100), event: Event::Publish(publish) }
    }

    /// A state of which something is due by then: the start is told after 10 s.
    fn state() -> State {
        let mut state = State::default();
        let at = Timestamp::from_seconds(1_000_000);
        let started = Input { received_at: at, event: Event::Started { last_alive: Some(at) } };
        engine::apply(&mut state, &started, &mut Vec::new());
        assert!(state.next_deadline().is_some());
        state
    }

    fn guard(dir: &TempDir, apply: Apply) -> Guard {
        Guard::with(apply, Quarantine::open(dir.path()).unwrap())
    }

    #[test]
    fn time_and_input_apart_lead_to_what_they_lead_to_together() {
        let dir = TempDir::new().unwrap();
        let mut together = Vec::new();
        engine::apply(&mut state(), &message(), &mut together);
        let mut apart = Vec::new();
        let guard = Guard::new(Quarantine::open(dir.path()).unwrap());
        guard.apply(&mut state(), &message(), &mut apart).unwrap();
        assert!(together.len() > 2, "the outage of the service, and the refusal");
        assert_eq!(apart, together);
    }

    #[test]
    fn a_panic_while_time_passes_blames_no_input() {
        let dir = TempDir::new().unwrap();
        let mut guard = guard(&dir, |state, input, outputs| {
            assert!(state.next_deadline().is_none(), "what is due panics");
            engine::apply(state, input, outputs)
        });
        let panic = guard.apply(&mut state(), &message(), &mut Vec::new()).unwrap_err();
        assert_eq!(panic.during, During::Time);
        let error = guard.blame(&message(), panic);
        assert!(matches!(error, Error::TimePanicked { .. }), "{error}");
        assert_eq!(guard.set_aside(), 0);
        assert!(guard.apply(&mut State::default(), &message(), &mut Vec::new()).is_ok());
    }

    #[test]
    fn an_input_to_blame_is_refused_from_then_on_and_its_content_is_not_told() {
        let dir = TempDir::new().unwrap();
        let mut guard = guard(&dir, |_, input, _| {
            let Event::Publish(publish) = &input.event else { return None };
            panic!("on {:?}", publish.payload)
        });
        let panic = guard.apply(&mut state(), &message(), &mut Vec::new()).unwrap_err();
        let error = guard.blame(&message(), panic).to_string();
        assert!(error.contains("src/partition/guard.rs:") && !error.contains("{}"), "{error}");
        let Event::Poisoned(Poisoned::Publish(refused)) = guard.screen(message().event) else {
            panic!("refused unread");
        };
        assert_eq!(Event::Publish(refused), message().event, "as it came");
        assert!(matches!(guard.screen(Event::Tick), Event::Tick));
    }
}
