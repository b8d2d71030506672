//! What holds for every sequence of inputs.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::erasure::holds;
use super::*;
use crate::engine::snapshot::{BlobKey, Captured, Kind, Restoration};

/// Something that happens to one of three patients.
#[derive(Clone, Debug)]
enum Step {
    /// Heart rates, one a second from now on.
    Measure { number: u32, rates: Vec<u8>, again: bool },
    /// Heart rates of some seconds ago.
    Late { number: u32, ago: i64, rates: Vec<u8>, historical: bool },
    /// Time passes.
    Wait(i64),
    /// A clinician answers the first open alert there is.
    Work(u8),
    /// The link to the broker is lost for a while.
    Outage(i64),
    /// The device is taken off and put on again.
    Rebind(u32),
    /// Another default profile is put, with the limit at this rate.
    Limit(i64),
    /// The patient is erased, and another one of the same id puts on the device.
    Erase(u32),
}

fn rates() -> impl Strategy<Value = Vec<u8>> {
    // Normal, around the limits, no sensor, implausible.
    let rate = prop_oneof![Just(90_u8), 95..145_u8, Just(0), Just(255)];
    proptest::collection::vec(rate, 1..8)
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1_u32..4;
    prop_oneof![
        6 => (number.clone(), rates(), any::<bool>())
            .prop_map(|(number, rates, again)| Step::Measure { number, rates, again }),
        2 => (number.clone(), 1_i64..900, rates(), any::<bool>()).prop_map(
            |(number, ago, rates, historical)| Step::Late { number, ago, rates, historical }
        ),
        2 => (1_i64..400).prop_map(Step::Wait),
        2 => (0_u8..4).prop_map(Step::Work),
        1 => (1_i64..400).prop_map(Step::Outage),
        1 => number.clone().prop_map(Step::Rebind),
        1 => number.prop_map(Step::Erase),
        1 => (95_i64..120).prop_map(Step::Limit),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..40)
}

fn rules(limit: i64) -> Vec<Rule> {
    let levels = vec![level(Priority::Medium, limit, 2), level(Priority::High, limit + 25, 1)];
    let after = Duration::from_secs(60);
    let hr = Rule {
        latching_from: Some(Priority::High),
        escalations: vec![Escalation { priority: Priority::Medium, after }],
        ..rule("hr", levels)
    };
    vec![hr, silence(Vital::HeartRate, 3), technical(TechnicalCondition::SensorOff, 5)]
}

impl Ward {
    /// A ward of three to whom all this happens.
    fn after(steps: &[Step]) -> Self {
        let mut ward = Self::with(rules(100));
        for number in 1..=3 {
            ward.enroll_measuring(number, &[(Vital::HeartRate, 20)]);
        }
        steps.iter().for_each(|step| ward.take(step));
        ward
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Measure { number, rates, again } => {
                let begin = self.now;
                self.now += i64::try_from(rates.len()).expect("short");
                let readings = series(begin + 1, rates, false);
                let first = self.sequence;
                self.send_readings(*number, readings.clone());
                if *again {
                    self.publish(*number, &numbered(first, readings));
                }
            }
            Step::Late { number, ago, rates, historical } => {
                let readings = series(self.now - ago, rates, *historical);
                self.send_readings(*number, readings);
            }
            Step::Wait(seconds) => self.wait(*seconds),
            Step::Work(kind) => self.answer(*kind),
            Step::Outage(seconds) => {
                self.apply(Event::Link(Link::Down));
                self.now += seconds;
                self.apply(Event::Link(Link::Up { session_present: true }));
                self.now += 3;
                self.apply(Event::Link(Link::CaughtUp));
            }
            Step::Rebind(number) => {
                self.now += 1;
                drop(self.command(Action::UnbindDevice { device: device(*number), at: None }));
                self.put_on(*number);
            }
            Step::Erase(number) => {
                self.now += 1;
                self.erase(*number).expect("there is always one of this id");
                self.now += 1;
                self.done(Action::CreatePatient { patient: patient(*number), site: id(SITE) });
                self.put_on(*number);
            }
            Step::Limit(limit) => self.put_default(rules(*limit)),
        }
    }

    fn put_on(&mut self, number: u32) {
        self.now += 1;
        drop(self.command(Action::BindDevice(NewBinding {
            device: device(number),
            patient: patient(number),
            from: None,
            schedule: Schedule::default(),
        })));
    }

    fn answer(&mut self, kind: u8) {
        let Some(open) = self.state.open_alerts().next().cloned() else { return };
        let revision = open.revision;
        let action = match kind {
            0 => AlertAction::Acknowledge { revision, note: None },
            1 => AlertAction::Pause { revision, duration: Duration::from_secs(90), note: None },
            2 => AlertAction::Reset { revision },
            _ => AlertAction::AddNote { note: "noted".to_owned() },
        };
        drop(self.command(Action::WorkOnAlert { alert: open.id, action }));
    }
}

fn series(from: i64, rates: &[u8], historical: bool) -> Vec<proto::Reading> {
    let reading =
        |(at, rate): (i64, &u8)| proto::Reading { historical, ..heart_rate(at, i64::from(*rate)) };
    (from..).zip(rates).map(reading).collect()
}

pub(super) fn replay(state: &mut State, inputs: &[Input]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for input in inputs {
        apply(state, input, &mut outputs);
    }
    outputs
}

pub(super) fn checkpointed(state: &mut State) -> State {
    let mut restoration = Restoration::default();
    for (key, bytes) in blobs(state) {
        restoration.add(key, &bytes).expect("as encoded");
    }
    restoration.finish()
}

/// What a checkpoint keeps of what changed since the one before.
pub(super) fn blobs(state: &mut State) -> BTreeMap<BlobKey, Vec<u8>> {
    let mut captured = vec![state.begin_snapshot()];
    loop {
        let more = state.capture(2);
        if more.is_empty() {
            break;
        }
        captured.extend(more);
    }
    captured.iter().map(Captured::encode).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn v3_the_same_inputs_give_the_same_outputs(steps in steps()) {
        let ward = Ward::after(&steps);
        prop_assert_eq!(replay(&mut State::default(), &ward.inputs), ward.outputs);
    }

    #[test]
    fn v3_a_cut_at_a_checkpoint_changes_nothing(steps in steps(), cut in 0.0..1.0_f64) {
        let ward = Ward::after(&steps);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a fraction of a short list")]
        let cut = (cut * ward.inputs.len() as f64) as usize;
        let mut state = State::default();
        let mut outputs = replay(&mut state, &ward.inputs[..cut]);
        let mut restored = checkpointed(&mut state);
        outputs.extend(replay(&mut restored, &ward.inputs[cut..]));
        prop_assert_eq!(outputs, ward.outputs);
    }

    #[test]
    fn v3_how_often_time_is_looked_at_changes_nothing(steps in steps(), every in 1_i64..60) {
        let ward = Ward::after(&steps);
        let mut ticked = Vec::new();
        for pair in ward.inputs.windows(2) {
            ticked.push(pair[0].clone());
            let mut at = pair[0].received_at.plus(Duration::from_secs(every.unsigned_abs()));
            while at < pair[1].received_at {
                ticked.push(Input { received_at: at, event: Event::Tick });
                at = at.plus(Duration::from_secs(every.unsigned_abs()));
            }
        }
        ticked.extend(ward.inputs.last().cloned());
        prop_assert_eq!(replay(&mut State::default(), &ticked), ward.outputs);
    }

    #[test]
    fn v4_a_rule_has_at_most_one_open_alert_and_each_start_at_most_one_end(steps in steps()) {
        let ward = Ward::after(&steps);
        let mut open = BTreeMap::new();
        let mut over = BTreeSet::new();
        for event in events(&ward.outputs) {
            let AlertEvent { phase, alert, .. } = event;
            let key = (alert.patient.clone(), alert.rule.clone());
            prop_assert!(!over.contains(&alert.id), "nothing happens to what is over");
            if *phase == Phase::Start {
                prop_assert_eq!(alert.revision, 1);
                if !alert.retrospective {
                    prop_assert_eq!(open.insert(key.clone(), (alert.id, 1)), None);
                }
            } else {
                let held = open.get_mut(&key).expect("it is open");
                prop_assert_eq!((held.0, held.1 + 1), (alert.id, alert.revision));
                held.1 += 1;
            }
            if alert.is_over() {
                over.insert(alert.id);
                if !alert.retrospective {
                    open.remove(&key);
                }
            }
        }
        let left: BTreeSet<_> = open.values().map(|(id, _)| *id).collect();
        let held: BTreeSet<_> = ward.state.open_alerts().map(|alert| alert.id).collect();
        prop_assert_eq!(left, held);
    }

    #[test]
    fn v8_late_data_neither_ends_nor_raises_again(steps in steps(), late in steps()) {
        let mut ward = Ward::after(&steps);
        let before: Vec<_> = ward.state.open_alerts().cloned().collect();
        let begun = ward.outputs.len();
        for step in &late {
            // What is historical is late, however new it is.
            if let Step::Late { .. } | Step::Measure { .. } = step {
                let (Step::Late { number, rates, .. } | Step::Measure { number, rates, .. }) = step
                else { unreachable!() };
                let ago = if let Step::Late { ago, .. } = step { *ago } else { 0 };
                let readings = series(ward.now - ago - 10, rates, true);
                ward.send_readings(*number, readings);
            }
        }
        let after: Vec<_> = ward.state.open_alerts().cloned().collect();
        prop_assert_eq!(before, after);
        for event in events(&ward.outputs[begun..]) {
            prop_assert!(event.alert.retrospective && event.alert.signal == Signal::Off);
        }
    }

    #[test]
    fn v8_only_readings_and_what_is_done_to_devices_end_a_physiological_alert(steps in steps()) {
        let ward = Ward::after(&steps);
        for event in events(&ward.outputs).filter(|event| event.alert.rule.as_str() == "hr") {
            match event.phase {
                Phase::End => prop_assert!(matches!(event.trigger, Trigger::Readings(_))),
                Phase::Acknowledge | Phase::Pause | Phase::Resume | Phase::Remind => {
                    prop_assert_ne!(event.alert.condition, Condition::Inactive);
                }
                Phase::Reset => prop_assert_eq!(event.trigger.clone(), Trigger::Request),
                _ => {}
            }
        }
    }

    #[test]
    fn work_never_changes_a_condition(steps in steps(), kinds in proptest::collection::vec(0_u8..4, 1..6)) {
        let mut ward = Ward::after(&steps);
        let conditions = |ward: &Ward| -> BTreeMap<_, _> {
            ward.state.open_alerts().map(|it| (it.id, it.condition)).collect()
        };
        let before = conditions(&ward);
        for kind in kinds {
            ward.answer(kind);
        }
        for (id, condition) in &before {
            let after = conditions(&ward).get(id).copied();
            // What has ended may be reset and is gone then; nothing else goes.
            prop_assert!(after == Some(*condition) || *condition == Condition::Inactive);
        }
    }

    #[test]
    fn a_patients_outputs_do_not_depend_on_the_others(steps in steps()) {
        let together = Ward::after(&steps);
        let mine = |publish: &Publish| publish.topic.contains("device-1/");
        // Time passes all the same where the others' messages were.
        let alone = |input: &Input| match &input.event {
            Event::Publish(publish) if !mine(publish) => {
                Input { event: Event::Tick, ..input.clone() }
            }
            _ => input.clone(),
        };
        let inputs: Vec<Input> = together.inputs.iter().map(alone).collect();
        let outputs = replay(&mut State::default(), &inputs);
        let of_first = |outputs: &[Output]| -> Vec<AlertEvent> {
            let mine = |event: &&AlertEvent| event.alert.patient == Some(patient(1));
            events(outputs).filter(mine).cloned().collect()
        };
        prop_assert_eq!(of_first(&outputs), of_first(&together.outputs));
    }

    #[test]
    fn an_erasure_leaves_nothing_of_a_patient_and_touches_nobody_else(steps in steps()) {
        let mut ward = Ward::after(&steps);
        // By now adapted to all rules, which else might happen first.
        ward.wait(0);
        let first = ward.state.patient_key("patient-1").expect("enrolled").0;
        let before = blobs(&mut ward.state);
        ward.erase(1).expect("enrolled");
        let changed = blobs(&mut ward.state);
        let whose = |key: &BlobKey| (key.kind, key.id);
        let expected = [(Kind::General, 0), (Kind::Patient, first), (Kind::Device, 0)];
        let changed_keys: Vec<_> = changed.keys().map(whose).collect();
        prop_assert!(changed_keys.iter().all(|key| expected.contains(key)), "{changed_keys:?}");
        for (key, blob) in before.iter().filter(|(key, _)| !changed.contains_key(key)) {
            prop_assert!(!holds(blob, "patient-1"), "{key:?}");
        }
        prop_assert!(!changed.values().any(|blob| holds(blob, "patient-1")));
    }

    #[test]
    fn hovering_between_limit_and_clear_limit_does_not_flap(
        rates in proptest::collection::vec(96_i64..=115, 1..120),
    ) {
        let mut hovered = level(Priority::Medium, 100, 0);
        hovered.clear_limit = Quantity::whole(95);
        let mut ward = Ward::with(vec![rule("hr", vec![hovered])]);
        ward.enroll(1);
        for (sequence, rate) in (0..).zip(rates) {
            ward.beat(1, sequence, rate);
        }
        prop_assert!(phases(&ward.outputs).len() <= 1);
    }

    #[test]
    fn no_payload_makes_it_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        kind in prop_oneof![Just("readings"), Just("status")],
    ) {
        let mut ward = Ward::new();
        ward.enroll(1);
        ward.send(&format!("pulseward/v1/north/device-1/{kind}"), payload);
    }
}
