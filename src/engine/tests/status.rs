//! What devices say of themselves, in whatever order it comes.

use super::*;

fn ward() -> Ward {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::DeviceOffline, 0)]);
    ward.enroll(1);
    ward
}

/// A status of a boot, so many seconds after the story's begin.
fn said(boot_id: u64, at: i64, percent: u32) -> proto::DeviceStatus {
    proto::DeviceStatus {
        online: true,
        boot_id,
        at: Some(prost_types::Timestamp { seconds: BEGIN + at, nanos: 0 }),
        battery_percent: Some(percent),
        ..proto::DeviceStatus::default()
    }
}

fn will(boot_id: u64) -> proto::DeviceStatus {
    proto::DeviceStatus { boot_id, ..proto::DeviceStatus::default() }
}

fn named(id: &str) -> DeviceId {
    DeviceId::new(id).expect("valid")
}

impl Ward {
    /// A status that the broker had kept for us.
    fn retained(&mut self, status: &proto::DeviceStatus) {
        let publish = Publish {
            topic: format!("pulseward/v1/{SITE}/{}/status", device(1)),
            payload: status.encode_to_vec().into(),
            encoding: None,
            correlation: None,
            retained: true,
        };
        self.apply(Event::Publish(publish));
    }

    fn known(&self) -> (bool, u64, Option<u8>) {
        let status = self.report(1).status.expect("it said something");
        (status.is_online, status.boot_id, status.battery_percent)
    }
}

#[test]
fn statuses_count_by_boot_and_time_and_not_by_their_arrival() {
    let mut ward = ward();
    ward.now += 100;
    ward.status(1, &said(2, 50, 80));
    for older in [said(2, 49, 90), said(1, 99, 95)] {
        ward.status(1, &older);
        assert_eq!(ward.known(), (true, 2, Some(80)));
    }
    ward.status(1, &said(2, 51, 79));
    assert_eq!(ward.known(), (true, 2, Some(79)));
    ward.status(1, &said(3, 10, 78));
    assert_eq!(ward.known(), (true, 3, Some(78)), "another start, whatever its clock says");
}

#[test]
fn a_last_will_of_an_earlier_boot_says_nothing_and_one_of_a_later_boot_does() {
    let mut ward = ward();
    ward.status(1, &said(2, 0, 80));
    ward.status(1, &will(1));
    assert_eq!(ward.known(), (true, 2, Some(80)));
    ward.status(1, &will(3));
    assert_eq!(ward.known(), (false, 3, Some(80)), "what it said of its battery stands");
}

#[test]
fn what_the_broker_had_kept_is_no_news_when_it_comes_again() {
    let mut ward = ward();
    ward.status(1, &said(2, 0, 80));
    ward.now += 60;
    ward.status(1, &will(2));
    ward.told();
    ward.now += 60;
    ward.retained(&will(2));
    ward.retained(&said(2, 0, 80));
    ward.retained(&proto::DeviceStatus { at: None, ..said(2, 0, 80) });
    assert_eq!((ward.told(), ward.known().0), (vec![], false), "the Will came after all that");
    ward.retained(&said(2, 100, 70));
    assert_eq!(ward.told(), ["120 end technical low inactive/off"]);
}

#[test]
fn a_device_whose_clock_is_behind_comes_back_after_its_last_will() {
    let mut ward = ward();
    ward.status(1, &said(2, -20, 80));
    ward.now += 60;
    ward.status(1, &will(2));
    ward.now += 5;
    ward.status(1, &said(2, 45, 80));
    assert_eq!(
        ward.told(),
        ["60 start technical low active/on", "65 end technical low inactive/off"]
    );
}

#[test]
fn only_what_the_device_sends_itself_shows_that_it_was_there() {
    let mut ward = ward();
    ward.retained(&said(2, 0, 80));
    ward.now += 10;
    ward.status(1, &will(2));
    assert_eq!(ward.report(1).last_seen_at, None);
    ward.status(1, &said(2, 10, 80));
    assert_eq!(ward.report(1).last_seen_at, Some(Timestamp::from_seconds(BEGIN + 10)));
}

#[test]
fn a_status_that_is_refused_counts_in_the_devices_account() {
    let mut ward = ward();
    let topic = format!("pulseward/v1/{SITE}/device-1/status");
    let outputs = ward.send(&topic, vec![0xff]);
    assert_eq!(rejects(&outputs), [(None, RejectReason::MalformedPayload)]);
    let report = ward.report(1);
    assert_eq!((report.counts.rejected, report.last_seen_at), (1, None), "perhaps a will");
    let outputs = ward.status(1, &said(2, 60, 80));
    assert_eq!(rejects(&outputs), [(None, RejectReason::ClockAhead)]);
    let told = |output: &&Output| matches!(output, Output::DeviceSequences(_));
    assert_eq!(outputs.iter().filter(told).count(), 1, "once a message");
    let report = ward.report(1);
    let seen = Some(Timestamp::from_seconds(BEGIN));
    assert_eq!((report.counts.rejected, report.last_seen_at), (2, seen));
}

#[test]
fn a_report_says_all_that_the_device_said() {
    let mut ward = ward();
    assert_eq!(ward.report(1).status, None);
    ward.done(Action::CreateDevice { device: named("g-1"), site: id(SITE) });
    let fall = proto::DeviceEvent::Fall as i32;
    let status = proto::DeviceStatus {
        gateway: "g-1".to_owned(),
        sensor_attached: Some(false),
        event: Some(fall),
        firmware: format!("{}é", "x".repeat(63)),
        ..said(2, 0, 80)
    };
    ward.status(1, &status);
    let expected = query::DeviceStatus {
        is_online: true,
        boot_id: 2,
        at: Timestamp::from_seconds(BEGIN),
        gateway: Some(named("g-1")),
        battery_percent: Some(80),
        is_attached: Some(false),
        has_fault: false,
        event: Some(DeviceEvent::Fall),
        firmware: "x".repeat(63),
    };
    assert_eq!(ward.report(1).status, Some(expected));
    let broken = proto::DeviceEvent::SensorFault as i32;
    ward.status(1, &proto::DeviceStatus { event: Some(broken), ..said(2, 1, 80) });
    let status = ward.report(1).status.expect("it said something");
    assert_eq!((status.event, status.has_fault), (None, true));
    assert_eq!(status.is_attached, Some(false), "what it doesn't say again stands");
}
