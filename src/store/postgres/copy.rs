//! Readings in the binary format of COPY.
//!
//! By hand, because this is the one place where a row costs: the driver's own writer takes every
//! value through a table of functions, and hands rows over 4 KiB at a time.

use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt as _;
use tokio_postgres::{CopyInSink, Error, Statement, Transaction};

use super::types::micros;
use crate::clock::Timestamp;
use crate::store::row::{self, Beside, ReadingRow};

/// How many columns a row has: those of [`row::READINGS`], in their order.
const COLUMNS: i16 = 13;
/// A signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The number of columns of a row that is none.
const TRAILER: i16 = -1;
/// What is handed to the connection at once: about what a socket takes.
const CHUNK_BYTES: usize = 64 << 10;
/// More than a row takes, but for its unit, which is short.
const ROW_BYTES: usize = 160;

/// Writes readings in their order. Not cancel safe: the COPY is given up then.
pub(super) async fn copy(
    transaction: &Transaction<'_>,
    statement: &Statement,
    rows: &[ReadingRow],
    stored_at: Timestamp,
) -> Result<(), Error> {
    let mut sink = pin!(transaction.copy_in(statement).await?);
    let sent = send(sink.as_mut(), rows, stored_at).await;
    // Where the server has refused a row, its reason is read here.
    sink.finish().await?;
    sent
}

async fn send(
    mut sink: std::pin::Pin<&mut CopyInSink<Bytes>>,
    rows: &[ReadingRow],
    stored_at: Timestamp,
) -> Result<(), Error> {
    let stored_at = micros(stored_at);
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + ROW_BYTES);
    chunk.put_slice(HEADER);
    for row in rows {
        put_row(&mut chunk, row, stored_at);
        if chunk.len() >= CHUNK_BYTES {
            sink.feed(chunk.split().freeze()).await?;
            chunk.reserve(CHUNK_BYTES + ROW_BYTES);
        }
    }
    chunk.put_i16(TRAILER);
    sink.feed(chunk.freeze()).await
}

fn put_row(buffer: &mut BytesMut, row: &ReadingRow, stored_at: i64) {
    let ReadingRow { reading, received_at, .. } = row;
    let (value, absent) = row::value_columns(reading.value);
    let beside = Beside::of(reading);
    buffer.put_i16(COLUMNS);
    put_i64(buffer, Some(micros(reading.measured_at)));
    put_i64(buffer, Some(micros(*received_at)));
    put_i64(buffer, Some(stored_at));
    put_f64(buffer, value);
    put_i32(buffer, row::signed(reading.patient.0));
    put_i32(buffer, row::signed(reading.device.0));
    put_i32(buffer, i32::from(reading.quality.0));
    put_i16(buffer, i16::from(reading.vital.number()));
    put_i16(buffer, absent);
    put_f64(buffer, beside.original_value);
    put_text(buffer, beside.original_unit);
    put_i64(buffer, beside.interval_us);
    put_i64(buffer, beside.measurement_id);
}

/// Each value begins with its length; that of a null is this.
const NULL: i32 = -1;

fn put_i16(buffer: &mut BytesMut, number: i16) {
    buffer.put_i32(2);
    buffer.put_i16(number);
}

fn put_i32(buffer: &mut BytesMut, number: i32) {
    buffer.put_i32(4);
    buffer.put_i32(number);
}

fn put_i64(buffer: &mut BytesMut, number: Option<i64>) {
    let Some(number) = number else { return buffer.put_i32(NULL) };
    buffer.put_i32(8);
    buffer.put_i64(number);
}

fn put_f64(buffer: &mut BytesMut, number: Option<f64>) {
    let Some(number) = number else { return buffer.put_i32(NULL) };
    buffer.put_i32(8);
    buffer.put_f64(number);
}

fn put_text(buffer: &mut BytesMut, text: Option<&'static str>) {
    let Some(text) = text else { return buffer.put_i32(NULL) };
    buffer.put_i32(i32::try_from(text.len()).expect("a unit of ours is short"));
    buffer.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Buf as _;

    use super::*;
    use crate::engine::output::{Quality, Reading};
    use crate::position::Position;
    use crate::store::row::Place;
    use crate::vitals::{AbsentReason, DeviceKey, PatientKey, Quantity, Unit, Value, Vital};

    /// The values of a row as they stand in the buffer.
    fn values(reading: Reading) -> Vec<Option<Vec<u8>>> {
        let place = Place { position: Position(1), index: 0 };
        let mut buffer = BytesMut::new();
        let received_at = Timestamp::EPOCH;
        put_row(&mut buffer, &ReadingRow { place, reading, received_at }, 7);
        let mut rest = buffer.freeze();
        let columns = rest.get_i16();
        let mut value = || {
            let bytes = usize::try_from(rest.get_i32()).ok()?;
            Some(rest.split_to(bytes).to_vec())
        };
        let values: Vec<_> = (0..columns).map(|_| value()).collect();
        assert!(rest.is_empty());
        values
    }

    const READING: Reading = Reading {
        measured_at: Timestamp::EPOCH,
        patient: PatientKey(1),
        device: DeviceKey(2),
        vital: Vital::BodyTemperature,
        value: Value::Quantity(Quantity::whole(37)),
        quality: Quality(3),
        original: None,
        interval: None,
        measurement_id: 0,
    };

    #[test]
    fn a_row_has_a_value_for_each_column() {
        assert_eq!(usize::try_from(COLUMNS), Ok(row::READINGS.columns.len()));
        let values = values(READING);
        let bytes: Vec<_> = values.iter().map(|value| value.as_ref().map(Vec::len)).collect();
        let [some, none] = [Some, |_| None];
        let expected = [8, 8, 8, 8, 4, 4, 4, 2, 2].map(some);
        assert_eq!(bytes, [&expected[..], &[8, 8, 8, 8].map(none)].concat());
        assert_eq!(values[3], Some(37_f64.to_be_bytes().to_vec()));
    }

    #[test]
    fn what_few_readings_have_stands_behind() {
        let values = values(Reading {
            value: Value::Absent(AbsentReason::SensorOff),
            original: Some((Quantity::whole(99), Unit::from_ucum("[degF]").expect("a unit"))),
            interval: Some(Duration::from_micros(5)),
            measurement_id: 9,
            ..READING
        });
        assert_eq!(values[3], None);
        assert_eq!(values[9], Some(99_f64.to_be_bytes().to_vec()));
        assert_eq!(values[10], Some(b"[degF]".to_vec()));
        assert_eq!(values[11], Some(5_i64.to_be_bytes().to_vec()));
        assert_eq!(values[12], Some(9_i64.to_be_bytes().to_vec()));
    }
}
