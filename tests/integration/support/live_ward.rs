//! A ward that measures now: devices that number their readings, and a gateway that keeps what it
//! could not send yet and sends it again until the broker has acknowledged it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{self, Numbering, Sample, Vital};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::publishing::Publishing;
use super::recording::{ReadingRow, SITE, row};

/// How many patients there are, with one device each.
const DEVICES: usize = 8;
/// Each device measures all its vitals this often: some hundred messages and more than a thousand
/// readings a second from all together.
const MEASURES_EVERY: Duration = Duration::from_millis(20);
/// What the gateway keeps while it can't send: a minute's messages, longer than any test cuts it
/// off.
const BUFFER_MAX: usize = 60 * DEVICES * 50;

/// Whose devices measure until [`LiveWard::fall_silent`].
#[derive(Debug)]
pub(crate) struct LiveWard {
    publishing: Publishing,
    measuring: JoinHandle<Vec<ReadingRow>>,
    rounds: watch::Receiver<u32>,
    silence: CancellationToken,
}

impl LiveWard {
    /// The devices, `monitor-01` and so on.
    pub(crate) fn devices() -> Vec<Arc<str>> {
        (1..=DEVICES).map(|number| format!("monitor-{number:02}").into()).collect()
    }

    /// Begins to measure, and to publish to this broker.
    pub(crate) fn start(broker_url: &str) -> Self {
        let (messages, taken) = mpsc::channel(BUFFER_MAX);
        let silence = CancellationToken::new();
        let (round, rounds) = watch::channel(0);
        let measuring = tokio::spawn(measure(messages, round, silence.clone()));
        Self { publishing: Publishing::of(broker_url, taken), measuring, rounds, silence }
    }

    /// Waits until the broker has taken `count` more messages.
    pub(crate) async fn sends(&mut self, count: usize) {
        let count = self.publishing.count() + count;
        self.publishing.acknowledged(count).await;
    }

    /// Waits while the devices measure for at least this long, whether or not they can send.
    pub(crate) async fn measures_for(&mut self, time: Duration) {
        let rounds = u32::try_from(time.as_millis() / MEASURES_EVERY.as_millis()).expect("seconds");
        let until = *self.rounds.borrow() + rounds + 1;
        self.rounds.wait_for(|round| *round >= until).await.expect("the devices measure");
    }

    /// Ends measuring, and waits until the broker has everything; all that was measured, sorted.
    pub(crate) async fn fall_silent(self) -> Vec<ReadingRow> {
        self.silence.cancel();
        let mut measured = self.measuring.await.expect("no panic");
        self.publishing.finish().await;
        measured.sort();
        measured
    }
}

/// Measures until there is silence; all that was measured.
async fn measure(
    messages: mpsc::Sender<Message>,
    rounds: watch::Sender<u32>,
    silence: CancellationToken,
) -> Vec<ReadingRow> {
    let boot_id = sample::boot_id(Timestamp::now());
    let devices = LiveWard::devices().into_iter();
    let mut devices: Vec<_> = devices.map(|device| Numbering::new(device, boot_id)).collect();
    let mut measured = Vec::new();
    let mut rhythm = tokio::time::interval(MEASURES_EVERY);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u32.. {
        tokio::select! {
            () = silence.cancelled() => break,
            _ = rhythm.tick() => {}
        }
        for device in &mut devices {
            let batch = device.number(samples(round));
            measured.extend(batch.samples.iter().map(|sample| row(&batch.device, sample)));
            let encoding = if round % 2 == 0 { Encoding::Protobuf } else { Encoding::Json };
            let message = encode::message(SITE, batch, encoding, Timestamp::now());
            messages.try_send(message).expect("the gateway's buffer outlasts every cut");
        }
        rounds.send_replace(round);
    }
    measured
}

/// What a device measures in one round; no two rounds are of the same microsecond.
fn samples(round: u32) -> Vec<Sample> {
    let micros = Timestamp::now().as_microsecond();
    let now = Timestamp::from_microsecond(micros).expect("the present can be said");
    let calm = |vital| match vital {
        Vital::HeartRate | Vital::PulseRate => 60 + round % 30,
        Vital::RespiratoryRate => 12 + round % 7,
        Vital::Spo2 => 94 + round % 6,
        _ => unreachable!("a ward measures what is steady"),
    };
    let sample = |vital| Sample { measured_at: now, vital, value: f64::from(calm(vital)) };
    Vital::STEADY.map(sample).to_vec()
}
