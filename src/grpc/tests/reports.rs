//! What is asked of the engine's state: a device's report.

use tonic::Code;

use super::fakes::open;
use super::id;
use crate::clock::Timestamp;
use crate::engine::output::{Done, IntakeCounts, Refusal};
use crate::engine::query::{DeviceReport, DeviceStatus, Question};
use crate::proto::v1;
use crate::vitals::DeviceEvent;

fn report() -> DeviceReport {
    DeviceReport {
        device: id("d-1"),
        site: id("north"),
        last_seen_at: Some(Timestamp::from_seconds(100)),
        status: Some(DeviceStatus {
            is_online: true,
            boot_id: 7,
            at: Timestamp::from_seconds(90),
            gateway: Some(id("g-1")),
            battery_percent: Some(81),
            is_attached: Some(false),
            has_fault: false,
            event: Some(DeviceEvent::Fall),
            firmware: "2.4.1".to_owned(),
        }),
        clock_skew_ms: Some(-1500),
        boot_id: u64::MAX,
        highest_seq: Some(0),
        gaps: vec![(3, 3), (9, 20)],
        missing: 13,
        counts: IntakeCounts {
            accepted: 1,
            duplicate: 2,
            reordered: 3,
            rejected: 4,
            amended: 5,
            restarted: 6,
            gap: 7,
            gap_overflow: 8,
            unknown_field: 9,
        },
    }
}

#[tokio::test]
async fn a_devices_report_is_a_query_and_says_all_that_the_engine_knows() {
    let door = open().await;
    door.commands.queries.answer(Ok(Ok(Done::DeviceReport(Box::new(report())))));
    let request = v1::GetDeviceReportRequest { device_id: "d-1".to_owned() };
    let told = door.ingest().get_device_report(request).await.expect("found").into_inner();
    let [query] = &door.commands.queries.seen()[..] else { panic!("asked once") };
    assert_eq!(query.question, Question::DeviceReport(id("d-1")));
    assert!(door.commands.seen().is_empty(), "nothing is journaled for a question");
    assert_eq!((&*told.device_id, &*told.site_id), ("d-1", "north"));
    assert_eq!((told.boot_id, told.highest_seq, told.missing_count), (u64::MAX, Some(0), 13));
    let gaps: Vec<_> = told.gaps.iter().map(|gap| (gap.first_seq, gap.last_seq)).collect();
    assert_eq!(gaps, [(3, 3), (9, 20)]);
    let counts = [
        told.accepted_count,
        told.duplicate_count,
        told.reordered_count,
        told.rejected_count,
        told.amended_count,
        told.restart_count,
        told.gap_count,
        told.gap_overflow_count,
        told.unknown_field_count,
    ];
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let status = told.status.expect("it said something");
    assert_eq!((status.online, &*status.gateway, &*status.firmware), (true, "g-1", "2.4.1"));
    assert_eq!((status.battery_percent, status.sensor_attached), (Some(81), Some(false)));
    assert_eq!(status.event(), v1::DeviceEvent::Fall);
    let skew = told.clock_skew.expect("known");
    assert_eq!((skew.seconds, skew.nanos), (-1, -500_000_000));
    door.close().await;
}

#[tokio::test]
async fn a_device_that_is_not_there_and_an_id_that_is_none_are_told_apart() {
    let door = open().await;
    let refusal = Refusal::NotFound { kind: "device", id: "d-2".to_owned() };
    door.commands.queries.answer(Ok(Err(refusal)));
    for (device_id, code) in [("d-2", Code::NotFound), ("", Code::InvalidArgument)] {
        let request = v1::GetDeviceReportRequest { device_id: device_id.to_owned() };
        let status = door.ingest().get_device_report(request).await.expect_err("refused");
        assert_eq!(status.code(), code, "{status}");
    }
    door.close().await;
}
