//! Who is in the fleet: wearables with their patients, spare devices, and strangers; and how they
//! are made known to the service.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fault::{self, Kind};
use super::limits;
use super::progress::Bar;
use super::scenario::Scenario;
use super::stream::{BOUND_BEFORE_MS, Stream};
use crate::caller::Caller;
use crate::enroll::{self, Enroller, Wearing};
use crate::record::Device;

/// Devices that are enrolled at a time. The service makes many durable with one sync.
const AT_ONCE: usize = 256;

/// Everyone.
#[derive(Debug)]
pub(super) struct Roster {
    /// Devices as the record has them: wearables, then spares, then strangers.
    pub(super) devices: Vec<Device>,
    /// The spare of each wearable that will be replaced.
    pub(super) spares: Vec<(u32, u32)>,
    /// What the devices will do, spares excepted.
    pub(super) streams: Vec<(u32, Stream)>,
    /// What spares will do once they are worn.
    pub(super) spare_streams: Vec<(u32, Stream)>,
}

impl Roster {
    /// The fleet of a scenario whose run begins at this time.
    pub(super) fn new(scenario: &Scenario, began_at: Timestamp) -> Self {
        let mut roster = Self {
            devices: Vec::new(),
            spares: Vec::new(),
            streams: Vec::new(),
            spare_streams: Vec::new(),
        };
        let bound_from = bound_from(scenario, began_at);
        let is_stranger =
            |number: &u32| !fault::windows(scenario, Kind::Strangers, *number).is_empty();
        let strangers = (0..scenario.devices).filter(is_stranger).count();
        for number in 0..scenario.devices {
            let patient = format!("{}-p{:05}", scenario.site, number + 1);
            let stream = roster.add(scenario, bound_from, Some(patient), true, number);
            roster.streams.push((number, stream));
        }
        let is_replaced =
            |(number, stream): &(u32, Stream)| stream.is_replaced().then_some(*number);
        let replaced: Vec<u32> = roster.streams.iter().filter_map(is_replaced).collect();
        for from in replaced {
            let to = roster.count();
            roster.spares.push((from, to));
            let stream = roster.add(scenario, bound_from, None, true, from);
            roster.spare_streams.push((to, stream));
        }
        for _ in 0..strangers {
            let number = roster.count();
            let stream = roster.add(scenario, bound_from, None, false, number);
            roster.streams.push((number, stream));
        }
        roster
    }

    fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).expect("scenarios bound the devices")
    }

    fn add(
        &mut self,
        scenario: &Scenario,
        bound_from: Timestamp,
        patient_id: Option<String>,
        is_enrolled: bool,
        body: u32,
    ) -> Stream {
        let number = self.count();
        let device_id = format!("{}-d{:05}", scenario.site, number + 1);
        let stream = Stream::new(scenario, number, body, &device_id);
        self.devices.push(Device {
            device_id,
            patient_id,
            is_enrolled,
            bound_from,
            upload_interval: scenario.gateways.upload_interval,
            measures_every: scenario.every(),
        });
        stream
    }
}

fn bound_from(scenario: &Scenario, began_at: Timestamp) -> Timestamp {
    let before = SignedDuration::from_millis(BOUND_BEFORE_MS).saturating_add(scenario.duration);
    let from = began_at.saturating_sub(before).unwrap_or(Timestamp::MIN);
    crate::clock::whole(jiff::Unit::Millisecond, from)
}

/// Makes the site, its profile, patients, devices and bindings known to the service.
///
/// # Errors
/// If the service can't be reached or refuses.
pub(super) async fn enroll(
    scenario: &Scenario,
    devices: &[Device],
    url: &str,
    caller: &Caller,
    bar: &Bar,
) -> Result<(), enroll::Error> {
    let mut enroller = Enroller::connect_as(url, caller).await?;
    enroller.site(&scenario.site, "Simulated fleet").await?;
    enroller.put_profile(&scenario.site, limits::profile(scenario)).await?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut enrolling = JoinSet::new();
    for device in devices.iter().filter(|device| device.is_enrolled) {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        while let Some(done) = enrolling.try_join_next() {
            finished(done)?;
            bar.step();
        }
        let (enroller, device, site) = (enroller.clone(), device.clone(), scenario.site.clone());
        enrolling.spawn(async move {
            let enrolled = enroll_one(enroller, &device, &site).await;
            drop(place);
            enrolled
        });
    }
    while let Some(done) = enrolling.join_next().await {
        finished(done)?;
        bar.step();
    }
    Ok(())
}

fn finished(
    done: Result<Result<(), enroll::Error>, tokio::task::JoinError>,
) -> Result<(), enroll::Error> {
    done.expect("enrolling does not panic")
}

async fn enroll_one(
    mut enroller: Enroller,
    device: &Device,
    site: &str,
) -> Result<(), enroll::Error> {
    enroller.device(&device.device_id, site).await?;
    let Some(patient) = &device.patient_id else { return Ok(()) };
    enroller.patient(patient, site).await?;
    let wearing = Wearing {
        device: &device.device_id,
        patient,
        from: device.bound_from,
        upload_interval: device.upload_interval,
        upload_interval_min: device.upload_interval,
        measures_every: device.measures_every,
    };
    enroller.bind(&wearing).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::convert;
    use crate::fake::Fake;
    use crate::replay::Show;

    fn scenario() -> Scenario {
        let rates = BTreeMap::from([(Kind::Swaps, 0.5), (Kind::Strangers, 0.25)]);
        Scenario { devices: 40, rates, ..Scenario::default() }
    }

    #[test]
    fn a_fleet_is_its_wearables_then_spares_then_strangers() {
        let roster = Roster::new(&scenario(), Timestamp::UNIX_EPOCH);
        let kind = |device: &Device| (device.is_enrolled, device.patient_id.is_some());
        let kinds: Vec<_> = roster.devices.iter().map(kind).collect();
        let count = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
        let (worn, spare, strange) = ((true, true), (true, false), (false, false));
        assert_eq!(count(worn), 40);
        assert_eq!(count(spare), roster.spares.len());
        assert!(count(spare) > 10 && count(strange) > 3, "{kinds:?}");
        let expected = [worn; 40].into_iter().chain(vec![spare; count(spare)]);
        let expected = expected.chain(vec![strange; count(strange)]);
        assert_eq!(kinds, expected.collect::<Vec<_>>());
        assert_eq!(roster.streams.len(), 40 + count(strange), "spares wait");
        let spares: Vec<u32> = roster.spares.iter().map(|(_, to)| *to).collect();
        let waiting: Vec<u32> = roster.spare_streams.iter().map(|(number, _)| *number).collect();
        assert_eq!(spares, waiting);
    }

    #[tokio::test]
    async fn everyone_is_enrolled_but_strangers_and_bound_but_spares() {
        let (fake, scenario) = (Fake::default(), scenario());
        let roster = Roster::new(&scenario, "2026-01-31T08:15:00Z".parse().expect("valid"));
        let (url, bar) = (fake.serve().await, Bar::new(Show::Nothing, "", 0));
        let enrolled = enroll(&scenario, &roster.devices, &url, &Caller::default(), &bar).await;
        enrolled.expect("enrolled");
        let state = fake.state();
        let ids = |filter: fn(&Device) -> bool| -> Vec<String> {
            let devices = roster.devices.iter().filter(|device| filter(device));
            devices.map(|device| device.device_id.clone()).collect()
        };
        assert!(state.devices.keys().cloned().eq(ids(|device| device.is_enrolled)));
        assert!(state.bindings.keys().cloned().eq(ids(|device| device.patient_id.is_some())));
        assert_eq!(state.profiles[0].profile, Some(limits::profile(&scenario)));
        let binding = &state.bindings["fleet-d00001"];
        let from = binding.from.and_then(convert::from_timestamp).expect("said");
        assert_eq!(from, roster.devices[0].bound_from);
        let schedule = binding.schedule.as_ref().expect("said");
        let upload = schedule.upload_interval.and_then(convert::from_duration);
        assert_eq!(upload, Some(roster.devices[0].upload_interval));
    }
}
