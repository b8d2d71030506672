//! Keeps a configuration current: looks at its files again and again, and serves what they say.
//!
//! Polling rather than a signal or file events: it works with every way of replacing files (a
//! renewer's rename, a Kubernetes secret's link, a copy over a network file system), and nobody has
//! to remember to send anything. Contents are compared, not times.
//!
//! Promises: what can't be used is not served, and what was served before still is; it is told of
//! once, and readiness says so until it is mended; an expiry is told of ahead, and again each day.
//! A renewer writes certificate and key one after the other, so files that fit no longer together
//! are given one more look before anybody is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::pem::{Contents, Digest};
use super::{Error, Load, Loaded};
use crate::clock::{Clock, Timestamp};
use crate::readiness::Part;
use crate::telemetry::{names, with_causes};

/// How often the files are looked at. They are small and in the system's cache, so that it costs
/// next to nothing, and who replaces them sees within a moment whether it was right.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An expiry that is nearer is told of. Renewers renew a third of its life before the end of a
/// certificate, which is 30 days for one of 90: at 14, that has not worked for a while, and there
/// is still time for people.
pub const EXPIRY_TOLD_AHEAD: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How often it is told again.
const EXPIRY_TOLD_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The configuration of the moment. Clones see the same.
pub struct Current<C> {
    config: watch::Receiver<Arc<C>>,
}

impl<C> Clone for Current<C> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<C> std::fmt::Debug for Current<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

impl<C> Current<C> {
    /// One that stays as it is, for a command that ends before files are replaced.
    #[must_use]
    pub fn fixed(config: Arc<C>) -> Self {
        Self { config: watch::channel(config).1 }
    }

    /// For one handshake.
    #[must_use]
    pub fn get(&self) -> Arc<C> {
        Arc::clone(&self.config.borrow())
    }
}

/// Files that can't be used, as they were found.
struct Trouble {
    what: String,
    is_told: bool,
}

/// One use's files and what they became.
pub struct Keeper<L: Load> {
    /// `grpc`, `http`, `mqtt` or `store`.
    of: &'static str,
    files: Arc<L>,
    config: watch::Sender<Arc<L::Config>>,
    digest: Digest,
    own: Option<(PathBuf, Timestamp)>,
    trouble: Option<Trouble>,
    expiry_told_at: Option<Timestamp>,
    clock: Arc<dyn Clock>,
    part: Part,
}

impl<L: Load> Keeper<L> {
    /// Reads the files for the first time. `of` names the use in logs and metrics. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// What is wrong with the files. An expired certificate is not: the service has more to do than
    /// to be called, and readiness says it.
    pub fn open(
        of: &'static str,
        files: L,
        clock: Arc<dyn Clock>,
        part: Part,
    ) -> Result<(Self, Current<L::Config>), Error> {
        let contents = Contents::read(&files.paths())?;
        let Loaded { config, own } = files.build(&contents)?;
        files.warn();
        let (config, current) = watch::channel(config);
        let mut keeper = Self {
            of,
            files: Arc::new(files),
            config,
            digest: contents.digest(),
            own,
            trouble: None,
            expiry_told_at: None,
            clock,
            part,
        };
        keeper.say();
        Ok((keeper, Current { config: current }))
    }

    /// Looks at the files until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut looks = looks();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = looks.tick() => self.look().await,
            }
        }
    }

    /// Looks at the files once. Cancel safe: nothing is changed before everything is read.
    pub(crate) async fn look(&mut self) {
        let (files, served) = (Arc::clone(&self.files), self.digest);
        // Off the runtime's threads: the files may lie behind a network.
        let looking = tokio::task::spawn_blocking(move || changed(&*files, served));
        match looking.await {
            Ok(Ok(None)) => self.trouble = None,
            Ok(Ok(Some((digest, loaded)))) => self.replace(digest, loaded),
            Ok(Err(error)) => self.keep(&error),
            Err(_) => self.keep_because("reading them panicked".to_owned()),
        }
        self.say();
    }

    fn replace(&mut self, digest: Digest, loaded: Loaded<L::Config>) {
        let now = self.clock.now();
        let is_over =
            |own: &Option<(PathBuf, Timestamp)>| own.as_ref().is_some_and(|it| it.1 < now);
        if let Some((path, at)) = &loaded.own
            && is_over(&loaded.own)
            && !is_over(&self.own)
        {
            return self.keep(&Error::Expired { path: path.clone(), at: *at });
        }
        self.files.warn();
        let until = loaded.own.as_ref().map(|(_, until)| tracing::field::display(*until));
        info!(of = self.of, until, "certificates replaced, for connections from now on");
        counter!(names::TLS_RELOADS_TOTAL, "of" => self.of).increment(1);
        (self.digest, self.own) = (digest, loaded.own);
        (self.trouble, self.expiry_told_at) = (None, None);
        self.config.send_replace(loaded.config);
    }

    fn keep(&mut self, error: &Error) {
        self.keep_because(with_causes(error));
    }

    fn keep_because(&mut self, what: String) {
        match &mut self.trouble {
            Some(trouble) if trouble.what == what => {
                if !std::mem::replace(&mut trouble.is_told, true) {
                    warn!(of = self.of, reason = what, "certificates can't be used; the old stay");
                    counter!(names::TLS_RELOAD_FAILURES_TOTAL, "of" => self.of).increment(1);
                }
            }
            _ => self.trouble = Some(Trouble { what, is_told: false }),
        }
    }

    /// Says how things stand: the metric, readiness, and an expiry ahead.
    fn say(&mut self) {
        let trouble = self.trouble.as_ref().filter(|trouble| trouble.is_told);
        let trouble = trouble.map(|trouble| format!("the old certificates stay: {}", trouble.what));
        let expiry = self.expiry();
        match (trouble, expiry) {
            (Some(trouble), _) => self.part.degraded(trouble),
            (None, Some((true, told))) => self.part.degraded(told),
            (None, Some((false, told))) => self.part.noted(told),
            (None, None) => self.part.ready(),
        }
    }

    /// Whether our certificate is over, and what to say, if it is or soon will be.
    #[expect(clippy::cast_precision_loss, reason = "seconds are exact for millions of years")]
    fn expiry(&mut self) -> Option<(bool, String)> {
        let (path, until) = self.own.clone()?;
        gauge!(names::TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, "of" => self.of)
            .set((until.micros() / 1_000_000) as f64);
        let now = self.clock.now();
        let is_over = until < now;
        if until.since(now) > EXPIRY_TOLD_AHEAD {
            return None;
        }
        let words = if is_over { "expired at" } else { "expires at" };
        let told = format!("the certificate in {} {words} {until}", path.display());
        if self.expiry_told_at.is_none_or(|at| now.since(at) >= EXPIRY_TOLD_EVERY) {
            self.expiry_told_at = Some(now);
            if is_over {
                error!(of = self.of, "{told}: replace it");
            } else {
                warn!(of = self.of, "{told}: replace it");
            }
        }
        Some((is_over, told))
    }
}

fn looks() -> Interval {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// What takes the place of what is served.
type Replacement<C> = (Digest, Loaded<C>);

/// What the files have become, if they are others than those served.
fn changed<L: Load>(files: &L, served: Digest) -> Result<Option<Replacement<L::Config>>, Error> {
    let contents = Contents::read(&files.paths())?;
    let digest = contents.digest();
    if digest == served {
        return Ok(None);
    }
    files.build(&contents).map(|loaded| Some((digest, loaded)))
}

#[cfg(test)]
mod tests;
