//! A disk that is full, and a disk that fails, under the real service: what was acknowledged is
//! there, what was not comes again, and whoever runs it is told what to do.

use std::fs;
use std::path::Path;

use crate::support::house::House;
use crate::support::journal::entries;
use crate::support::publishing::Publishing;
use crate::support::recording::{Recording, SITE};
use crate::support::small_disk::SmallDisk;
use crate::support::sql::Sql;
use crate::support::wait::wait_until;

const DEVICES: usize = 4;
const SECONDS: usize = 4 * 60;
/// Messages in whose commits the service finds the disk full.
const NOTICED_AFTER: u8 = 10;
/// Much less than the rest of the recording takes.
const GROWTH_BYTES: u64 = 32 << 10;

/// A failed write is the end of the process, with its reason; a restart loses and doubles nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_ends_the_service_and_nothing_is_lost() {
    let recording = Recording::new(5, DEVICES, SECONDS);
    let third = recording.len() / 3;
    let mut house = House::start(Sql::sqlite()).await;
    house.enroll(&recording).await;
    let mut publishing = Publishing::start(&house.broker.url(), recording.messages());
    publishing.allow(third);
    publishing.acknowledged(third).await;
    house.stored(recording.readings_of(third).len()).await;
    assert!(house.service.terminate().success());

    // From here on the log may grow by a little only. Opening it lets go of its preallocation.
    let journaled = entries(house.service.dir()).len();
    let log = house.service.dir().join("journal").join("fjall").join("0.jnl");
    let log_bytes = fs::metadata(log).expect("there").len();
    house.service.relaunch_under(no_file_beyond(log_bytes + GROWTH_BYTES));
    publishing.allow(third + 4);
    house.stored(recording.readings_of(third + 4).len()).await;
    publishing.allow(recording.len());
    assert_eq!(house.service.wait().code(), Some(1), "{}", house.service.log());
    let log = house.service.log();
    assert!(log.contains("File too large"), "the reason is told: {log}");
    assert!(log.contains("stage\":\"partition"), "and who has ended: {log}");

    assert!(entries(house.service.dir()).len() >= journaled + 4, "what was acknowledged");
    house.service.relaunch_under(Vec::new());
    house.service.ready().await;
    publishing.finish().await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    house.check_stored(&recording).await;
}

/// Lets no file grow beyond so many bytes; the write that would fails.
fn no_file_beyond(bytes: u64) -> Vec<String> {
    // In blocks of 512 bytes. Ignored, the signal becomes an error of the write.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
    ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
}

/// The journal keeps 256 MiB free: 64 are left for entries.
const DISK_MEBIBYTES: u32 = 320;

async fn is_ready(house: &House) -> bool {
    house.ready().await.0 == 200
}

/// Space that goes short stops acknowledgements before a write fails; none at all ends the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_stops_acknowledging_and_then_the_service_and_loses_nothing() {
    let Some(mut disk) = SmallDisk::mount(DISK_MEBIBYTES) else { return };
    let recording = Recording::new(6, DEVICES, SECONDS);
    let third = recording.len() / 3;
    let journal = disk.mount_point().join("journal");
    let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
    let environment = vec![("PULSEWARD_JOURNAL__DIR", text(&journal))];
    let mut house = House::start_under(Sql::sqlite(), environment, disk.enter()).await;
    house.enroll(&recording).await;
    let mut publishing = Publishing::start(&house.broker.url(), recording.messages());
    publishing.allow(third);
    publishing.acknowledged(third).await;
    house.stored(recording.readings_of(third).len()).await;

    // Short: the commit that finds it so is the last. The service says that it is not ready, and
    // nothing that comes from then on is acknowledged.
    let acknowledged = house.metric_from("pulseward_mqtt_acknowledged_total", third).await;
    disk.fill(100);
    publishing.allow(third + usize::from(NOTICED_AFTER));
    wait_until("the service not to be ready", async || !is_ready(&house).await).await;
    publishing.allow(2 * third);
    publishing.acknowledged(2 * third).await;
    let since = house.metric("pulseward_mqtt_acknowledged_total").await - acknowledged;
    assert!(since <= f64::from(NOTICED_AFTER), "{since} acknowledged");

    let named = format!("the file system of {} has", text(&journal));
    assert!(house.service.log().contains(&named), "the reason is told: {}", house.service.log());

    // Again enough: it goes on by itself.
    disk.clear();
    house.stored(recording.readings_of(2 * third).len()).await;
    wait_until("the service to be ready", async || is_ready(&house).await).await;

    // None left: what must be written fails, and the process ends.
    disk.fill_up();
    let mut enroller = house.enroller().await;
    let mut number = 0;
    while enroller.patient(&format!("too-many-{number}"), SITE).await.is_ok() {
        number += 1;
    }
    assert_eq!(house.service.wait().code(), Some(1));
    let log = house.service.log();
    for told in ["its file system is full", "No space left on device", &text(&journal)] {
        assert!(log.contains(told), "{told:?} is not in {log}");
    }

    publishing.finish().await;
    disk.clear();
    house.service.restart().await;
    house.stored(recording.readings().len()).await;
    assert!(house.service.terminate().success());
    house.check_stored(&recording).await;
    let patients = "SELECT count(*) FROM patients WHERE patient_id LIKE 'too-many-%'";
    let stored = house.sql.number(patients).await;
    assert!(stored >= number, "{stored} of {number} that were answered");
    assert!(disk.is_there(), "the disk was there all along");
}
