//! The command line of `pulseward-sim fleet`.

use std::path::PathBuf;

use jiff::SignedDuration;

use super::{Scenario, Settings, scenario};
use crate::caller::{self, Caller};
use crate::encode::Encoding;
use crate::publish::Broker;
use crate::replay::Show;

/// What is asked of a fleet. Values given here override those of the scenario file.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The broker: mqtt://[USER[:PASSWORD]@]HOST[:PORT].
    #[arg(
        long,
        value_name = "URL",
        env = "PULSEWARD_SIM_MQTT",
        hide_env_values = true,
        default_value = "mqtt://127.0.0.1:1883"
    )]
    mqtt: Broker,
    /// The service, for enrolling, watching and replacing devices.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    grpc: String,
    /// A file whose only line is the bearer token for gRPC.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The directory that the record is written to; it holds none yet.
    #[arg(long, value_name = "DIR")]
    record: PathBuf,
    /// What the fleet is and what befalls it (docs/simulators.md); without one, a hundred devices
    /// for two minutes, with a few episodes and no faults.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The site of patients and devices.
    #[arg(long, value_name = "ID")]
    site: Option<String>,
    /// How many wearables measure.
    #[arg(long, value_name = "N")]
    devices: Option<u32>,
    /// Readings of the whole fleet in a second.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// How long the devices measure, such as 90s or 10m.
    #[arg(long, value_name = "SPAN")]
    duration: Option<SignedDuration>,
    /// How many times faster than life to send. A faster fleet begins in the past and catches up.
    #[arg(long, value_name = "N")]
    speed: Option<f64>,
    /// The seed of everything that is drawn.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Faults with their rates, such as duplicates=0.01,storms; or all.
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// MQTT connections, each a gateway, over which devices are spread; 0 is one a device.
    #[arg(long, value_name = "N")]
    connections: Option<u32>,
    /// How messages are encoded.
    #[arg(long, value_enum)]
    encoding: Option<Encoding>,
    /// Clients that watch the stream of alerts.
    #[arg(long, value_name = "N")]
    watchers: Option<u32>,
    /// Form of the closing summary.
    #[arg(long, value_enum, default_value_t)]
    pub summary: SummaryForm,
}

/// Forms of a closing summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SummaryForm {
    /// For people.
    #[default]
    Text,
    /// For programs, on one line.
    Json,
}

/// Why the arguments can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario can't be read.
    #[error(transparent)]
    Scenario(#[from] scenario::Error),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] caller::Error),
}

impl Arguments {
    /// The settings that they ask for.
    ///
    /// # Errors
    /// If a file that they name can't be read, or says what it may not.
    pub fn settings(self) -> Result<Settings, Error> {
        let scenario = self.scenario()?;
        let caller = self.token_file.as_deref().map(Caller::read).transpose()?;
        Ok(Settings {
            scenario,
            broker: self.mqtt,
            grpc: Some(self.grpc),
            caller: caller.unwrap_or_default(),
            record: self.record,
            show: Show::Terminal,
        })
    }

    fn scenario(&self) -> Result<Scenario, scenario::Error> {
        let mut scenario = match &self.scenario {
            Some(path) => Scenario::read(path)?,
            None => Scenario::default(),
        };
        fn set<T: Clone>(value: &mut T, given: &Option<T>) {
            if let Some(given) = given {
                value.clone_from(given);
            }
        }
        set(&mut scenario.site, &self.site);
        set(&mut scenario.devices, &self.devices);
        set(&mut scenario.duration, &self.duration);
        set(&mut scenario.speed, &self.speed);
        set(&mut scenario.seed, &self.seed);
        set(&mut scenario.connections, &self.connections);
        set(&mut scenario.encoding, &self.encoding);
        set(&mut scenario.watchers, &self.watchers);
        scenario.rate = self.rate.or(scenario.rate);
        if let Some(list) = &self.faults {
            scenario.take_faults(list)?;
        }
        Ok(scenario)
    }
}
