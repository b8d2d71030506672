//! The objects of the contract, field by field: which keys they have, and what their values are.

use super::value::field;
use super::{Object, Raw, Slot};
use crate::proto::v1 as proto;

/// What surrounds the readings.
#[derive(Default)]
pub(super) struct Header<'a> {
    pub(super) boot_id: Raw<'a>,
    pub(super) first_seq: Raw<'a>,
    pub(super) sent_at: Raw<'a>,
    pub(super) base_time: Raw<'a>,
    pub(super) clock_sync: Raw<'a>,
    pub(super) mode: Raw<'a>,
    pub(super) gateway: Raw<'a>,
    pub(super) want_verdict: Raw<'a>,
}

impl Header<'_> {
    pub(super) fn into_proto(self) -> Result<proto::ReadingBatch, String> {
        let clock_sync = field("clock_sync", self.clock_sync);
        let mode = field("mode", self.mode);
        Ok(proto::ReadingBatch {
            boot_id: field("boot_id", self.boot_id).integer()?.unwrap_or_default(),
            first_seq: field("first_seq", self.first_seq).integer()?.unwrap_or_default(),
            sent_at: field("sent_at", self.sent_at).time()?,
            base_time: field("base_time", self.base_time).time()?,
            clock_sync: clock_sync
                .number_of("CLOCK_SYNC_", proto::ClockSync::from_str_name)?
                .unwrap_or_default(),
            mode: mode.number_of("MODE_", proto::Mode::from_str_name)?.unwrap_or_default(),
            gateway: field("gateway", self.gateway).text()?.unwrap_or_default().into_owned(),
            want_verdict: field("want_verdict", self.want_verdict).flag()?.unwrap_or_default(),
            readings: Vec::new(),
        })
    }
}

#[derive(Default)]
pub(super) struct Reading<'a> {
    measured_at: Raw<'a>,
    offset_ms: Raw<'a>,
    vital: Raw<'a>,
    quantity: Raw<'a>,
    consciousness: Raw<'a>,
    absent: Raw<'a>,
    unit: Raw<'a>,
    quality: Raw<'a>,
    historical: Raw<'a>,
    measurement_id: Raw<'a>,
    interval: Raw<'a>,
}

impl<'a> Object<'a> for Reading<'a> {
    fn slot(&mut self, key: &str) -> Option<Slot<'_, 'a>> {
        Some(Slot::Value(match key {
            "measuredAt" | "measured_at" => &mut self.measured_at,
            "offsetMs" | "offset_ms" => &mut self.offset_ms,
            "vital" => &mut self.vital,
            "quantity" => &mut self.quantity,
            "consciousness" => &mut self.consciousness,
            "absent" => &mut self.absent,
            "unit" => &mut self.unit,
            "quality" => &mut self.quality,
            "historical" => &mut self.historical,
            "measurementId" | "measurement_id" => &mut self.measurement_id,
            "interval" => &mut self.interval,
            _ => return None,
        }))
    }
}

impl Reading<'_> {
    pub(super) fn into_proto(self) -> Result<proto::Reading, String> {
        let vital = field("vital", self.vital);
        Ok(proto::Reading {
            measured: self.measured()?,
            vital: vital.number_of("VITAL_", proto::Vital::from_str_name)?.unwrap_or_default(),
            value: self.value()?,
            unit: field("unit", self.unit).text()?.unwrap_or_default().into_owned(),
            quality: field("quality", self.quality)
                .numbers_of("QUALITY_", proto::Quality::from_str_name)?,
            historical: field("historical", self.historical).flag()?.unwrap_or_default(),
            measurement_id: field("measurement_id", self.measurement_id)
                .integer()?
                .unwrap_or_default(),
            interval: field("interval", self.interval).span()?,
        })
    }

    fn measured(&self) -> Result<Option<proto::reading::Measured>, String> {
        use proto::reading::Measured;
        let measured_at = field("measured_at", self.measured_at).time()?;
        match (measured_at, field("offset_ms", self.offset_ms).integer()?) {
            (Some(_), Some(_)) => Err("both measured_at and offset_ms".to_owned()),
            (Some(at), None) => Ok(Some(Measured::MeasuredAt(at))),
            (None, offset) => Ok(offset.map(Measured::OffsetMs)),
        }
    }

    fn value(&self) -> Result<Option<proto::reading::Value>, String> {
        use proto::reading::Value;
        let quantity = field("quantity", self.quantity).number()?;
        let level = field("consciousness", self.consciousness)
            .number_of("ACVPU_", proto::Acvpu::from_str_name)?;
        let reason = field("absent", self.absent)
            .number_of("ABSENT_REASON_", proto::AbsentReason::from_str_name)?;
        match (quantity, level, reason) {
            (quantity, None, None) => Ok(quantity.map(Value::Quantity)),
            (None, Some(level), None) => Ok(Some(Value::Consciousness(level))),
            (None, None, Some(reason)) => Ok(Some(Value::Absent(reason))),
            _ => Err("more than one of quantity, consciousness and absent".to_owned()),
        }
    }
}

#[derive(Default)]
pub(super) struct Status<'a> {
    online: Raw<'a>,
    boot_id: Raw<'a>,
    at: Raw<'a>,
    gateway: Raw<'a>,
    battery_percent: Raw<'a>,
    sensor_attached: Raw<'a>,
    event: Raw<'a>,
    firmware: Raw<'a>,
}

impl<'a> Object<'a> for Status<'a> {
    fn slot(&mut self, key: &str) -> Option<Slot<'_, 'a>> {
        Some(Slot::Value(match key {
            "online" => &mut self.online,
            "bootId" | "boot_id" => &mut self.boot_id,
            "at" => &mut self.at,
            "gateway" => &mut self.gateway,
            "batteryPercent" | "battery_percent" => &mut self.battery_percent,
            "sensorAttached" | "sensor_attached" => &mut self.sensor_attached,
            "event" => &mut self.event,
            "firmware" => &mut self.firmware,
            _ => return None,
        }))
    }
}

impl Status<'_> {
    pub(super) fn into_proto(self) -> Result<proto::DeviceStatus, String> {
        let event = field("event", self.event);
        Ok(proto::DeviceStatus {
            online: field("online", self.online).flag()?.unwrap_or_default(),
            boot_id: field("boot_id", self.boot_id).integer()?.unwrap_or_default(),
            at: field("at", self.at).time()?,
            gateway: field("gateway", self.gateway).text()?.unwrap_or_default().into_owned(),
            battery_percent: field("battery_percent", self.battery_percent).integer()?,
            sensor_attached: field("sensor_attached", self.sensor_attached).flag()?,
            event: event.number_of("DEVICE_EVENT_", proto::DeviceEvent::from_str_name)?,
            firmware: field("firmware", self.firmware).text()?.unwrap_or_default().into_owned(),
        })
    }
}
