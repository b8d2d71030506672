//! A ward that lives while its watchers are cut off: readings, clinicians, transfers.
//!
//! Nobody here waits for the service: what can't be done while it is down is left, and another
//! thing done instead.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pulseward::proto::v1;
use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::registry_service_client::RegistryServiceClient;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::enroll::Wearing;
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{self, Numbering, Sample, Vital};
use pulseward_sim::ward::{self, Limit, Rule};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::client::Client;
use crate::support::house::House;
use crate::support::publishing::Publishing;
use crate::support::random::Random;

/// Who comes when everything else is over; how they are watched is the last event.
pub(super) const LAST: &str = "the-last";

const SITES: [&str; 3] = ["north", "south", "east"];
const PATIENTS: usize = 12;
/// One of the devices measures this often.
const MEASURES_EVERY: Duration = Duration::from_millis(20);
/// Somebody does something this often.
const ACTS_EVERY: Duration = Duration::from_millis(40);
/// What the gateway keeps while it can't send: minutes.
const BUFFER_MAX: usize = 16_384;
/// Every breaching reading raises, and the next other one ends.
const RULES: &[Rule] = &[Rule {
    id: "hr-high",
    vital: Vital::HeartRate,
    limit: Limit::Above(110.0),
    delay: SignedDuration::ZERO,
    max_gap: SignedDuration::from_secs(60),
}];

/// A ward that was enrolled.
pub(super) struct Life {
    url: watch::Receiver<String>,
    sites: Arc<Mutex<Vec<&'static str>>>,
}

/// A ward that lives.
pub(super) struct Living {
    life: Life,
    publishing: Publishing,
    tasks: [JoinHandle<()>; 2],
    quiet: CancellationToken,
}

fn patient(number: usize) -> String {
    format!("p-{number:02}")
}

fn device(number: usize) -> Arc<str> {
    format!("d-{number:02}").into()
}

impl Life {
    /// Makes everybody known.
    pub(super) async fn enroll(house: &House, url: &watch::Sender<String>) -> Self {
        let mut enroller = house.enroller().await;
        for site in SITES {
            enroller.site(site, site).await.expect("site");
            enroller.put_profile(site, ward::profile(RULES)).await.expect("profile");
        }
        let sites: Vec<_> = SITES.into_iter().cycle().take(PATIENTS).collect();
        for (number, site) in sites.iter().enumerate() {
            let (patient, device) = (patient(number), device(number));
            enroller.patient(&patient, site).await.expect("patient");
            enroller.device(&device, site).await.expect("device");
            let wearing = Wearing {
                device: &device,
                patient: &patient,
                from: Timestamp::now() - SignedDuration::from_mins(1),
                upload_interval: SignedDuration::from_mins(1),
                upload_interval_min: SignedDuration::from_mins(1),
                measures_every: SignedDuration::from_secs(10),
            };
            enroller.bind(&wearing).await.expect("binding");
        }
        Self { url: url.subscribe(), sites: Arc::new(Mutex::new(sites)) }
    }

    /// Begins to live; `watcher` tells the clinicians what there is to do.
    pub(super) fn begin(self, house: &House, watcher: Client, seed: u64) -> Living {
        let quiet = CancellationToken::new();
        let (messages, taken) = mpsc::channel(BUFFER_MAX);
        let publishing = Publishing::of(&house.broker.url(), taken);
        let measuring = measure(messages, Arc::clone(&self.sites), Random::new(seed ^ 1));
        let staff = Staff {
            url: self.url.clone(),
            sites: Arc::clone(&self.sites),
            watcher,
            random: Random::new(seed ^ 2),
        };
        let tasks = [
            tokio::spawn(until(quiet.clone(), measuring)),
            tokio::spawn(until(quiet.clone(), staff.work())),
        ];
        Living { life: self, publishing, tasks, quiet }
    }
}

async fn until(quiet: CancellationToken, living: impl Future<Output = ()>) {
    tokio::select! {
        () = living => {}
        () = quiet.cancelled() => {}
    }
}

/// One device after the other measures: mostly calm, and often not.
async fn measure(
    messages: mpsc::Sender<Message>,
    sites: Arc<Mutex<Vec<&'static str>>>,
    mut random: Random,
) {
    let boot_id = sample::boot_id(Timestamp::now());
    let mut devices: Vec<_> =
        (0..PATIENTS).map(|number| Numbering::new(device(number), boot_id)).collect();
    let mut rhythm = tokio::time::interval(MEASURES_EVERY);
    for round in 0.. {
        rhythm.tick().await;
        let number = round % PATIENTS;
        let value = if random.percent(40) { 130.0 } else { 70.0 };
        let measured_at = Timestamp::from_microsecond(Timestamp::now().as_microsecond());
        let measured_at = measured_at.expect("the present can be said");
        let samples = vec![Sample { measured_at, vital: Vital::HeartRate, value }];
        let site = sites.lock().expect("nobody panics")[number];
        let batch = devices[number].number(samples);
        let message = encode::message(site, batch, Encoding::Protobuf, Timestamp::now());
        messages.try_send(message).expect("the gateway's buffer outlasts every restart");
    }
}

/// Clinicians and who runs the registry.
struct Staff {
    url: watch::Receiver<String>,
    sites: Arc<Mutex<Vec<&'static str>>>,
    watcher: Client,
    random: Random,
}

impl Staff {
    async fn work(mut self) {
        let mut rhythm = tokio::time::interval(ACTS_EVERY);
        loop {
            rhythm.tick().await;
            let channel = channel(&self.url);
            match self.random.between(0, 9) {
                0..=3 => self.acknowledge(channel).await,
                4..=5 => self.add_note(channel).await,
                6..=7 => self.pause(channel).await,
                _ => self.transfer(channel).await,
            }
        }
    }

    /// An open alert, and its etag.
    fn open(&mut self) -> Option<(String, String)> {
        let open = self.watcher.told().open;
        let count = i64::try_from(open.len()).expect("few").checked_sub(1)?;
        let chosen = usize::try_from(self.random.between(0, count.max(0))).expect("not negative");
        open.into_iter().nth(chosen)
    }

    async fn acknowledge(&mut self, channel: Channel) {
        let Some((alert_id, etag)) = self.open() else { return };
        let request = v1::AcknowledgeAlertRequest { alert_id, etag, ..Default::default() };
        // It may have changed or ended since, and the service may be down.
        drop(AlertServiceClient::new(channel).acknowledge_alert(request).await);
    }

    async fn add_note(&mut self, channel: Channel) {
        let Some((alert_id, _)) = self.open() else { return };
        let note = format!("seen {}", self.random.next());
        let request = v1::AddAlertNoteRequest { alert_id, note, ..Default::default() };
        drop(AlertServiceClient::new(channel).add_alert_note(request).await);
    }

    async fn pause(&mut self, channel: Channel) {
        let patient_id = patient(self.anybody());
        let until = (Timestamp::now() + SignedDuration::from_secs(3)).as_second();
        let until =
            self.random.percent(50).then_some(prost_types::Timestamp { seconds: until, nanos: 0 });
        let request = v1::PausePatientRequest { patient_id, until, ..Default::default() };
        drop(RegistryServiceClient::new(channel).pause_patient(request).await);
    }

    async fn transfer(&mut self, channel: Channel) {
        let (number, site) = (self.anybody(), SITES[self.anybody() % SITES.len()]);
        transfer(channel, &self.sites, number, site).await;
    }

    fn anybody(&mut self) -> usize {
        let last = i64::try_from(PATIENTS - 1).expect("few");
        usize::try_from(self.random.between(0, last)).expect("not negative")
    }
}

/// Transfers a patient, and notes where they are then. If no answer comes, their device is refused
/// at one of the sites until the next transfer.
async fn transfer(
    channel: Channel,
    sites: &Mutex<Vec<&'static str>>,
    number: usize,
    site: &'static str,
) {
    let patient_id = patient(number);
    let request =
        v1::TransferPatientRequest { patient_id, site_id: site.to_owned(), ..Default::default() };
    if RegistryServiceClient::new(channel).transfer_patient(request).await.is_ok() {
        sites.lock().expect("nobody panics")[number] = site;
    }
}

fn channel(url: &watch::Receiver<String>) -> Channel {
    Endpoint::from_shared(url.borrow().clone()).expect("an address").connect_lazy()
}

impl Living {
    /// Ends it with one patient who leaves the north, however quiet the ward was, and then the last
    /// event of all.
    pub(super) async fn end(self, house: &House) {
        self.quiet.cancel();
        for task in self.tasks {
            task.await.expect("no panic");
        }
        self.publishing.finish().await;
        for site in ["north", "south"] {
            transfer(channel(&self.life.url), &self.life.sites, 0, site).await;
        }
        let mut enroller = house.enroller().await;
        enroller.patient(LAST, "north").await.expect("the last one");
    }
}
