//! Publishes recorded vitals as if their devices were measuring now, or at a given time.
//!
//! A [`Replay`] reads all files first, so that a bad line ends it before anything is sent; then
//! enrols, if asked; then publishes every present value once, under numbers that a re-run with
//! the same start repeats. It says how much the broker has acknowledged, never how much it
//! meant to send.

mod lane;
mod plan;
mod progress;
mod summary;
mod timeline;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::{RoundMode, SignedDuration, SignedDurationRound, Timestamp, Unit};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use plan::{Batching, Wearer};
pub use progress::Show;
use progress::{Reporter, per_second};
pub use summary::Summary;
pub use timeline::{Error as TimelineError, Span, Speed, Start, Timeline};

use crate::bidmc::{self, Recording};
use crate::encode::Encoding;
use crate::enroll::{Enroller, Outcome, Wearing};
use crate::publish::{self, Broker};
use crate::{clock, sample};

/// How far before the recordings a binding begins.
const BOUND_BEFORE: SignedDuration = SignedDuration::from_mins(1);
/// What an upload interval leaves for a slow broker, and for a re-run some time later.
const UPLOAD_SLACK: SignedDuration = SignedDuration::from_hours(1);
/// The service counts this much onto the upload interval before a reading is late.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// The devices measure at this rate.
const MEASURES_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// What is replayed, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// BIDMC numerics files.
    pub files: Vec<PathBuf>,
    /// Where to publish.
    pub broker: Broker,
    /// Where to enrol patients and devices first, such as `http://127.0.0.1:50051`.
    pub enroll: Option<String>,
    /// The site of patients and devices.
    pub site: String,
    /// When the recordings' time 0 was.
    pub start: Start,
    /// How fast they are sent.
    pub speed: Speed,
    /// How much of a recording one message carries.
    pub batch: Duration,
    /// How messages are encoded.
    pub encoding: Encoding,
    /// The upload interval of new bindings; by default, what this replay needs.
    pub upload_interval: Option<SignedDuration>,
    /// MQTT connections over which the devices are spread.
    pub connections: usize,
    /// The devices' boot id; by default told by the start.
    pub boot_id: Option<u64>,
    /// How long the broker may be away.
    pub patience: Duration,
    /// Where progress is shown.
    pub show: Show,
}

/// Recordings, read and ready.
#[derive(Debug)]
pub struct Replay {
    settings: Settings,
    recordings: Vec<Recording>,
    span: Span,
}

impl Replay {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file can't be read or is no recording, two are of the same device, or the recordings
    /// can't be placed in time as the settings ask.
    pub fn read(settings: Settings) -> anyhow::Result<Self> {
        let mut recordings = Vec::with_capacity(settings.files.len());
        let mut devices = BTreeSet::new();
        for path in &settings.files {
            let recording = bidmc::read(path)?;
            let device = Wearer::of(&recording).device;
            ensure!(devices.insert(device), "{}: a second file of this device", path.display());
            recordings.push(recording);
        }
        let span = plan::span(&recordings).context("no files to replay")?;
        let replay = Self { settings, recordings, span };
        replay.timeline()?;
        Ok(replay)
    }

    /// Enrols, if asked, and publishes. Ends early, with what was acknowledged until then, once
    /// `stop` completes. Not cancel safe.
    ///
    /// # Errors
    /// If enrolling fails. A failure to publish stands beside the summary of what was sent.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<(Summary, anyhow::Result<()>)> {
        let reporter = Arc::new(Reporter::new(self.settings.show, self.readings()));
        if let Some(url) = &self.settings.enroll {
            self.enroll(url, &reporter).await?;
        }
        let timeline = self.timeline()?;
        let began = Instant::now();
        let published = self.publish(&timeline, began, &reporter, stop).await;
        reporter.finish();
        let summary = self.summary(&timeline, began.elapsed(), &reporter);
        let whole = published.and_then(|()| {
            ensure!(summary.complete, "interrupted");
            Ok(())
        });
        Ok((summary, whole))
    }

    fn timeline(&self) -> anyhow::Result<Timeline> {
        let Settings { start, speed, .. } = self.settings;
        Ok(Timeline::new(start, speed, self.span, clock::now())?)
    }

    fn boot_id(&self, timeline: &Timeline) -> u64 {
        self.settings.boot_id.unwrap_or_else(|| sample::boot_id(timeline.start()))
    }

    fn readings(&self) -> u64 {
        let rows = self.recordings.iter().flat_map(|recording| &recording.rows);
        rows.map(|row| row.values.len() as u64).sum()
    }

    async fn enroll(&self, url: &str, reporter: &Reporter) -> anyhow::Result<()> {
        let site = &self.settings.site;
        let timeline = self.timeline()?;
        let needed = self.upload_interval_needed(&timeline);
        let upload_interval = self.settings.upload_interval.unwrap_or(needed + UPLOAD_SLACK);
        reporter.say(&announce(self.recordings.len(), site, upload_interval, needed));
        let mut enroller = Enroller::connect(url).await?;
        enroller.site(site, "Recorded vitals").await?;
        let mut unchecked = 0;
        for Wearer { device, patient } in self.recordings.iter().map(Wearer::of) {
            enroller.patient(&patient, site).await?;
            enroller.device(&device, site).await?;
            let wearing = Wearing {
                device: &device,
                patient: &patient,
                from: bound_from(timeline.measured_at(self.span.first_ms)),
                upload_interval,
                upload_interval_min: needed.min(upload_interval),
                measures_every: MEASURES_EVERY,
            };
            unchecked += u64::from(enroller.bind(&wearing).await? == Outcome::Unchecked);
        }
        if unchecked > 0 {
            reporter.say(&warn_of_bindings(unchecked));
        }
        Ok(())
    }

    /// The upload interval without which the oldest reading would be late.
    fn upload_interval_needed(&self, timeline: &Timeline) -> SignedDuration {
        let oldest = SignedDuration::try_from(timeline.oldest(self.settings.batch));
        let needed = oldest.unwrap_or(SignedDuration::MAX).saturating_sub(LATE_AFTER);
        let whole_minutes = SignedDurationRound::new().smallest(Unit::Minute).mode(RoundMode::Ceil);
        needed.max(SignedDuration::ZERO).round(whole_minutes).unwrap_or(needed)
    }

    async fn publish(
        &self,
        timeline: &Timeline,
        began: Instant,
        reporter: &Arc<Reporter>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let (stopper, stopped) = watch::channel(false);
        let mut lanes = self.spawn_lanes(timeline, began, reporter, &stopped);
        let mut stop = std::pin::pin!(stop);
        let mut result = Ok(());
        loop {
            tokio::select! {
                ended = lanes.join_next() => match ended {
                    None => return result,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => result = result.and(Err(error.into())),
                    Some(Err(panic)) => bail!(panic),
                },
                () = &mut stop, if !*stopper.borrow() => { stopper.send_replace(true); }
            }
            if result.is_err() {
                stopper.send_replace(true);
            }
        }
    }

    fn spawn_lanes(
        &self,
        timeline: &Timeline,
        began: Instant,
        reporter: &Arc<Reporter>,
        stopped: &watch::Receiver<bool>,
    ) -> JoinSet<Result<(), publish::Error>> {
        let Settings { site, encoding, batch, connections, broker, patience, .. } =
            self.settings.clone();
        let batching = Batching { boot_id: self.boot_id(timeline), span: batch };
        let planned = plan::lanes(&self.recordings, timeline, batching, connections);
        let mut lanes = JoinSet::new();
        for (number, planned) in planned.into_iter().enumerate() {
            let settings = lane::Settings { site: site.clone(), encoding, began };
            let client_id = publish::client_id(number);
            let connection = publish::Settings { broker: broker.clone(), client_id, patience };
            let reporter = Arc::clone(reporter);
            let observe = move |progress: publish::Progress<'_>| reporter.note(&progress);
            lanes.spawn(lane::run(planned, settings, connection, observe, stopped.clone()));
        }
        lanes
    }

    fn summary(&self, timeline: &Timeline, duration: Duration, reporter: &Reporter) -> Summary {
        let counts = reporter.counts();
        let rows = self.recordings.iter().flat_map(|recording| &recording.rows);
        Summary {
            format: "bidmc",
            files: self.recordings.len(),
            devices: self.recordings.len(),
            start: timeline.start().to_string(),
            boot_id: self.boot_id(timeline),
            batches: counts.batches,
            readings: counts.readings,
            readings_total: self.readings(),
            missing: rows.map(|row| row.missing).sum(),
            unheard_batches: counts.unheard_batches,
            reconnects: counts.reconnects,
            duration_s: duration.as_secs_f64(),
            readings_per_s: per_second(counts.readings, duration),
            complete: counts.readings == self.readings(),
        }
    }
}

fn bound_from(first: Timestamp) -> Timestamp {
    first.saturating_sub(BOUND_BEFORE).unwrap_or(Timestamp::MIN)
}

fn warn_of_bindings(count: u64) -> String {
    format!(
        "{count} devices were bound before, and the service can't say how: readings from before \
         those bindings are refused, and older ones than they allow for raise no alarm"
    )
}

fn announce(
    devices: usize,
    site: &str,
    upload_interval: SignedDuration,
    needed: SignedDuration,
) -> String {
    let live = if upload_interval < needed {
        format!("too short for this replay: some readings will be late; {needed:#} would do")
    } else {
        "long enough for this replay to raise alarms live".to_owned()
    };
    format!(
        "enrolling {devices} devices at site {site}, upload interval {upload_interval:#}: {live}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert;
    use crate::fake::Fake;
    use crate::oracle::steady::Steady;
    use crate::sample::{Sample, Vital};
    use crate::ward::{Limit, Rule, profile};

    fn fixtures() -> Vec<PathBuf> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/bidmc");
        let file = |number| format!("{directory}/bidmc_{number}_Numerics.csv").into();
        ["01", "02"].map(file).to_vec()
    }

    fn ago(span: SignedDuration) -> Start {
        Start::At(clock::now().saturating_sub(span).expect("in range"))
    }

    fn settings(start: Start, upload_interval: Option<SignedDuration>) -> Settings {
        Settings {
            files: fixtures(),
            broker: "mqtt://127.0.0.1:1".parse().expect("an address"),
            enroll: None,
            site: "icu".to_owned(),
            start,
            speed: Speed::Max,
            batch: Duration::from_secs(1),
            encoding: Encoding::Protobuf,
            upload_interval,
            connections: 1,
            boot_id: None,
            patience: Duration::ZERO,
            show: Show::Nothing,
        }
    }

    async fn enroll(fake: &Fake, settings: Settings) -> anyhow::Result<()> {
        let replay = Replay::read(settings)?;
        let reporter = Reporter::new(Show::Nothing, replay.readings());
        replay.enroll(&fake.serve().await, &reporter).await
    }

    #[tokio::test]
    async fn every_device_is_bound_to_its_patient_before_its_recording_begins() {
        let fake = Fake::default();
        let start = clock::now().saturating_sub(SignedDuration::from_hours(5)).expect("in range");
        enroll(&fake, settings(Start::At(start), None)).await.expect("enrolled");
        let bindings = fake.state().bindings.clone();
        assert_eq!(bindings.keys().collect::<Vec<_>>(), ["bidmc-01", "bidmc-02"]);
        for (device, binding) in &bindings {
            assert_eq!(binding.patient_id, format!("patient-{device}"));
            let from = binding.from.and_then(convert::from_timestamp).expect("given");
            let first = start - SignedDuration::from_secs(1);
            assert_eq!(from, first - BOUND_BEFORE, "bidmc-01 begins a second before its time 0");
        }
        let devices = fake.state().devices.clone();
        assert!(devices.values().all(|device| device.site_id == "icu"));
    }

    #[tokio::test]
    async fn the_upload_interval_covers_the_oldest_reading_with_room() {
        let fake = Fake::default();
        let start = ago(SignedDuration::from_hours(5));
        enroll(&fake, settings(start, None)).await.expect("enrolled");
        let binding = fake.state().bindings["bidmc-01"].clone();
        let schedule = binding.schedule.expect("given");
        let interval = schedule.upload_interval.and_then(convert::from_duration).expect("given");
        assert_eq!(interval.as_secs() % 60, 0, "whole minutes");
        let room = interval + LATE_AFTER - SignedDuration::from_hours(5);
        assert!(room > UPLOAD_SLACK && room < UPLOAD_SLACK * 2, "{room:#}");
    }

    #[tokio::test]
    async fn an_upload_interval_that_is_asked_for_is_taken() {
        let fake = Fake::default();
        let asked = SignedDuration::from_secs(7);
        let start = ago(SignedDuration::from_hours(5));
        enroll(&fake, settings(start, Some(asked))).await.expect("enrolled");
        let schedule = fake.state().bindings["bidmc-02"].schedule.clone().expect("given");
        assert_eq!(schedule.upload_interval, Some(convert::to_duration(asked)));
    }

    #[tokio::test]
    async fn a_rerun_some_time_later_still_finds_its_bindings_fit() {
        let fake = Fake::default();
        let start = ago(SignedDuration::from_hours(5));
        enroll(&fake, settings(start, None)).await.expect("enrolled");
        let earlier = Start::At(match start {
            Start::At(start) => start - SignedDuration::from_secs(1),
            Start::Now => unreachable!("it was given"),
        });
        enroll(&fake, settings(start, None)).await.expect("the bindings fit");
        let error = enroll(&fake, settings(earlier, None)).await.expect_err("bound too late");
        assert!(error.to_string().contains("bound only since"), "{error}");
    }

    /// The limit rules of the demonstration on recordings, 15 s each.
    const RULES: &[Rule] = &[
        rule("hr-high", Vital::HeartRate, Limit::Above(100.0)),
        rule("rr-high", Vital::RespiratoryRate, Limit::Above(24.0)),
        rule("spo2-low", Vital::Spo2, Limit::Below(90.0)),
    ];

    const fn rule(id: &'static str, vital: Vital, limit: Limit) -> Rule {
        let (delay, max_gap) = (SignedDuration::from_secs(15), SignedDuration::from_millis(1500));
        Rule { id, vital, limit, delay, max_gap }
    }

    #[test]
    fn the_made_up_recordings_hold_two_onsets_and_one_end() {
        let now = clock::now();
        let start = now - SignedDuration::from_hours(1);
        let replay = Replay::read(settings(Start::At(start), None)).expect("good files");
        let mut oracle = Steady::new(&profile(RULES), SignedDuration::from_secs(1));
        for recording in &replay.recordings {
            let patient: Arc<str> = Wearer::of(recording).patient.into();
            for row in &recording.rows {
                let measured_at = start + SignedDuration::from_millis(row.offset_ms);
                for (vital, value) in row.values.iter().copied() {
                    oracle.observe(&patient, &Sample { measured_at, vital, value });
                }
            }
        }
        let seconds = |moment: Timestamp| moment.duration_since(start).as_secs();
        let found: Vec<_> = oracle
            .into_expected()
            .iter()
            .map(|alert| {
                let end = alert.end_at.map(seconds);
                (alert.rule.to_string(), seconds(alert.onset), seconds(alert.raise_at), end)
            })
            .collect();
        let expected = [("rr-high", 19, 34, None), ("hr-high", 20, 35, Some(50))];
        let expected =
            expected.map(|(rule, onset, raise, end)| (rule.to_owned(), onset, raise, end));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_second_file_of_a_device_and_no_file_are_refused() {
        let twice = [fixtures(), fixtures()].concat();
        let start = ago(SignedDuration::from_hours(1));
        for (files, why) in [(twice, "a second file of this device"), (Vec::new(), "no files")] {
            let refused = Replay::read(Settings { files, ..settings(start, None) });
            let error = refused.expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
