//! A patient's device is replaced by a spare one, over gRPC.
//!
//! The worn device stops first, and is replaced only once the service has what it sent: else its
//! last readings would come as those of a binding that has ended. What is replaced is recorded once
//! the service has said so.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::recorder::Recorder;
use super::stream::Stopped;
use super::wire::Times;
use crate::caller::{Authorised, Caller};
use crate::convert;
use crate::proto::v1;
use crate::proto::v1::ingest_service_client::IngestServiceClient;
use crate::proto::v1::registry_service_client::RegistryServiceClient;
use crate::record::{Rebound, RunClock, What};

/// How long the service may take to have heard the device's last reading, and to answer: as long as
/// an outage that fleets are made to bear.
const PATIENCE: Duration = Duration::from_secs(12 * 60);
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A device that stops, and the one that takes its place.
#[derive(Clone, Debug)]
pub(super) struct Swap {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) from_id: String,
    pub(super) to_id: String,
    pub(super) stopped: Stopped,
    /// The boot id of the device's first start.
    pub(super) boot_id: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Swapped {
    pub(super) from: u32,
    pub(super) to: u32,
    /// From when on the new device is worn, in the fleet's milliseconds; `None` if it came to
    /// nothing.
    pub(super) from_ms: Option<i64>,
}

/// Replaces devices.
#[derive(Clone, Debug)]
pub(super) struct Swapper {
    registry: RegistryServiceClient<Authorised>,
    ingest: IngestServiceClient<Authorised>,
    recorder: Recorder,
    clock: RunClock,
    stop: watch::Receiver<bool>,
}

impl Swapper {
    pub(super) fn new(
        channel: &Channel,
        caller: &Caller,
        recorder: Recorder,
        clock: RunClock,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let registry = RegistryServiceClient::new(caller.over(channel.clone()));
        let ingest = IngestServiceClient::new(caller.over(channel.clone()));
        Self { registry, ingest, recorder, clock, stop }
    }

    /// Replaces one device. Not cancel safe: what the service has done would not be recorded.
    pub(super) async fn replace(mut self, swap: Swap, times: Times) -> Swapped {
        let free_at = times.run(swap.stopped.free_from_ms.saturating_mul(1000));
        sleep_until(self.clock.instant(free_at)).await;
        let until = Instant::now() + PATIENCE;
        let replaced = match self.hear_out(&swap, until).await {
            Ok(()) => self.ask(&swap, &times, until).await,
            Err(why) => Err(why),
        };
        let Swap { from, to, from_id, to_id, stopped, .. } = swap;
        if let Err(why) = &replaced {
            self.recorder.mark(format!("swaps: {from_id} was not replaced by {to_id}: {why}"));
        }
        Swapped { from, to, from_ms: replaced.is_ok().then_some(stopped.free_from_ms) }
    }

    /// Waits until the service has the device's last reading.
    async fn hear_out(&mut self, swap: &Swap, until: Instant) -> Result<(), String> {
        let Stopped { boot, last_seq, .. } = swap.stopped;
        let last_boot = swap.boot_id.saturating_add_signed(boot.into());
        while !*self.stop.borrow() && Instant::now() < until {
            let request = v1::GetDeviceReportRequest { device_id: swap.from_id.clone() };
            match self.ingest.get_device_report(request).await.map(tonic::Response::into_inner) {
                Ok(report)
                    if (report.boot_id, report.highest_seq) >= (last_boot, Some(last_seq))
                        && report.missing_count == 0 =>
                {
                    return Ok(());
                }
                Err(status) if !may_pass(&status) => return Err(said(&status)),
                _ => sleep(ASK_EVERY).await,
            }
        }
        Err("the service has not heard its last reading".to_owned())
    }

    /// Asks until there is an answer: repeating a request is harmless.
    async fn ask(&mut self, swap: &Swap, times: &Times, until: Instant) -> Result<(), String> {
        let at = times.wall(swap.stopped.free_from_ms);
        let request = v1::ReplaceDeviceRequest {
            device_id: swap.from_id.clone(),
            new_device_id: swap.to_id.clone(),
            at: Some(convert::to_timestamp(at)),
            request_id: format!("{}-{}", swap.to_id, swap.boot_id),
            schedule: None,
        };
        loop {
            let answer = self.registry.replace_device(request.clone()).await;
            match answer.map(tonic::Response::into_inner) {
                Ok(answer) => {
                    let began = answer.began.and_then(|binding| binding.from);
                    let effective = began.and_then(convert::from_timestamp).unwrap_or(at);
                    let effective_micros = effective.as_microsecond();
                    let (from, to) = (swap.from, swap.to);
                    self.recorder.add(What::Rebound(Rebound { from, to, effective_micros }));
                    return Ok(());
                }
                Err(status)
                    if may_pass(&status) && !*self.stop.borrow() && Instant::now() < until =>
                {
                    sleep(ASK_EVERY).await;
                }
                Err(status) => return Err(said(&status)),
            }
        }
    }
}

/// Whether the service may answer another time.
fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Cancelled
            | Code::Aborted
    )
}

fn said(status: &Status) -> String {
    format!("{} ({:?})", status.message(), status.code())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::fake::Fake;
    use crate::record::{self, Run};

    /// Has a device replaced that has sent number 9 of its second start, by a service that answers
    /// so; what came of it, and what the record says.
    async fn replace(fake: &Fake) -> (Swapped, Vec<What>) {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = RunClock::start();
        let run = Run::of_nobody(&clock);
        let (recorder, writing) = Recorder::begin(dir.path(), &run, clock).expect("a record");
        let endpoint = Endpoint::from_shared(fake.serve().await).expect("an address");
        let (_go_on, stop) = watch::channel(false);
        let channel = endpoint.connect_lazy();
        let swapper = Swapper::new(&channel, &Caller::default(), recorder, clock, stop);
        let swap = Swap {
            from: 3,
            to: 7,
            from_id: "d-3".to_owned(),
            to_id: "d-7".to_owned(),
            stopped: Stopped { boot: 1, last_seq: 9, free_from_ms: 20 },
            boot_id: 100,
        };
        let times = Times::new(clock, clock.micros(), 1.0, SignedDuration::from_secs(60));
        let swapped = swapper.replace(swap, times).await;
        writing.close().await.expect("room");
        let entries = record::read(dir.path()).expect("a record");
        let said = entries.map(|entry| entry.expect("whole").what.expect("said"));
        (swapped, said.collect())
    }

    fn report(boot_id: u64, highest_seq: u64, missing_count: u64) -> v1::DeviceReport {
        let highest_seq = Some(highest_seq);
        v1::DeviceReport { boot_id, highest_seq, missing_count, ..v1::DeviceReport::default() }
    }

    #[tokio::test]
    async fn a_device_is_replaced_once_the_service_has_its_last_reading() {
        let fake = Fake::default();
        let heard = [report(100, 40, 0), report(101, 8, 0), report(101, 9, 2), report(101, 9, 0)];
        fake.state().reports.extend(heard);
        let (swapped, said) = replace(&fake).await;
        assert_eq!((swapped.from, swapped.to, swapped.from_ms), (3, 7, Some(20)));
        assert!(fake.state().reports.is_empty(), "all of them were waited for");
        let asked = fake.state().replaced.clone();
        assert_eq!(
            (asked.len(), &*asked[0].device_id, &*asked[0].new_device_id),
            (1, "d-3", "d-7")
        );
        let at = asked[0].at.and_then(convert::from_timestamp).expect("said");
        let effective_micros = at.as_microsecond();
        assert_eq!(said, [What::Rebound(Rebound { from: 3, to: 7, effective_micros })]);
    }

    #[tokio::test]
    async fn a_service_that_is_away_is_asked_again_under_the_same_request_id() {
        let fake = Fake::default();
        fake.state().reports.push_back(report(101, 9, 0));
        let away = Status::unavailable("stopping");
        fake.state().replacement_failures.extend([away.clone(), away]);
        let (swapped, said) = replace(&fake).await;
        assert!(swapped.from_ms.is_some());
        assert_eq!(said.len(), 1);
        assert_eq!(fake.state().replaced[0].request_id, "d-7-100");
    }

    #[tokio::test]
    async fn a_refusal_is_marked_and_replaces_nothing() {
        let fake = Fake::default();
        fake.state().reports.push_back(report(101, 9, 0));
        fake.state()
            .replacement_failures
            .push_back(Status::failed_precondition("behind a reading"));
        let (swapped, said) = replace(&fake).await;
        assert_eq!(swapped.from_ms, None);
        let [What::Mark(mark)] = &*said else { panic!("{said:?}") };
        let expected = "swaps: d-3 was not replaced by d-7: behind a reading (FailedPrecondition)";
        assert_eq!(mark.text, expected);
    }
}
