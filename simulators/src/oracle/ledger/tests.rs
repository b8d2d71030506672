//! What must be stored, may be, and is refused, of records made by hand.

use jiff::SignedDuration;
use prost::bytes::Bytes;

use super::*;
use crate::oracle::alarms::moment;
use crate::record::{Acknowledged, Device, Published, Rebound, Run, Writer};

/// When the runs began, in microseconds since 1970.
const BEGAN: Micros = 1_769_847_300 * SECOND;
/// From when device 0 is bound, in seconds of the run.
const BOUND: i64 = -3600;

/// A message: its device, boot, first number, when it was published, when each of its heart rates
/// was measured (in milliseconds of the run), and whether its PUBACK came.
#[derive(Clone, Debug)]
struct Sent {
    device: u32,
    boot: u64,
    first_seq: u64,
    at: i64,
    measured_ms: Vec<i64>,
    value: f64,
    is_acknowledged: bool,
    is_heard: bool,
}

fn sent(boot: u64, first_seq: u64, at: i64, measured_ms: &[i64]) -> Sent {
    let measured_ms = measured_ms.to_vec();
    let (is_acknowledged, is_heard) = (true, true);
    Sent { device: 0, boot, first_seq, at, measured_ms, value: 70.0, is_acknowledged, is_heard }
}

fn device(id: &str, patient: Option<&str>, is_enrolled: bool) -> Device {
    Device {
        device_id: id.to_owned(),
        patient_id: patient.map(str::to_owned),
        is_enrolled,
        bound_from: moment(BEGAN + BOUND * SECOND),
        upload_interval: SignedDuration::ZERO,
        measures_every: SignedDuration::from_secs(1),
    }
}

impl Sent {
    fn payload(&self) -> Vec<u8> {
        let reading = |offset: &i64| v1::Reading {
            measured: Some(v1::reading::Measured::OffsetMs(*offset)),
            vital: v1::Vital::HeartRate.into(),
            value: Some(v1::reading::Value::Quantity(self.value)),
            ..v1::Reading::default()
        };
        let batch = v1::ReadingBatch {
            boot_id: self.boot,
            first_seq: self.first_seq,
            base_time: Some(prost_types::Timestamp { seconds: BEGAN / SECOND, nanos: 0 }),
            readings: self.measured_ms.iter().map(reading).collect(),
            ..v1::ReadingBatch::default()
        };
        batch.encode_to_vec()
    }

    fn write(&self, message: u64, writer: &mut Writer) {
        let micros = u64::try_from(self.at * SECOND).expect("within the run");
        let published = Published {
            message,
            device: self.device,
            kind: "readings".to_owned(),
            due_micros: micros,
            content_type: String::new(),
            payload: Bytes::from(self.payload()),
        };
        writer.add(micros, What::Published(published)).expect("room");
        if self.is_acknowledged {
            let heard = Acknowledged { message, heard: self.is_heard };
            writer.add(micros + 1, What::Acknowledged(heard)).expect("room");
        }
    }
}

/// A record of these messages, in which device 0 is replaced by device 1 as told.
fn ledger(messages: &[Sent], swap: Option<(i64, i64)>) -> Ledger {
    let dir = tempfile::tempdir().expect("a directory");
    let run = Run {
        version: Run::version(),
        began_at: moment(BEGAN),
        site: "icu".to_owned(),
        seed: 1,
        profile: Vec::new(),
        scenario: serde_json::Value::Null,
        devices: vec![
            device("worn", Some("p"), true),
            device("spare", None, true),
            device("stranger", None, false),
        ],
    };
    let mut writer = Writer::create(dir.path(), &run).expect("a record");
    let mut swap = swap;
    for (number, message) in messages.iter().enumerate() {
        if let Some((at, effective)) = swap.filter(|(at, _)| *at <= message.at) {
            let effective_micros = BEGAN + effective * SECOND;
            let rebound = What::Rebound(Rebound { from: 0, to: 1, effective_micros });
            writer.add(u64::try_from(at * SECOND).expect("within"), rebound).expect("room");
            swap = None;
        }
        message.write(number as u64, &mut writer);
    }
    writer.close().expect("room");
    read(dir.path(), 250_000).expect("a record")
}

/// How many readings must be stored, may be, and of how many messages something must be refused.
fn check(messages: &[Sent], must: usize, may: usize, refused: &[(Refusal, u64)]) {
    check_swapped(messages, None, must, may, refused);
}

fn check_swapped(
    messages: &[Sent],
    swap: Option<(i64, i64)>,
    must: usize,
    may: usize,
    refused: &[(Refusal, u64)],
) {
    let ledger = ledger(messages, swap);
    let slots: Vec<_> = ledger.slots.iter().flatten().collect();
    let musts = slots.iter().filter(|slot| slot.must_be_stored()).count();
    let found: Vec<_> = ledger
        .refused
        .iter()
        .filter(|(_, count)| count.must > 0)
        .map(|(refusal, count)| (*refusal, count.must))
        .collect();
    assert_eq!((musts, slots.len() - musts), (must, may), "{messages:?}");
    assert_eq!(found, refused, "{messages:?}");
}

#[test]
fn a_reading_that_comes_again_in_any_cut_is_stored_once() {
    let messages = [
        sent(7, 10, 1, &[0, 100, 200]),
        sent(7, 13, 2, &[300]),
        sent(7, 11, 3, &[100, 200, 300, 400]),
        sent(7, 10, 4, &[0]),
        sent(8, 10, 5, &[0]),
    ];
    check(&messages, 6, 0, &[]);
}

#[test]
fn a_refusal_for_what_it_is_uses_the_number_up_and_one_for_the_clock_does_not() {
    let impossible = Sent { value: 400.0, ..sent(7, 1, 1, &[0]) };
    check(&[impossible, sent(7, 1, 2, &[0])], 0, 0, &[(Refusal::ImpossibleValue, 1)]);
    let ahead = sent(7, 1, 1, &[60_000]);
    check(&[ahead, sent(7, 1, 60, &[60_000])], 1, 0, &[(Refusal::ClockAhead, 1)]);
}

#[test]
fn thirty_seconds_ahead_are_taken_and_more_refused_with_room_for_what_nobody_knows() {
    check(&[sent(7, 1, 10, &[40_000 - 250])], 1, 0, &[]);
    check(&[sent(7, 1, 10, &[40_000])], 0, 1, &[]);
    check(&[sent(7, 1, 10, &[45_000])], 0, 1, &[]);
    check(&[sent(7, 1, 10, &[51_000])], 0, 0, &[(Refusal::ClockAhead, 1)]);
}

#[test]
fn older_than_thirty_days_is_refused() {
    let unbound = |days: i64| sent(7, 1, 10, &[-days * 24 * 3600 * 1000]);
    check(&[unbound(29)], 0, 0, &[(Refusal::UnboundDevice, 1)]);
    check(&[unbound(31)], 0, 0, &[(Refusal::TooOld, 1)]);
}

#[test]
fn a_binding_begins_with_its_first_microsecond() {
    check(&[sent(7, 1, 10, &[BOUND * 1000])], 1, 0, &[]);
    check(&[sent(7, 1, 10, &[BOUND * 1000 - 1])], 0, 0, &[(Refusal::UnboundDevice, 1)]);
    check(&[Sent { device: 1, ..sent(7, 1, 10, &[0]) }], 0, 0, &[(Refusal::UnboundDevice, 1)]);
    check(&[Sent { device: 2, ..sent(7, 1, 10, &[0]) }], 0, 0, &[(Refusal::UnknownDevice, 1)]);
}

#[test]
fn a_replaced_device_counts_up_to_the_moment_and_the_next_from_it_on() {
    let of = |device, at, measured| Sent { device, ..sent(7, 1, at, &[measured]) };
    let swap = Some((100, 90));
    check_swapped(&[of(0, 200, 89_999)], swap, 1, 0, &[]);
    check_swapped(&[of(0, 200, 90_000)], swap, 0, 0, &[(Refusal::UnboundDevice, 1)]);
    check_swapped(&[of(1, 200, 90_000)], swap, 1, 0, &[]);
    check_swapped(&[of(1, 200, 89_999)], swap, 0, 0, &[(Refusal::UnboundDevice, 1)]);
    // Around the change itself nobody knows which came first.
    check_swapped(&[of(1, 95, 92_000), of(0, 101, 0)], swap, 1, 1, &[]);
}

#[test]
fn without_a_puback_or_a_subscriber_a_reading_may_be_stored() {
    let lonely = Sent { is_acknowledged: false, ..sent(7, 1, 1, &[0]) };
    let unheard = Sent { is_heard: false, ..sent(7, 1, 1, &[0]) };
    check(std::slice::from_ref(&lonely), 0, 1, &[]);
    check(std::slice::from_ref(&unheard), 0, 1, &[]);
    check(&[lonely, sent(7, 1, 2, &[0])], 1, 0, &[]);
}

#[test]
fn a_boot_that_is_long_gone_may_be_forgotten() {
    let boots = |count: u64| (1..=count).map(|boot| sent(boot, 1, 1, &[0])).collect::<Vec<_>>();
    for (count, may_double) in [(4, false), (5, true)] {
        let messages = [boots(count), vec![sent(1, 1, 2, &[0])]].concat();
        let ledger = ledger(&messages, None);
        assert_eq!(ledger.slots[0].len() as u64, count);
        assert_eq!(ledger.slots[0][0].may_be_doubled(), may_double, "{count} boots");
    }
}

#[test]
fn without_numbers_a_reading_is_known_for_ten_minutes() {
    let again = |at: i64, extra: i64| [sent(0, 0, 1, &[0]), sent(0, 0, at, &[0, extra])];
    let count = |at, extra| {
        let slots = ledger(&again(at, extra), None).slots.swap_remove(0);
        (slots.len(), slots[0].may_be_doubled())
    };
    assert_eq!(count(580, 5), (2, false));
    assert_eq!(count(601, 5), (2, true));
    assert_eq!(count(620, 5), (3, false));
    // Byte for byte, it is known by its digest.
    let same = [sent(0, 0, 1, &[0]), sent(0, 0, 2000, &[0])];
    assert_eq!(ledger(&same, None).slots[0].len(), 1);
    let amended = [sent(0, 0, 1, &[0]), Sent { value: 71.0, ..sent(0, 0, 2, &[0]) }];
    assert_eq!(ledger(&amended, None).slots[0].len(), 2);
}
