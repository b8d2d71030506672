//! The verdict: record, store and alerts held against each other.

use std::sync::Arc;

use indicatif::ProgressBar;

use super::alerts::{self, ExpectedSilences};
use super::latency::seconds;
use super::readings;
use super::report::{MarkAt, RefusedMessages, Report, RunFacts};
use super::service::Story;
use super::stored::{self, Stored};
use super::streams;
use crate::oracle::Ledger;
use crate::oracle::alarms::{self, Handover, LIVE_WINDOW_GRACE, Step};
use crate::oracle::ledger::Slot;
use crate::oracle::profile::{Kind, Micros, Rule, SilenceRule};
use crate::oracle::silence::{self, Arrival, Listening};

/// Holds a run against what the service has stored and raised. `late_after` is how long after the
/// due time of its message an alert may be told; `progress` counts patients.
///
/// # Errors
/// If the store can't be read.
pub async fn judge(
    mut ledger: Ledger,
    stored: &Stored,
    stories: &[Story],
    late_after: Micros,
    progress: &ProgressBar,
) -> Result<Report, stored::Error> {
    let mut report = Report { run: facts(&ledger), ..Report::default() };
    let patients = u32::try_from(ledger.survey.patients.len()).unwrap_or(u32::MAX);
    let mut readings = readings::Comparison::default();
    for patient in 0..patients {
        let rows = stored.of_patient(&ledger.patient(patient)).await?;
        readings.patient(&mut ledger, patient, rows);
        progress.inc(1);
    }
    let names: Vec<Arc<str>> = ledger.survey.patients.clone();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    for (patient, row) in stored.strays(&names).await? {
        readings.unexpected(patient, row);
    }
    report.readings = readings.conclude(&ledger);
    let devices: Vec<&str> =
        ledger.survey.run.devices.iter().map(|it| it.device_id.as_str()).collect();
    refusals(&mut report, &ledger, stored.refused(&devices).await?);
    let told = streams::read(&ledger.survey, stories);
    let mut comparison = alerts::Comparison::new(&ledger, stories, &told, late_after);
    for patient in 0..patients {
        judge_alerts(&ledger, patient, &mut comparison);
        progress.inc(1);
    }
    (report.alerts, report.latency) =
        (comparison.alerts, comparison.latency.report(&ledger.survey));
    report.watchers = told.watchers;
    report.conclude();
    Ok(report)
}

fn judge_alerts(ledger: &Ledger, patient: u32, comparison: &mut alerts::Comparison<'_>) {
    let name = ledger.patient(patient);
    let steps = steps(ledger, patient);
    let of_patient = ledger.survey.swaps.iter().filter(|it| it.patient == patient);
    let handovers: Vec<_> =
        of_patient.map(|it| Handover { from: it.from, to: it.to, at: it.at }).collect();
    let expected = alarms::expect(&name, &ledger.rules, &steps, &handovers);
    comparison.limits(&name, &expected);
    for rule in &ledger.rules {
        let Kind::Silence(silence) = &rule.kind else { continue };
        let silences = ExpectedSilences {
            patient: Arc::clone(&name),
            rule: Arc::clone(&rule.id),
            priority: silence.priority,
            devices: ledger.devices_of(patient).count(),
            silences: silences(ledger, patient, (rule, silence), &steps),
        };
        comparison.silences(&silences);
    }
}

/// What the rules were given of a patient: everything that is stored or must be.
fn steps(ledger: &Ledger, patient: u32) -> Vec<Step> {
    let mut steps = Vec::new();
    for device in ledger.devices_of(patient) {
        let slots = ledger.slots[device as usize].iter();
        let counts =
            |slot: &&Slot| slot.patient == patient && (slot.must_be_stored() || slot.received != 0);
        steps.extend(slots.filter(counts).filter_map(|slot| ledger.step(device, slot)));
    }
    steps
}

fn silences(
    ledger: &Ledger,
    patient: u32,
    (rule, silence): (&Rule, &SilenceRule),
    steps: &[Step],
) -> Vec<silence::Silence> {
    let measures = |device: u32| {
        ledger.slots[device as usize].iter().any(|slot| slot.reading.vital == silence.vital)
    };
    let mut found = Vec::new();
    for device in ledger.devices_of(patient) {
        let Some(binding) = ledger.survey.binding(device, patient) else { continue };
        let Some(worn) = ledger.survey.run.devices.get(device as usize) else { continue };
        let micros = |span: jiff::SignedDuration| Micros::try_from(span.as_micros()).unwrap_or(0);
        if worn.measures_every.is_zero() {
            continue;
        }
        let began = ledger.survey.span.0;
        let from = match binding.known_from {
            Micros::MIN => (binding.from.min(began), began),
            known => (known - silence::SLACK, known),
        };
        let listening = Listening {
            from,
            until: binding.ended_at,
            seen_until: ledger.survey.span.1,
            every: micros(worn.measures_every),
            upload_interval: micros(worn.upload_interval),
            is_sure: measures(device),
        };
        let arrivals = arrivals(steps, device, (rule, silence));
        found.extend(silence::expect(silence, &listening, &arrivals, &ledger.survey.standstills));
    }
    found.sort_by_key(|it| it.start);
    found
}

/// What broke a device's silence, in the order of receipt.
fn arrivals(steps: &[Step], device: u32, (rule, silence): (&Rule, &SilenceRule)) -> Vec<Arrival> {
    let is_of = |step: &&Step| step.device == device && step.vital == silence.vital;
    let mut ordered: Vec<&Step> = steps.iter().filter(is_of).collect();
    ordered.sort_by_key(|step| (step.received, step.message, step.measured_at));
    let mut newest = Micros::MIN;
    let mut arrivals = Vec::new();
    for step in ordered {
        if step.is_historical || step.measured_at <= newest {
            continue;
        }
        newest = step.measured_at;
        let oldest = (step.upload_interval + LIVE_WINDOW_GRACE).max(rule.actionable_for);
        let is_sure = step.received.1 - step.measured_at <= oldest;
        arrivals.push(Arrival { received: step.received, is_sure });
    }
    arrivals
}

fn refusals(report: &mut Report, ledger: &Ledger, found: std::collections::BTreeMap<String, u64>) {
    let refused = &mut report.readings.refused;
    for (refusal, expected) in &ledger.refused {
        let (must, may) = (expected.must, expected.may);
        refused.insert(refusal.name().to_owned(), RefusedMessages { must, may, found: 0 });
    }
    for (reason, count) in found {
        refused.entry(reason).or_default().found = count;
    }
    for (reason, messages) in refused.iter().filter(|(_, it)| it.found < it.must) {
        let RefusedMessages { must, found, .. } = messages;
        let text = || format!("{reason}: {found} of {must} messages");
        report.readings.not_refused.add(text);
    }
    for (reason, messages) in refused.iter().filter(|(_, it)| it.found > 0 && it.may == 0) {
        let text = || format!("{reason}: {} messages, of which none had to be", messages.found);
        report.readings.not_refused.add(text);
    }
}

fn facts(ledger: &Ledger) -> RunFacts {
    let survey = &ledger.survey;
    let since = |at: Micros| seconds(at - survey.span.0);
    let acknowledged = survey.messages.iter().filter_map(|it| it.acknowledged().map(|_| it));
    let unheard = acknowledged.clone().filter(|it| !it.is_heard).count();
    RunFacts {
        site: survey.run.site.clone(),
        seed: survey.run.seed,
        began_at: survey.run.began_at.to_string(),
        seconds: since(survey.span.1),
        record_is_whole: survey.is_whole,
        devices: survey.run.devices.len(),
        patients: survey.patients.len(),
        messages: survey.messages.len(),
        acknowledged: acknowledged.count(),
        unheard,
        statuses: ledger.statuses,
        marks: survey
            .marks
            .iter()
            .map(|(at, text)| MarkAt { at: since(*at), text: text.clone() })
            .collect(),
        outages: survey.outages.spans().iter().map(|it| (since(it.0), since(it.1))).collect(),
        scenario: survey.run.scenario.clone(),
    }
}

/// Whether what is due is there: stories of alerts may still come while the store is behind.
pub(super) fn due(ledger: &Ledger) -> u64 {
    let must = |slots: &Vec<Slot>| slots.iter().filter(|slot| slot.must_be_stored()).count() as u64;
    ledger.slots.iter().map(must).sum()
}
