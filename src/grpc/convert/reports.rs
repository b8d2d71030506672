//! A device's report: a request to a question, what the engine found to an answer.

use super::{Violations, wire_timestamp};
use crate::engine::profile::Violation;
use crate::engine::query::{DeviceReport, DeviceStatus, Question};
use crate::proto::v1;

/// The question of `request`.
pub(in crate::grpc) fn question(
    request: &v1::GetDeviceReportRequest,
) -> Result<Question, Vec<Violation>> {
    let mut wrong = Violations::default();
    let device = wrong.id("device_id", &request.device_id);
    wrong.finish(|| Some(Question::DeviceReport(device?)))
}

pub(in crate::grpc) fn report(report: DeviceReport) -> v1::DeviceReport {
    let DeviceReport { counts, .. } = report;
    let gap = |(first_seq, last_seq): &(u64, u64)| v1::SequenceGap {
        first_seq: *first_seq,
        last_seq: *last_seq,
    };
    v1::DeviceReport {
        device_id: report.device.to_string(),
        site_id: report.site.to_string(),
        last_seen_at: report.last_seen_at.map(wire_timestamp),
        status: report.status.map(status),
        clock_skew: report.clock_skew_ms.map(signed_duration),
        boot_id: report.boot_id,
        highest_seq: report.highest_seq,
        gaps: report.gaps.iter().map(gap).collect(),
        missing_count: report.missing,
        duplicate_count: counts.duplicate,
        reordered_count: counts.reordered,
        accepted_count: counts.accepted,
        rejected_count: counts.rejected,
        restart_count: counts.restarted,
        amended_count: counts.amended,
        unknown_field_count: counts.unknown_field,
        gap_count: counts.gap,
        gap_overflow_count: counts.gap_overflow,
    }
}

fn status(status: DeviceStatus) -> v1::DeviceStatus {
    let asserted = status.event.map(|event| event as i32);
    let fault = status.has_fault.then_some(v1::DeviceEvent::SensorFault as i32);
    v1::DeviceStatus {
        online: status.is_online,
        boot_id: status.boot_id,
        at: Some(wire_timestamp(status.at)),
        gateway: status.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        battery_percent: status.battery_percent.map(u32::from),
        sensor_attached: status.is_attached,
        event: asserted.or(fault),
        firmware: status.firmware,
    }
}

/// Of a span with a sign, both parts have it.
fn signed_duration(milliseconds: i32) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::from(milliseconds / 1000),
        nanos: milliseconds % 1000 * 1_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_a_skew_have_its_sign() {
        for (ms, seconds, nanos) in
            [(1500, 1, 500_000_000), (-1500, -1, -500_000_000), (-7, 0, -7_000_000)]
        {
            assert_eq!(signed_duration(ms), prost_types::Duration { seconds, nanos });
        }
    }
}
