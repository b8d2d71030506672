//! A run, stage after stage: enrol, watch, connect, send, wait until all is acknowledged and quiet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::board::{self, Board, Ticket};
use super::fault;
use super::progress::Bar;
use super::recorder::{Recorder, Writing};
use super::roster::{self, Roster};
use super::schedule::{self, Ends, Plan, Schedule};
use super::swap::Swapper;
use super::watcher::{Seen, Watcher};
use super::wire::Times;
use super::{Connections, Error, Lane, Scenario, Settings, Summary};
use crate::address::endpoint;
use crate::publish::{self, Message, Publisher};
use crate::record::RunClock;
use crate::sample;

/// Connections that are made at a time: a broker's backlog of new ones is about a hundred.
const CONNECTING_MAX: usize = 64;
/// How long watchers may take to come to the present.
const LIVE_WITHIN: Duration = Duration::from_secs(60);
/// From when all is ready to when the fleet begins to measure: more than it takes to make what is
/// due first.
const BEGIN_AFTER: Duration = Duration::from_millis(500);
/// The stream of alerts is quiet when nothing has changed for so long.
const QUIET: Duration = Duration::from_secs(3);
/// How long it may take to become quiet.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// How long a run that is to end early waits for what it has sent.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
/// How often progress is shown, and the disk asked whether it still takes the record.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A run and what all its stages need.
pub(super) struct Running<'a> {
    pub(super) settings: &'a Settings,
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) writing: &'a Writing,
    /// Becomes true when the run is to end early.
    pub(super) stopped: watch::Receiver<bool>,
}

impl Running<'_> {
    pub(super) async fn run(self, roster: Roster) -> Result<Summary, Error> {
        self.enroll(&roster).await?;
        let (done, is_done) = watch::channel(false);
        let mut watching = self.watch(&is_done).await?;
        let summary = self.send(roster).await;
        if summary.is_ok() {
            watching.until_quiet(&self.stopped).await;
        }
        done.send_replace(true);
        while watching.tasks.join_next().await.is_some() {}
        let mut summary = summary?;
        watching.take(&mut summary);
        Ok(summary)
    }

    fn scenario(&self) -> &Scenario {
        &self.settings.scenario
    }

    async fn enroll(&self, roster: &Roster) -> Result<(), Error> {
        let Some(url) = &self.settings.grpc else { return Ok(()) };
        let enrolled = roster.devices.iter().filter(|device| device.is_enrolled).count();
        let bar = Bar::new(self.settings.show, "devices enrolled", enrolled as u64);
        let caller = &self.settings.caller;
        let mut stopped = self.stopped.clone();
        let enrolled = tokio::select! {
            enrolled = roster::enroll(self.scenario(), &roster.devices, url, caller, &bar) => enrolled,
            _ = stopped.wait_for(|stop| *stop) => return Err(Error::Interrupted),
        };
        bar.finish();
        Ok(enrolled?)
    }

    /// Starts the watchers and waits until they are live.
    async fn watch(&self, done: &watch::Receiver<bool>) -> Result<Watching, Error> {
        let url = self.settings.grpc.clone().unwrap_or_default();
        let mut watching = Watching { url, tasks: JoinSet::new(), seen: Vec::new() };
        if self.settings.grpc.is_none() {
            return Ok(watching);
        }
        let endpoint = endpoint(&watching.url)?;
        for number in 0..self.scenario().watchers {
            let (caller, site) = (&self.settings.caller, &self.scenario().site);
            let recorder = self.recorder.clone();
            let (watcher, seen) = Watcher::new(number, &endpoint, caller, site, recorder);
            watching.tasks.spawn(watcher.run(done.clone()));
            watching.seen.push(seen);
        }
        watching.until_live().await?;
        Ok(watching)
    }

    /// Connects, sends everything and waits until it is acknowledged.
    async fn send(&self, roster: Roster) -> Result<Summary, Error> {
        let scenario = self.scenario();
        let board = Arc::new(Board::new(self.clock, self.recorder.clone()));
        let (cuts, is_cut) = watch::channel(0);
        let connections = scenario.gateways();
        let devices = (roster.streams.len() + roster.spare_streams.len()) as u64;
        let mut connected = board.connected.subscribe();
        let (lanes, mut connecting) = self.connect(connections, &board, &is_cut);
        tokio::select! {
            _ = connected.wait_for(|count| *count == connections) => {}
            ended = connecting.join_next() => return Err(early(ended)),
        }
        let ends = Ends {
            clock: self.clock,
            recorder: self.recorder.clone(),
            board: Arc::clone(&board),
            lanes,
            cuts,
            swapper: self.swapper()?,
        };
        let began = self.clock.micros_of(Instant::now() + BEGIN_AFTER);
        let times = Times::new(self.clock, began, scenario.speed, scenario.duration);
        let mut schedule = Schedule::new(self.plan(), times, roster, ends);
        self.recorder.mark("the fleet begins to measure");
        let begun = Instant::now();
        self.drive(&mut schedule, &mut connecting, &board).await?;
        let mut summary = Summary {
            devices,
            connections,
            faults: std::mem::take(&mut schedule.faults),
            replaced_devices: schedule.replaced,
            complete: !*self.stopped.borrow(),
            ..Summary::default()
        };
        // The connections end once they have sent what they were handed.
        drop(schedule);
        self.drain(&mut connecting, &board).await?;
        summary.seconds = begun.elapsed().as_secs_f64();
        summary.take(&board.counts);
        Ok(summary)
    }

    /// Waits until everything is acknowledged; not for ever, once it is to end early.
    async fn drain(&self, connecting: &mut Connections, board: &Board) -> Result<(), Error> {
        let mut stopped = self.stopped.clone();
        let patience = async {
            // Nobody can stop a run whose sender of this is gone, so then it is waited for.
            if stopped.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(STOPPED_WITHIN).await;
        };
        let drained = async {
            while let Some(ended) = connecting.join_next().await {
                ended.expect("publishing does not panic")?;
            }
            Ok(())
        };
        tokio::select! {
            drained = drained => drained,
            () = patience => Err(Error::Unacknowledged { messages: unacknowledged(board) }),
        }
    }

    fn plan(&self) -> Plan {
        let scenario = self.scenario();
        Plan {
            site: scenario.site.clone(),
            encoding: scenario.encoding,
            boot_id: sample::boot_id(self.clock.began_at()),
            buffer_bytes_max: u64::from(scenario.gateways.buffer_mib) << 20,
            storms: fault::moments(scenario, fault::Kind::Storms),
        }
    }

    fn swapper(&self) -> Result<Option<Swapper>, Error> {
        let Some(url) = &self.settings.grpc else { return Ok(None) };
        let channel = endpoint(url)?.connect_lazy();
        let Settings { caller, .. } = self.settings;
        let (recorder, stopped) = (self.recorder.clone(), self.stopped.clone());
        Ok(Some(Swapper::new(&channel, caller, recorder, self.clock, stopped)))
    }

    /// The schedule, with an eye on connections and disk.
    async fn drive(
        &self,
        schedule: &mut Schedule,
        connecting: &mut Connections,
        board: &Board,
    ) -> Result<(), Error> {
        let total = self.scenario().duration.as_secs().unsigned_abs();
        let bar = Bar::new(self.settings.show, "s of measuring", total);
        let begun = Instant::now();
        let look = async {
            while !self.writing.has_failed() {
                let elapsed = begun.elapsed().as_secs_f64() * self.scenario().speed;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "shown only"
                )]
                bar.set((elapsed as u64).min(total), &word(board));
                sleep(LOOK_EVERY).await;
            }
        };
        let driven = tokio::select! {
            driven = schedule.run(self.stopped.clone()) => driven.map_err(Error::from),
            ended = connecting.join_next() => Err(early(ended)),
            // The writer's own error is told when the record is closed.
            () = look => Ok(()),
        };
        bar.finish();
        match driven {
            // The connection says why.
            Err(Error::Schedule(schedule::Error::Ended)) => {
                Err(early(connecting.join_next().await))
            }
            driven => driven,
        }
    }

    /// Starts the connections.
    fn connect(
        &self,
        count: u32,
        board: &Arc<Board>,
        is_cut: &watch::Receiver<u64>,
    ) -> (Vec<Lane>, Connections) {
        let places = Arc::new(Semaphore::new(CONNECTING_MAX));
        let mut connecting = JoinSet::new();
        let lane = |number: u32| {
            let (messages, taken) = mpsc::channel(schedule::QUEUE_MAX);
            let settings = publish::Settings {
                broker: self.settings.broker.clone(),
                client_id: format!("{}-fleet", publish::client_id(number as usize)),
                patience: self.scenario().gateways.patience.unsigned_abs(),
            };
            let (board, places) = (Arc::clone(board), Arc::clone(&places));
            connecting.spawn(publish(settings, taken, board, is_cut.clone(), places));
            messages
        };
        ((0..count).map(lane).collect(), connecting)
    }
}

/// One connection.
async fn publish(
    settings: publish::Settings,
    messages: mpsc::Receiver<Message<Ticket>>,
    board: Arc<Board>,
    is_cut: watch::Receiver<u64>,
    places: Arc<Semaphore>,
) -> Result<(), publish::Error> {
    let mut place = Some(places.acquire_owned().await.expect("the semaphore is never closed"));
    let observe = move |progress: publish::Progress<'_, Ticket>| {
        drop(place.take());
        board.note(&progress);
    };
    Publisher::new(settings, messages, observe).with_cuts(is_cut).run().await
}

/// Why a connection ended while the others go on.
fn early(ended: Option<Result<Result<(), publish::Error>, tokio::task::JoinError>>) -> Error {
    match ended.map(|ended| ended.expect("publishing does not panic")) {
        Some(Err(error)) => Error::Publish(error),
        _ => Error::Schedule(schedule::Error::Ended),
    }
}

/// The present, in a word.
fn word(board: &Board) -> String {
    let readings = board::read(&board.counts.readings);
    format!(", {readings} readings, {} messages unacknowledged", unacknowledged(board))
}

/// How many messages were handed over and not acknowledged.
fn unacknowledged(board: &Board) -> u64 {
    let handed = board::read(&board.counts.messages);
    handed.saturating_sub(board::read(&board.counts.acknowledged))
}

/// Clinicians' clients that run.
#[derive(Debug)]
struct Watching {
    url: String,
    tasks: JoinSet<()>,
    seen: Vec<watch::Receiver<Seen>>,
}

impl Watching {
    async fn until_live(&mut self) -> Result<(), Error> {
        for seen in &mut self.seen {
            let live = seen.wait_for(|seen| seen.was_live || seen.refused.is_some());
            let why = match timeout(LIVE_WITHIN, live).await {
                Ok(Ok(seen)) => seen.refused.clone(),
                Ok(Err(_)) => Some("the watcher has ended".to_owned()),
                Err(_) => Some(format!("not live within {LIVE_WITHIN:?}")),
            };
            if let Some(why) = why {
                return Err(Error::Watch { url: self.url.clone(), why });
            }
        }
        Ok(())
    }

    /// Waits until nothing has changed for a while, with patience.
    async fn until_quiet(&self, stopped: &watch::Receiver<bool>) {
        let Some(mut seen) = self.seen.first().cloned() else { return };
        let began = Instant::now();
        let quiet = async {
            loop {
                // A stream that is cut is quiet too, and knows nothing.
                if seen.wait_for(|seen| seen.is_up || seen.refused.is_some()).await.is_err() {
                    return;
                }
                let since = seen.borrow().last_change.unwrap_or(began).max(began);
                if since.elapsed() >= QUIET {
                    return;
                }
                sleep_until(since + QUIET).await;
            }
        };
        // Whoever has interrupted the run does not wait long; but what is under way is to be seen.
        let within = if *stopped.borrow() { QUIET * 2 } else { QUIET_WITHIN };
        let _patience_is_over = timeout(within, quiet).await;
    }

    fn take(&self, summary: &mut Summary) {
        summary.alerts = self.seen.first().map_or(0, |seen| seen.borrow().alerts);
        summary.cut_streams = self.seen.iter().map(|seen| seen.borrow().cuts).sum();
    }
}
