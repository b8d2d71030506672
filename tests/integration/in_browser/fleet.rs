//! A fleet of wearables for as long as a story lasts.

use std::path::Path;

use jiff::SignedDuration;
use pulseward_sim::caller::Caller;
use pulseward_sim::fleet::{Fleet, Scenario, Settings, Summary};
use pulseward_sim::replay::Show;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::house::House;

/// A fleet that measures.
pub(super) struct Measuring {
    task: JoinHandle<Summary>,
    stop: oneshot::Sender<()>,
}

impl Measuring {
    /// So many patients at 1 Hz, of whom a few deteriorate; its record goes into a directory that
    /// holds none.
    pub(super) async fn begin(house: &House, patients: u32, record: &Path) -> Self {
        let scenario = Scenario {
            devices: patients,
            duration: SignedDuration::from_mins(10),
            ..Scenario::default()
        };
        let settings = Settings {
            scenario,
            broker: house.broker.url().parse().expect("a broker"),
            grpc: Some(house.grpc_url().await),
            caller: Caller::default(),
            record: record.to_owned(),
            show: Show::Nothing,
        };
        let fleet = Fleet::new(settings).expect("a fleet");
        let (stop, stopped) = oneshot::channel();
        let until = async {
            let _told_or_gone = stopped.await;
        };
        let task = tokio::spawn(async move { fleet.run(until).await.expect("it runs") });
        Self { task, stop }
    }

    /// Ends it.
    pub(super) async fn end(self) -> Summary {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic")
    }
}
