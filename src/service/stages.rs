//! The stages while they run, and how they end: in order, and saying what is waited for.
//!
//! Promises: at the stop signal, or once a stage has ended, the sources are told to stop, once; the
//! first error is the outcome, unless it is only the consequence of another; every stage has ended
//! when this returns. A stage that panics is named, and takes the others along or not, like one that
//! fails. While it drains, the log says every few seconds which stages it still waits for. How long
//! each may take is its own affair: every one has a deadline of its own.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Error;
use crate::readiness::Part;

/// A drain that takes longer than this says what it waits for, and again each time.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// The named stages of a service.
pub(super) struct Stages {
    tasks: JoinSet<Result<(), Error>>,
    /// Those that have not ended.
    running: Vec<Stage>,
    /// How often it is said what is waited for.
    tell_every: Duration,
}

/// A stage that runs.
struct Stage {
    /// Its task, by which it is known also when that panicked.
    task: Id,
    name: &'static str,
    /// Its end takes nobody along.
    is_expendable: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), running: Vec::new(), tell_every: TELL_EVERY }
    }
}

/// The end of a service.
struct Drain {
    began: Instant,
    tell: Interval,
}

impl Stages {
    /// Starts a stage.
    pub(super) fn spawn<E: Into<Error>>(
        &mut self,
        name: &'static str,
        stage: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.start(name, false, stage);
    }

    /// Starts a stage without which the others go on; readiness says that it is missing.
    pub(super) fn spawn_expendable<E: Into<Error>>(
        &mut self,
        name: &'static str,
        stage: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.start(name, true, stage);
    }

    fn start<E: Into<Error>>(
        &mut self,
        name: &'static str,
        is_expendable: bool,
        stage: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move { stage.await.map_err(Into::into) }).id();
        self.running.push(Stage { task, name, is_expendable });
    }

    /// Which stage has ended, and how.
    fn ended(
        &mut self,
        ended: Result<(Id, Result<(), Error>), JoinError>,
    ) -> (Stage, Result<(), Error>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        let at = self.running.iter().position(|stage| stage.task == task);
        let stage = self.running.remove(at.expect("only what was started ends, and once"));
        let panicked = Error::Panicked { stage: stage.name };
        (stage, ended.map_or(Err(panicked), |(_, result)| result))
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.running.iter().map(|stage| stage.name).collect();
        names.join(", ")
    }

    /// Waits for every stage; tells the sources to stop at `stop`, or once a stage has ended. Not
    /// cancel safe: dropping it ends the stages where they are.
    ///
    /// # Errors
    /// The first error of a stage.
    pub(super) async fn supervise(
        mut self,
        stop: &CancellationToken,
        stopping: &CancellationToken,
        part: &Part,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        let mut drain: Option<Drain> = None;
        loop {
            let ended = tokio::select! {
                // What has ended is not waited for.
                biased;
                ended = self.tasks.join_next_with_id() => ended,
                () = stop.cancelled(), if drain.is_none() => {
                    info!("stopping: draining what was received");
                    part.not_ready("stopping");
                    stopping.cancel();
                    drain = Some(Drain::begin(self.tell_every));
                    continue;
                }
                began = Drain::due(&mut drain) => {
                    let (stages, waited) = (self.names(), began.elapsed());
                    info!(stages, ?waited, "stopping: still waiting");
                    continue;
                }
            };
            let Some(ended) = ended else {
                let took = drain.map(|drain| drain.began.elapsed());
                info!(?took, "stopped");
                return outcome;
            };
            let (Stage { name: stage, is_expendable, .. }, result) = self.ended(ended);
            if let Err(error) = &result {
                error!(stage, error = %error.chain(), "a stage has ended");
            }
            if !is_expendable && drain.is_none() {
                part.not_ready(format!("stopping, because {stage} has ended"));
                stopping.cancel();
                drain = Some(Drain::begin(self.tell_every));
            }
            outcome = first(outcome, result);
        }
    }
}

impl Drain {
    fn begin(tell_every: Duration) -> Self {
        let began = Instant::now();
        let mut tell = interval_at(began + tell_every, tell_every);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { began, tell }
    }

    /// Waits until it is time to say what is waited for, and since when it is; for ever where
    /// nothing drains. Cancel safe.
    async fn due(drain: &mut Option<Self>) -> Instant {
        match drain {
            Some(Self { began, tell }) => {
                tell.tick().await;
                *began
            }
            None => pending().await,
        }
    }
}

/// The error that tells why: the first, unless another is its cause.
fn first(outcome: Result<(), Error>, result: Result<(), Error>) -> Result<(), Error> {
    match (outcome, result) {
        (Err(first), Err(cause)) if first.is_consequence() => Err(cause),
        (outcome, result) => outcome.and(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogFormat, LogLevel};
    use crate::mqtt;
    use crate::readiness::Readiness;
    use crate::telemetry::captured::Captured;

    fn broken() -> Error {
        Error::Panicked { stage: "test" }
    }

    /// Runs until `stopping`, then ends so.
    async fn until(stopping: CancellationToken, result: Result<(), Error>) -> Result<(), Error> {
        stopping.cancelled().await;
        result
    }

    struct House {
        stages: Stages,
        stop: CancellationToken,
        stopping: CancellationToken,
        readiness: Readiness,
        part: Part,
    }

    impl House {
        fn new() -> Self {
            let readiness = Readiness::new();
            let part = readiness.register("service");
            part.ready();
            let (stop, stopping) = (CancellationToken::new(), CancellationToken::new());
            Self { stages: Stages::default(), stop, stopping, readiness, part }
        }

        fn with(mut self, name: &'static str, result: Result<(), Error>) -> Self {
            self.stages.spawn(name, until(self.stopping.clone(), result));
            self
        }

        async fn end(self) -> Result<(), Error> {
            self.stages.supervise(&self.stop, &self.stopping, &self.part).await
        }
    }

    #[tokio::test]
    async fn at_the_signal_every_stage_is_told_and_waited_for() {
        let house = House::new().with("one", Ok(())).with("two", Ok(()));
        house.stop.cancel();
        let (stopping, readiness) = (house.stopping.clone(), house.readiness.clone());
        assert!(house.end().await.is_ok());
        assert!(stopping.is_cancelled() && !readiness.is_ready());
    }

    #[tokio::test]
    async fn a_stage_that_ends_takes_the_others_along_and_its_error_is_the_outcome() {
        let mut house = House::new().with("one", Ok(()));
        house.stages.spawn("two", async { Err::<(), _>(broken()) });
        assert!(matches!(house.end().await, Err(Error::Panicked { stage: "test" })));
    }

    #[tokio::test]
    async fn without_one_that_is_expendable_the_others_go_on() {
        let mut house = House::new().with("one", Ok(()));
        let (gone, noticed) = tokio::sync::oneshot::channel::<()>();
        house.stages.spawn_expendable("store", async move {
            drop(gone);
            Ok::<_, Error>(())
        });
        let (stop, stopping) = (house.stop.clone(), house.stopping.clone());
        let end = tokio::spawn(house.end());
        assert!(noticed.await.is_err());
        assert!(!stopping.is_cancelled());
        stop.cancel();
        assert!(end.await.expect("no panic").is_ok());
    }

    async fn breaks_down() -> Result<(), Error> {
        panic!("as the test wants it");
    }

    #[tokio::test]
    async fn a_stage_that_panics_is_named_and_takes_the_others_along() {
        let captured = Captured::begin(LogFormat::Text, LogLevel::Info);
        let mut house = House::new().with("one", Ok(()));
        house.stages.spawn("two", breaks_down());
        assert!(matches!(house.end().await, Err(Error::Panicked { stage: "two" })));
        let lines = captured.text();
        assert!(lines.contains("stage=\"two\" error=two panicked"), "{lines}");
    }

    #[tokio::test]
    async fn one_that_is_expendable_is_named_when_it_panics_and_the_others_go_on() {
        let captured = Captured::begin(LogFormat::Text, LogLevel::Info);
        let mut house = House::new();
        house.stages.spawn_expendable("start-up page", breaks_down());
        let (stop, stopping, log) = (house.stop.clone(), house.stopping.clone(), captured.reader());
        house.stages.spawn("one", async move {
            // Once the other's end is told, nobody has been told to stop.
            while !log().contains("start-up page panicked") {
                tokio::task::yield_now().await;
            }
            assert!(!stopping.is_cancelled());
            stop.cancel();
            stopping.cancelled().await;
            Ok::<_, Error>(())
        });
        let outcome = house.end().await;
        assert!(matches!(outcome, Err(Error::Panicked { stage: "start-up page" })), "{outcome:?}");
    }

    #[tokio::test]
    async fn the_cause_is_told_and_not_its_consequence() {
        let mut house = House::new().with("partition", Err(broken()));
        house.stages.spawn("mqtt", async { Err::<(), _>(mqtt::Error::InboxClosed) });
        assert!(matches!(house.end().await, Err(Error::Panicked { .. })));
    }

    #[tokio::test]
    async fn a_drain_that_takes_long_says_what_it_waits_for() {
        let captured = Captured::begin(LogFormat::Text, LogLevel::Info);
        let mut house = House::new().with("quick", Ok(()));
        house.stages.tell_every = Duration::from_micros(1);
        let (stopping, log) = (house.stopping.clone(), captured.reader());
        house.stages.spawn("slow", async move {
            stopping.cancelled().await;
            while waiting(&log()).len() < 2 {
                tokio::task::yield_now().await;
            }
            Ok::<_, Error>(())
        });
        house.stop.cancel();
        assert!(house.end().await.is_ok());
        let lines = captured.text();
        let told = waiting(&lines);
        assert!(told.last().is_some_and(|line| line.contains("stages=\"slow\"")), "{lines}");
        assert!(lines.lines().last().is_some_and(|line| line.contains("stopped")), "{lines}");
    }

    fn waiting(lines: &str) -> Vec<String> {
        let lines = lines.lines().filter(|line| line.contains("still waiting"));
        lines.map(str::to_owned).collect()
    }
}
