//! Any message that the contract's types can hold, for properties: sound for the most part, with
//! numbers beyond every range, unknown enums and texts of all kinds now and then.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use pulseward::proto::v1 as proto;
use pulseward::proto::v1::reading::{Measured, Value};
use pulseward::vitals::{Quantity, Unit, Vital};

pub(crate) fn any_batch() -> impl Strategy<Value = proto::ReadingBatch> {
    let numbers = (0..4_u64, prop_oneof![19 => 0..1_000_000_u64, 1 => any::<u64>()]);
    let times = (option::of(any_time()), option::weighted(0.9, any_time()));
    let enums = (any_enum(3), prop_oneof![19 => 0..3_i32, 1 => any_number()]);
    let gateway = prop_oneof![9 => Just(String::new()), 9 => "[a-z.-]{1,8}", 1 => ".*"];
    let readings = prop_oneof![3 => vec(sound_reading(), 1..6), 1 => vec(any_reading(), 0..8)];
    (numbers, times, enums, gateway, readings, any::<bool>()).prop_map(
        |(numbers, times, enums, gateway, readings, want_verdict)| proto::ReadingBatch {
            boot_id: numbers.0,
            first_seq: numbers.1,
            sent_at: times.0,
            base_time: times.1,
            clock_sync: enums.0,
            mode: enums.1,
            gateway,
            readings,
            want_verdict,
        },
    )
}

/// A reading that a sound device sends, in any unit that measures its vital.
fn sound_reading() -> impl Strategy<Value = proto::Reading> {
    let measured = prop_oneof![
        near_time().prop_map(Measured::MeasuredAt),
        (-10_000..10_000_i64).prop_map(Measured::OffsetMs),
    ];
    let vitals = Vital::ALL.into_iter().filter(|it| *it != Vital::Consciousness);
    let units: Vec<_> =
        vitals.flat_map(|vital| vital.accepted_units().map(move |unit| (vital, unit))).collect();
    let about = (select(units), 0.0..=1.0_f64);
    (measured, about, any::<bool>(), 0..3_u32).prop_map(
        |(measured, ((vital, unit), place), historical, measurement_id)| proto::Reading {
            measured: Some(measured),
            vital: i32::from(vital.number()),
            value: Some(Value::Quantity(plausible(vital, unit, place))),
            unit: unit.ucum().to_owned(),
            historical,
            measurement_id,
            interval: (vital == Vital::Steps)
                .then_some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..proto::Reading::default()
        },
    )
}

/// A plausible quantity in a unit, found from the vital's range by the unit's own conversion.
fn plausible(vital: Vital, unit: Unit, place: f64) -> f64 {
    let canonical = |quantity: f64| {
        let quantity = Quantity::from_f64(quantity).expect("small");
        unit.convert(quantity, vital).expect("measures the vital").to_f64()
    };
    let range = vital.plausible();
    let (low, high) = (range.low.to_f64(), range.high.to_f64());
    // Conversions are straight lines.
    let (origin, slope) = (canonical(0.0), (canonical(1e4) - canonical(0.0)) / 1e4);
    let wanted = low + (high - low) * (0.1 + 0.8 * place);
    (wanted - origin) / slope
}

/// A reading that may hold anything.
fn any_reading() -> impl Strategy<Value = proto::Reading> {
    let measured = prop_oneof![
        any_time().prop_map(Measured::MeasuredAt),
        (-100_000..100_000_i64).prop_map(Measured::OffsetMs),
        any::<i64>().prop_map(Measured::OffsetMs),
    ];
    let quantity = prop_oneof![
        (-1000..50_000_i32).prop_map(|tenths| f64::from(tenths) / 10.0),
        any::<f64>(),
        select(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0][..]),
    ];
    let value = prop_oneof![
        6 => quantity.prop_map(Value::Quantity),
        1 => any_enum(5).prop_map(Value::Consciousness),
        1 => any_enum(5).prop_map(Value::Absent),
    ];
    let units = &["", "%", "1", "Cel", "[degF]", "kPa", "mm[Hg]", "{beats}/min", "mg/dL", "°F"][..];
    let unit = prop_oneof![9 => select(units).prop_map(str::to_owned), 1 => ".*"];
    let rest = (any::<bool>(), any::<u32>(), option::of(any_span()));
    let quality = vec(any_enum(7), 0..3);
    (option::of(measured), any_enum(15), option::of(value), unit, quality, rest).prop_map(
        |(measured, vital, value, unit, quality, rest)| proto::Reading {
            measured,
            vital,
            value,
            unit,
            quality,
            historical: rest.0,
            measurement_id: rest.1,
            interval: rest.2,
        },
    )
}

pub(crate) fn any_status() -> impl Strategy<Value = proto::DeviceStatus> {
    let battery = option::of(prop_oneof![9 => 0..=100_u32, 1 => any::<u32>()]);
    let device = (option::of(any::<bool>()), option::of(any_enum(9)), battery);
    let texts = ("[a-z]{0,8}", ".*");
    (any::<bool>(), 0..5_u64, option::of(any_time()), device, texts).prop_map(
        |(online, boot_id, at, device, texts)| proto::DeviceStatus {
            online,
            boot_id,
            at,
            gateway: texts.0,
            battery_percent: device.2,
            sensor_attached: device.0,
            event: device.1,
            firmware: texts.1,
        },
    )
}

/// A number that an enum has, or one that none has.
fn any_enum(most: i32) -> impl Strategy<Value = i32> {
    prop_oneof![9 => 0..=most, 1 => any_number()]
}

fn any_number() -> impl Strategy<Value = i32> {
    prop_oneof![-1..100_i32, any::<i32>()]
}

fn near_time() -> impl Strategy<Value = prost_types::Timestamp> {
    (1_800_000_000..1_800_001_000_i64, 0..1_000_000_000_i32)
        .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos })
}

/// Within the years 1 to 9999, in whole nanoseconds: JSON can write no other.
fn any_time() -> impl Strategy<Value = prost_types::Timestamp> {
    let any = (-62_135_596_800..253_402_300_799_i64, 0..1_000_000_000_i32)
        .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos });
    prop_oneof![9 => near_time(), 1 => any]
}

fn any_span() -> impl Strategy<Value = prost_types::Duration> {
    let seconds = prop_oneof![0..100_000_i64, Just(0), -1000..0_i64];
    (seconds, 0..1_000_000_000_i32).prop_map(|(seconds, nanos)| {
        let nanos = if seconds < 0 { -nanos } else { nanos };
        prost_types::Duration { seconds, nanos }
    })
}
