//! Plain binary COPY of what the follower has stored.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, TryStreamExt as _};

use crate::server::Server;

/// What is given to the connection at once.
const CHUNK_BYTES: usize = 256 << 10;
const COLUMNS: &str = "measured_at, received_at, stored_at, value, patient_key, device_key, \
     quality, vital, absent, original_value, original_unit, interval_us, measurement_id";

/// The rows of each transaction, which share their `stored_at`, in the order of the index and in
/// COPY's binary format.
pub(crate) async fn read_back(server: &Server) -> Result<Vec<Bytes>> {
    let client = server.connect().await?;
    let times = "SELECT DISTINCT stored_at::text FROM pulseward.readings ORDER BY 1";
    let mut batches = Vec::new();
    for time in client.query(times, &[]).await? {
        let time: &str = time.get(0);
        let copy = format!(
            "COPY (SELECT {COLUMNS} FROM pulseward.readings WHERE stored_at = '{time}'
                   ORDER BY patient_key, vital, measured_at) TO STDOUT BINARY"
        );
        let rows = client.copy_out(&copy).await?;
        let rows: BytesMut = rows.try_collect::<Vec<_>>().await?.concat().as_slice().into();
        batches.push(rows.freeze());
    }
    Ok(batches)
}

/// How long it takes to write them.
pub(crate) async fn write(server: &Server, batches: &[Bytes]) -> Result<Duration> {
    let begun = Instant::now();
    let mut client = server.connect().await?;
    let copy = format!("COPY pulseward.readings ({COLUMNS}) FROM STDIN BINARY");
    let copy = client.prepare(&copy).await?;
    for batch in batches {
        let transaction = client.transaction().await?;
        let mut sink = pin!(transaction.copy_in(&copy).await?);
        let mut rest = batch.clone();
        while !rest.is_empty() {
            sink.send(rest.split_to(rest.len().min(CHUNK_BYTES))).await?;
        }
        sink.finish().await?;
        transaction.commit().await?;
    }
    Ok(begun.elapsed())
}
