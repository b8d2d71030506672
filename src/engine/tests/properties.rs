//! What holds for every sequence of inputs.

use proptest::prelude::*;

use super::*;
use crate::engine::snapshot::{Captured, Restoration};

/// A ward of three, told random heart rates in random cuts.
fn random_ward(steps: &[(u32, Vec<u8>, bool)]) -> Ward {
    let mut ward = Ward::new();
    for number in 1..=3 {
        ward.enroll(number);
    }
    let mut next = [0_u64; 4];
    for (number, rates, again) in steps {
        let start = ward.now;
        ward.now += i64::try_from(rates.len()).expect("short");
        let sequence = &mut next[*number as usize];
        let first = *sequence;
        *sequence += rates.len() as u64;
        let readings =
            (start + 1..).zip(rates).map(|(at, rate)| heart_rate(at, i64::from(*rate))).collect();
        let batch = numbered(first, readings);
        ward.publish(*number, &batch);
        if *again {
            ward.publish(*number, &batch);
        }
    }
    ward
}

fn steps() -> impl Strategy<Value = Vec<(u32, Vec<u8>, bool)>> {
    let rates = proptest::collection::vec(prop_oneof![Just(90_u8), 95..145_u8, Just(0)], 1..8);
    proptest::collection::vec((1_u32..4, rates, any::<bool>()), 1..40)
}

fn replay(state: &mut State, inputs: &[Input]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for input in inputs {
        apply(state, input, &mut outputs);
    }
    outputs
}

fn checkpointed(state: &mut State) -> State {
    let mut captured = vec![state.begin_snapshot()];
    loop {
        let more = state.capture(2);
        if more.is_empty() {
            break;
        }
        captured.extend(more);
    }
    let mut blobs: Vec<_> = captured.iter().map(Captured::encode).collect();
    blobs.sort();
    let mut restoration = Restoration::default();
    for (key, bytes) in blobs {
        restoration.add(key, &bytes).expect("as encoded");
    }
    restoration.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn v3_the_same_inputs_give_the_same_outputs(steps in steps()) {
        let ward = random_ward(&steps);
        prop_assert_eq!(replay(&mut State::default(), &ward.inputs), ward.outputs);
    }

    #[test]
    fn v3_a_cut_at_a_checkpoint_changes_nothing(steps in steps(), cut in 0.0..1.0_f64) {
        let ward = random_ward(&steps);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a fraction of a short list")]
        let cut = (cut * ward.inputs.len() as f64) as usize;
        let mut state = State::default();
        let mut outputs = replay(&mut state, &ward.inputs[..cut]);
        let mut restored = checkpointed(&mut state);
        outputs.extend(replay(&mut restored, &ward.inputs[cut..]));
        prop_assert_eq!(outputs, ward.outputs);
    }

    #[test]
    fn v4_a_rule_has_at_most_one_open_alert_a_patient(steps in steps()) {
        let ward = random_ward(&steps);
        let mut open = std::collections::BTreeMap::new();
        for event in events(&ward.outputs) {
            let key = (event.alert.patient.clone(), event.alert.rule.clone());
            if event.phase == Phase::Start {
                prop_assert_eq!(open.insert(key, event.alert.id), None);
            } else if event.phase.is_final() {
                prop_assert_eq!(open.remove(&key), Some(event.alert.id));
            } else {
                prop_assert_eq!(open.get(&key), Some(&event.alert.id));
            }
        }
    }

    #[test]
    fn a_patients_outputs_do_not_depend_on_the_others(steps in steps()) {
        let together = random_ward(&steps);
        let mut alone = Ward::new();
        for number in 1..=3 {
            alone.enroll(number);
        }
        let mine = |publish: &Publish| publish.topic.contains("device-1/");
        let inputs: Vec<Input> = together
            .inputs
            .iter()
            .filter(|input| match &input.event {
                Event::Publish(publish) => mine(publish),
                _ => true,
            })
            .cloned()
            .collect();
        let outputs = replay(&mut State::default(), &inputs);
        let of_first = |outputs: &[Output]| -> Vec<AlertEvent> {
            events(outputs).filter(|event| event.alert.patient == patient(1)).cloned().collect()
        };
        prop_assert_eq!(of_first(&outputs), of_first(&together.outputs));
    }

    #[test]
    fn no_payload_makes_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut ward = Ward::new();
        ward.enroll(1);
        ward.send("pulseward/v1/north/device-1/readings", payload);
    }
}
