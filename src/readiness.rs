//! What `/readyz` answers: each part of the service, ready or why not.
//!
//! A part says for itself how it stands, from any task, without waiting. The service is ready when
//! every part is ready or degraded: a part that is *degraded* does less than it should while what
//! the others promise still holds, as the store does while its database is away (V9). Nothing here
//! restarts or repairs anything.

use std::sync::Arc;

use tokio::sync::watch;

/// How a part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does what it should.
    Ready,
    /// It does what it should, and something about it is to be known.
    Noted(String),
    /// It does less than it should, for this reason; the service goes on.
    Degraded(String),
    /// It does not do what the service is for, for this reason.
    NotReady(String),
}

impl State {
    /// Whether the service may be called ready as far as this part goes.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        !matches!(self, Self::NotReady(_))
    }

    /// Its name in `/readyz` and in logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ready | Self::Noted(_) => "ready",
            Self::Degraded(_) => "degraded",
            Self::NotReady(_) => "not ready",
        }
    }

    /// Why it is not simply ready.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Noted(reason) | Self::Degraded(reason) | Self::NotReady(reason) => Some(reason),
        }
    }
}

/// The named parts in the order in which they were registered, and how each stands.
type Parts = Vec<(&'static str, State)>;

/// The register of parts. Clones are the same register.
#[derive(Clone, Debug)]
pub struct Readiness {
    parts: Arc<watch::Sender<Parts>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self { parts: Arc::new(watch::Sender::new(Parts::new())) }
    }
}

impl Readiness {
    /// A register without parts, which is not ready: nothing has started.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new part, not ready because it is starting. Register every part before any can be ready,
    /// or the service seems ready too early.
    #[must_use]
    pub fn register(&self, name: &'static str) -> Part {
        let starting = State::NotReady("starting".to_owned());
        let mut index = 0;
        self.parts.send_modify(|parts| {
            index = parts.len();
            parts.push((name, starting));
        });
        Part { name, index, parts: Arc::clone(&self.parts) }
    }

    /// How every part stands now.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, State)> {
        self.parts.borrow().clone()
    }

    /// Whether the service is ready now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        all_ready(&self.parts.borrow())
    }

    /// Waits until the service is ready. Cancel safe.
    pub async fn ready(&self) {
        let mut parts = self.parts.subscribe();
        let changed = parts.wait_for(all_ready).await;
        assert!(changed.is_ok(), "we hold the sender");
    }
}

fn all_ready(parts: &Parts) -> bool {
    !parts.is_empty() && parts.iter().all(|(_, state)| state.is_ready())
}

/// One part's own say in whether the service is ready. When it is dropped, the part has stopped and
/// is not ready.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    index: usize,
    parts: Arc<watch::Sender<Parts>>,
}

impl Part {
    /// It does what it should.
    pub fn ready(&self) {
        self.set(State::Ready);
    }

    /// It does what it should, and this is to be known about it.
    pub fn noted(&self, note: impl Into<String>) {
        self.set(State::Noted(note.into()));
    }

    /// It does less than it should; the service goes on.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(State::Degraded(reason.into()));
    }

    /// It does not do what the service is for.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(State::NotReady(reason.into()));
    }

    /// Says how it stands. Saying the same again costs a comparison and wakes nobody.
    pub fn set(&self, state: State) {
        let reason = state.reason().map(str::to_owned);
        let name = state.name();
        let changed = self.parts.send_if_modified(|parts| {
            let (_, current) = &mut parts[self.index];
            let changed = *current != state;
            *current = state;
            changed
        });
        if changed {
            tracing::info!(part = self.name, state = name, reason, "readiness changed");
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.not_ready("stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_once_every_part_is() {
        let readiness = Readiness::new();
        assert!(!readiness.is_ready(), "without parts");
        let (journal, store) = (readiness.register("journal"), readiness.register("store"));
        journal.ready();
        assert!(!readiness.is_ready(), "while one part starts");
        store.noted("rows are missing");
        assert!(readiness.is_ready(), "with a note");
        assert_eq!(readiness.parts()[1].1.name(), "ready");
        store.degraded("the database is away");
        assert!(readiness.is_ready(), "a degraded part does not stop the service");
        journal.not_ready("the disk is full");
        assert!(!readiness.is_ready());
        assert_eq!(
            readiness.parts(),
            [
                ("journal", State::NotReady("the disk is full".to_owned())),
                ("store", State::Degraded("the database is away".to_owned())),
            ]
        );
    }

    #[test]
    fn a_part_that_is_gone_is_not_ready() {
        let readiness = Readiness::new();
        let part = readiness.register("hub");
        part.ready();
        drop(part);
        assert_eq!(readiness.parts(), [("hub", State::NotReady("stopped".to_owned()))]);
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_the_last_part_gets_ready() {
        let readiness = Readiness::new();
        let part = readiness.register("hub");
        let waiting = readiness.clone();
        let waiter = tokio::spawn(async move { waiting.ready().await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        part.ready();
        waiter.await.expect("ends");
    }
}
