//! Keeps the keys of who makes tokens fresh: one task that reads them again and again.
//!
//! Promises: keys that were read stay until others have been read; how old they are and why is told
//! by readiness, by a metric and in the log. A token that names an unknown key makes the task read
//! them at once, but no more often than every [`Pauses::unknown`], whoever asks: strangers can
//! name as many keys as they like. Before the first keys were read nobody's token can be checked;
//! that is told apart from a token that is wrong.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::fetch::{Fetch, FetchError};
use super::keys::{InvalidKeys, KeySet};
use crate::clock::{Clock, Timestamp};
use crate::grpc::status::chain;
use crate::readiness::Part;
use crate::telemetry::names;

/// When keys are read again.
#[derive(Clone, Copy)]
pub(super) struct Pauses {
    /// After a reading that went well.
    refresh: Duration,
    /// After one that failed.
    retry: Duration,
    /// After any, when an unknown key is asked for.
    unknown: Duration,
}

impl Pauses {
    /// As often as is configured. New keys are published before they sign, so that a client waits
    /// for one rarely and briefly.
    pub(super) fn new(refresh: Duration) -> Self {
        let soon = Duration::from_secs(10);
        Self { refresh, retry: soon.min(refresh), unknown: soon }
    }
}

/// Calls that wait for keys at once; another is answered without waiting.
const ASKS_MAX: usize = 256;

/// The keys as they are known now.
#[derive(Clone)]
pub(super) struct Keys {
    current: watch::Receiver<Option<Arc<KeySet>>>,
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl Keys {
    /// Those that were read last, if any were.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.current.borrow().clone()
    }

    /// Waits until the keeper has read the keys again, or has found that it did so just now.
    /// Cancel safe.
    pub(super) async fn renewed(&self) -> Option<Arc<KeySet>> {
        let (done, answer) = oneshot::channel();
        if self.asks.try_send(done).is_ok() {
            // It is dropped rather than answered: either way the keeper has looked.
            drop(answer.await);
        }
        self.current()
    }
}

/// Reads the keys.
pub(in crate::grpc) struct Keeper {
    fetch: Fetch,
    pauses: Pauses,
    clock: Arc<dyn Clock>,
    current: watch::Sender<Option<Arc<KeySet>>>,
    asks: mpsc::Receiver<oneshot::Sender<()>>,
    /// Where it says how it stands.
    part: Option<Part>,
    /// When keys were read, the last time that it went well.
    read_at: Option<Timestamp>,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("what stands there")]
    Invalid(#[from] InvalidKeys),
}

/// Keys, and who keeps them. Nothing is read before [`Keeper::run`].
pub(super) fn channel(fetch: Fetch, pauses: Pauses, clock: Arc<dyn Clock>) -> (Keys, Keeper) {
    let (sender, receiver) = watch::channel(None);
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let keys = Keys { current: receiver, asks };
    let keeper =
        Keeper { fetch, pauses, clock, current: sender, asks: asked, part: None, read_at: None };
    (keys, keeper)
}

impl Keeper {
    /// Lets it say in readiness how it stands.
    pub(in crate::grpc) fn telling(&mut self, part: Part) {
        self.part = Some(part);
    }

    /// Reads the keys at once, and again and again until `stop`.
    pub(in crate::grpc) async fn run(mut self, stop: CancellationToken) {
        let mut asked = None;
        loop {
            let pause = tokio::select! {
                pause = self.read() => pause,
                () = stop.cancelled() => return,
            };
            drop(asked.take());
            let (now, unknown) = (Instant::now(), self.pauses.unknown);
            asked = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(now + pause) => None,
                ask = self.asked_from(now + unknown) => Some(ask),
            };
        }
    }

    /// The first to ask from then on. Who asks before is answered at once: the keys were read just
    /// now. Cancel safe.
    async fn asked_from(&mut self, from: Instant) -> oneshot::Sender<()> {
        loop {
            match self.asks.recv().await {
                Some(ask) if Instant::now() >= from => return ask,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Reads the keys; gives when to do so again.
    async fn read(&mut self) -> Duration {
        let read = async {
            let text = self.fetch.fetch().await?;
            Ok::<_, ReadError>(KeySet::parse(&text)?)
        };
        match read.await {
            Ok(keys) => {
                self.take(keys);
                self.pauses.refresh
            }
            Err(error) => {
                self.keep(&error);
                self.pauses.retry
            }
        }
    }

    fn take(&mut self, keys: KeySet) {
        let now = self.clock.now();
        if self.read_at.is_none() {
            info!(count = keys.len(), "the keys of callers' tokens were read");
        }
        gauge!(names::TOKEN_KEYS_READ_TIMESTAMP_SECONDS).set(now.micros() as f64 / 1e6);
        self.read_at = Some(now);
        self.current.send_replace(Some(Arc::new(keys)));
        if let Some(part) = &self.part {
            part.ready();
        }
    }

    /// Keys that were read before are kept; without any nobody can come in.
    fn keep(&self, error: &ReadError) {
        let error = chain(error);
        counter!(names::TOKEN_KEYS_FAILURES_TOTAL).increment(1);
        let of = self.read_at.map(|at| at.to_string());
        warn!(%error, of, "the keys of callers' tokens could not be read");
        match (&self.part, of) {
            (Some(part), Some(of)) => {
                part.degraded(format!("the keys of callers' tokens are of {of}: {error}"));
            }
            (Some(part), None) => {
                part.not_ready(format!(
                    "no keys of callers' tokens, so that nobody can come in: {error}"
                ));
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::Value;
    use tempfile::NamedTempFile;
    use tokio::task::JoinHandle;

    use super::super::fetch::Source;
    use super::*;
    use crate::clock::SystemClock;
    use crate::grpc::tests::tokens::{Signer, jwks};
    use crate::readiness::{Readiness, State};

    struct Kept {
        file: NamedTempFile,
        keys: Keys,
        readiness: Readiness,
        stop: CancellationToken,
        running: JoinHandle<()>,
    }

    impl Kept {
        /// A keeper that has looked once.
        async fn start(text: &str, pauses: Pauses) -> Self {
            let file = NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), text).expect("written");
            let fetch = Fetch::new(&Source::File(file.path().to_owned())).expect("a file");
            let (keys, mut keeper) = channel(fetch, pauses, Arc::new(SystemClock));
            let readiness = Readiness::new();
            keeper.telling(readiness.register("token keys"));
            let stop = CancellationToken::new();
            let running = tokio::spawn(keeper.run(stop.clone()));
            keys.renewed().await;
            Self { file, keys, readiness, stop, running }
        }

        fn write(&self, keys: &[Value]) {
            std::fs::write(self.file.path(), jwks(keys)).expect("written");
        }

        fn knows(&self, id: &str) -> bool {
            knows(self.keys.current().as_deref(), id)
        }

        /// Waits until it has read this key, unasked.
        async fn reads(&self, id: &str) {
            let mut current = self.keys.current.clone();
            let there = current.wait_for(|keys| knows(keys.as_deref(), id));
            let there = tokio::time::timeout(Duration::from_secs(30), there).await;
            there.expect("it is read").expect("the keeper runs");
        }

        fn stands(&self) -> State {
            self.readiness.parts()[0].1.clone()
        }

        async fn end(self) {
            self.stop.cancel();
            self.running.await.expect("does not panic");
        }
    }

    fn knows(keys: Option<&KeySet>, id: &str) -> bool {
        keys.is_some_and(|keys| keys.find(Algorithm::EdDSA, Some(id)).is_some())
    }

    fn key(id: &str) -> Value {
        Signer::ed25519(id).public()
    }

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(1);
    /// Reads only what is asked for, and whenever it is.
    const ASKED: Pauses = Pauses { refresh: LONG, retry: LONG, unknown: Duration::ZERO };

    #[tokio::test]
    async fn keys_are_read_again_when_one_is_unknown() {
        let kept = Kept::start(&jwks(&[key("a")]), ASKED).await;
        assert!(kept.knows("a") && kept.stands() == State::Ready);
        kept.write(&[key("b")]);
        kept.keys.renewed().await;
        assert!(kept.knows("b") && !kept.knows("a"), "a key that was taken away is gone");
        kept.end().await;
    }

    #[tokio::test]
    async fn strangers_who_name_unknown_keys_do_not_have_them_read_at_will() {
        let kept = Kept::start(&jwks(&[key("a")]), Pauses { unknown: LONG, ..ASKED }).await;
        kept.write(&[key("b")]);
        for _ in 0..3 {
            kept.keys.renewed().await;
            assert!(kept.knows("a") && !kept.knows("b"), "they were read just now");
        }
        kept.end().await;
    }

    #[tokio::test]
    async fn keys_are_read_again_after_their_time() {
        let kept = Kept::start(&jwks(&[key("a")]), Pauses { refresh: SHORT, ..ASKED }).await;
        kept.write(&[key("b")]);
        kept.reads("b").await;
        kept.end().await;
    }

    #[tokio::test]
    async fn keys_stay_while_no_others_can_be_read_and_readiness_says_of_when_they_are() {
        let kept = Kept::start(&jwks(&[key("a")]), ASKED).await;
        for wrong in ["", "{\"keys\":[]}"] {
            std::fs::write(kept.file.path(), wrong).expect("written");
            kept.keys.renewed().await;
            assert!(kept.knows("a"));
            let State::Degraded(reason) = kept.stands() else { panic!("{:?}", kept.stands()) };
            assert!(reason.starts_with("the keys of callers' tokens are of 20"), "{reason}");
        }
        kept.write(&[key("a")]);
        kept.keys.renewed().await;
        assert_eq!(kept.stands(), State::Ready);
        kept.end().await;
    }

    #[tokio::test]
    async fn without_any_keys_the_service_is_not_ready_and_tries_again_soon() {
        let kept = Kept::start("", Pauses { retry: LONG, ..ASKED }).await;
        assert!(kept.keys.current().is_none());
        assert!(!kept.stands().is_ready());
        kept.end().await;
        let kept = Kept::start("", Pauses { retry: SHORT, ..ASKED }).await;
        kept.write(&[key("a")]);
        kept.reads("a").await;
        kept.end().await;
    }
}
