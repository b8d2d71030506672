//! Monitoring states say what they are named after; and the engine's own list of open alerts is
//! what its events have told, alert by alert.

use std::collections::BTreeMap;

use pulseward::clock::Timestamp;
use pulseward::engine::State;
use pulseward::engine::output::{MonitoringState, Output};
use pulseward::vitals::SiteId;

use super::registry::Registry;
use super::stories::Stories;
use super::{Violation, hold};
use crate::ward::{MINUTE, Micros};

const MONITORING: &str = "a monitoring state says what it is named after";
/// Between two looks at everything.
const SWEEP_EVERY: Micros = 7 * MINUTE;

/// What was told of how patients are watched.
#[derive(Default)]
pub(super) struct Watch {
    told: BTreeMap<usize, (MonitoringState, SiteId)>,
    swept_at: Micros,
}

impl Watch {
    /// Follows what an input says of monitoring.
    pub(super) fn check(
        &mut self,
        now: Timestamp,
        outputs: &[Output],
        registry: &Registry,
    ) -> Result<(), Violation> {
        let mut told = Vec::new();
        for output in outputs {
            let Output::Monitoring(change) = output else { continue };
            let patient = change.patient_key.index();
            // A patient who is new, or at another place, is told of all the same.
            let now_told = (change.state, change.site.clone());
            let before = self.told.insert(patient, now_told.clone());
            let is_news = before != Some(now_told);
            hold(is_news && change.since <= now, MONITORING, || format!("{change:?}"))?;
            told.push(patient);
        }
        told.into_iter().try_for_each(|patient| self.check_patient(patient, registry))
    }

    fn check_patient(&self, patient: usize, registry: &Registry) -> Result<(), Violation> {
        let told = self.told.get(&patient).map(|(state, _)| *state);
        hold(told.is_some(), MONITORING, || format!("nobody was told of patient {patient}"))?;
        let state = told.unwrap_or(MonitoringState::NoDevice);
        let known = &registry.patients[patient];
        let has_device = !known.devices.is_empty();
        let is_paused = has_device && known.paused_until.is_some();
        let holds = (state == MonitoringState::NoDevice) != has_device
            && (state == MonitoringState::Paused) == is_paused
            && state != MonitoringState::LimitsOff;
        hold(holds, MONITORING, || {
            let until = known.paused_until;
            format!("patient {patient}: {state:?} with {:?}, paused until {until:?}", known.devices)
        })
    }

    /// Whether it is time to look at everything.
    pub(super) fn is_time_to_sweep(&mut self, now: Timestamp) -> bool {
        let is_time = now.micros() - self.swept_at >= SWEEP_EVERY;
        if is_time {
            self.swept_at = now.micros();
        }
        is_time
    }

    /// Compares what was told with what the state says.
    pub(super) fn sweep(
        &self,
        state: &State,
        registry: &Registry,
        stories: &Stories,
    ) -> Result<(), Violation> {
        (0..registry.patients.len())
            .try_for_each(|patient| self.check_patient(patient, registry))?;
        for change in state.monitoring() {
            let told = self.told.get(&change.patient_key.index());
            let is_told = told == Some(&(change.state, change.site.clone()));
            hold(is_told, MONITORING, || format!("{change:?}, and {told:?} was told"))?;
        }
        let mut count = 0;
        for alert in state.open_alerts() {
            count += 1;
            let told = stories.alerts().get(&alert.id);
            hold(told == Some(alert), "events tell the whole alert", || {
                format!("{alert:?}, and {told:?} was told")
            })?;
        }
        let told = stories.alerts().len();
        hold(count == told, "events tell of every alert", || format!("{count} of {told} are open"))
    }
}
