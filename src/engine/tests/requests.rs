//! Requests that come again: the first answer, nothing changed, and other content told apart.

use super::life::alarming;
use super::properties::{blobs, checkpointed, replay};
use super::*;
use crate::engine::alerts::AlertId;
use crate::engine::audit::Outcome;
use crate::engine::query::Found;
use crate::engine::snapshot::Kind;
use crate::position::{JournalId, MessageId, Partition, Position};

const DAY: i64 = 24 * 60 * 60;

fn called(id: &str) -> Option<Repeatable> {
    Some(Repeatable { id: id.parse().expect("an id"), call: None })
}

fn anna(role: Role, sites: Sites) -> Principal {
    Principal { subject: "anna".to_owned(), role, sites }
}

impl Ward {
    fn ask(&mut self, principal: Principal, request: Option<Repeatable>, action: Action) -> Reply {
        let command = Box::new(Command { principal, action, origin: origin(), request });
        self.apply(Event::Command(command)).0.expect("a command is answered")
    }

    /// As an administrator of everything.
    fn ask_named(&mut self, id: &str, action: Action) -> Reply {
        self.ask(anna(Role::Admin, Sites::All), called(id), action)
    }

    /// What the last command led to, but for what tells who did it.
    fn ask_and_see(&mut self, id: &str, action: Action) -> (Reply, Vec<Output>) {
        let told = self.outputs.len();
        let reply = self.ask_named(id, action);
        let is_audit = |output: &&Output| matches!(output, Output::Audit(_));
        (reply, self.outputs[told..].iter().filter(|it| !is_audit(it)).cloned().collect())
    }

    fn last_told(&self) -> (Outcome, String) {
        let event = self.audited().pop().expect("told");
        (event.outcome, event.reason)
    }
}

fn reused(id: &str) -> Reply {
    Err(Refusal::RequestReused { id: id.to_owned() })
}

fn site(name: &str) -> Action {
    let (display_name, time_zone) = (name.to_owned(), "UTC".to_owned());
    Action::CreateSite { site: id(name), display_name, time_zone }
}

fn message(position: u64) -> MessageId {
    let (journal_id, position) = (JournalId(uuid::Uuid::from_u128(7)), Position(position));
    MessageId { journal_id, partition: Partition::FIRST, position }
}

fn refused_message(position: u64, now: i64) -> Action {
    let batch = numbered(position, vec![heart_rate(now, 70)]);
    Action::Redrive(Redrive {
        message: message(position),
        publish: Publish {
            topic: format!("pulseward/v1/{SITE}/{}/readings", device(1)),
            payload: batch.encode_to_vec().into(),
            encoding: None,
            correlation: None,
            retained: false,
        },
        received_at: Timestamp::from_seconds(now),
        refused: Vec::new(),
        redrives_stored: 0,
    })
}

/// A ward with an alarming patient and a latched alert of a second one, and every action once.
fn ward_and_actions() -> (Ward, Vec<Action>) {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.enroll(2);
    for sequence in 0..3 {
        ward.beat_both(sequence, 140, 141);
    }
    let alerts: Vec<AlertId> = ward.state.open_alerts().map(|alert| alert.id).collect();
    let [first, second] = alerts[..] else { panic!("{alerts:?}") };
    let work = |alert, action| Action::WorkOnAlert { alert, action };
    let note = || Some("seen".to_owned());
    let by_hand = proto::ReadingBatch {
        readings: vec![measured(Vital::Weight, ward.now, 71.0)],
        ..proto::ReadingBatch::default()
    };
    let replacement =
        Replacement { device: device(3), new_device: device(4), at: None, schedule: None };
    let bind = |device_number, patient_number| {
        Action::BindDevice(NewBinding {
            device: device(device_number),
            patient: patient(patient_number),
            from: None,
            schedule: Schedule::default(),
        })
    };
    let until = Some(Timestamp::from_seconds(ward.now + 900));
    let actions = vec![
        site("east"),
        Action::CreatePatient { patient: patient(3), site: id(SITE) },
        Action::CreateDevice { device: device(3), site: id(SITE) },
        Action::CreateDevice { device: device(4), site: id(SITE) },
        bind(3, 3),
        Action::ReplaceDevice(replacement),
        Action::UnbindDevice { device: device(4), at: None },
        Action::UpdatePatient {
            patient: patient(3),
            eligibility: Eligibility { age_group: AgeGroup::Adult, pregnancy: Pregnancy::Unknown },
            expected: None,
        },
        Action::TransferPatient { patient: patient(3), site: id("east") },
        Action::PausePatient { patient: patient(3), until, reason: note() },
        Action::PutProfile {
            owner: ProfileOwner::Patient(patient(1)),
            profile: Profile { rules: vec![rule("own", vec![level(Priority::Low, 190, 0)])] },
            expected_version: None,
        },
        work(first, AlertAction::AddNote { note: "pale".to_owned() }),
        work(first, AlertAction::Assign { assignee: Some("ben".to_owned()), revision: None }),
        work(first, AlertAction::Acknowledge { revision: 1, note: note() }),
        work(
            second,
            AlertAction::Pause { revision: 1, duration: Duration::from_secs(60), note: None },
        ),
        Action::RecordReadings { patient: patient(1), readings: by_hand.encode_to_vec().into() },
        refused_message(90, ward.now),
        Action::ErasePatient { patient: patient(2), added_before: None },
    ];
    (ward, actions)
}

#[test]
fn every_change_repeated_gets_its_first_answer_and_changes_nothing() {
    let (mut ward, actions) = ward_and_actions();
    for (number, action) in actions.into_iter().enumerate() {
        let name = format!("request-{number}");
        ward.now += 1;
        let first = ward.ask_named(&name, action.clone());
        assert!(first.is_ok(), "{action:?}: {first:?}");
        assert_eq!(ward.last_told(), (Outcome::Done, String::new()), "{action:?}");
        for _ in 0..2 {
            ward.now += 1;
            let (again, outputs) = ward.ask_and_see(&name, action.clone());
            assert_eq!(again, first, "{action:?}");
            assert_eq!(outputs, [], "{action:?}");
            assert_eq!(ward.last_told(), (Outcome::Done, "REPEATED".to_owned()), "{action:?}");
        }
    }
}

#[test]
fn a_reset_repeated_after_the_alert_is_gone_gets_its_first_answer() {
    let mut ward = alarming();
    ward.measure_all(Vital::HeartRate, 1, &[140.0, 90.0]);
    let alert = ward.state.open_alerts().next().expect("latched").clone();
    assert_eq!(alert.signal, Signal::Latched);
    let action = AlertAction::Reset { revision: alert.revision };
    let reset = Action::WorkOnAlert { alert: alert.id, action };
    let first = ward.ask_named("r", reset.clone());
    assert!(first.is_ok(), "{first:?}");
    assert_eq!(ward.ask_named("r", reset.clone()), first);
    assert_eq!(ward.audited().pop().expect("told").details.patients, [patient(1)]);
    let reason = ward.ask_named("other", reset).map_err(|refusal| refusal.reason());
    assert_eq!(reason, Err("ALERT_ENDED".to_owned()));
}

#[test]
fn the_same_id_with_other_content_is_refused_whatever_the_content_is() {
    let mut ward = Ward::new();
    ward.ask_named("r", site("east")).expect("created");
    assert_eq!(ward.ask_named("r", site("west")), reused("r"));
    let other = Action::CreatePatient { patient: patient(9), site: id(SITE) };
    let (refused, outputs) = ward.ask_and_see("r", other);
    assert_eq!((refused, outputs), (reused("r"), vec![]));
    assert_eq!(ward.last_told(), (Outcome::Failed, "REQUEST_ID_REUSED".to_owned()));
    assert!(ward.ask_named("r", site("east")).is_ok(), "and the first stands");
}

#[test]
fn ids_are_each_callers_own_and_without_one_nothing_is_remembered() {
    let mut ward = Ward::new();
    let ben = Principal { subject: "ben".to_owned(), ..anna(Role::Admin, Sites::All) };
    ward.ask_named("r", site("east")).expect("created");
    ward.ask(ben, called("r"), site("west")).expect("another caller's");
    ward.ask(anna(Role::Admin, Sites::All), None, site("south-east")).expect("created");
    let again = ward.ask(anna(Role::Admin, Sites::All), None, site("south-east"));
    assert!(matches!(again, Err(Refusal::AlreadyExists { .. })), "{again:?}");
}

#[test]
fn what_was_refused_is_judged_again() {
    let mut ward = Ward::new();
    let create = || Action::CreatePatient { patient: patient(5), site: id("east") };
    let refused = ward.ask_named("r", create());
    assert!(matches!(refused, Err(Refusal::NotFound { .. })), "{refused:?}");
    ward.done(site("east"));
    ward.ask_named("r", create()).expect("there is such a site now");
    assert_eq!(ward.last_told(), (Outcome::Done, String::new()));
}

#[test]
fn after_a_day_a_request_is_another() {
    let mut ward = Ward::new();
    ward.ask_named("r", site("east")).expect("created");
    ward.now += DAY - 1;
    ward.ask_named("r", site("east")).expect("a repeat");
    ward.now += 1;
    let late = ward.ask_named("r", site("east"));
    assert!(matches!(late, Err(Refusal::AlreadyExists { .. })), "{late:?}");
    ward.ask_named("r", site("west")).expect("the id is free");
}

#[test]
fn an_answer_is_for_who_may_still_ask() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.done(site("east"));
    let until = Some(Timestamp::from_seconds(ward.now + 600));
    let pause = || Action::PausePatient { patient: patient(1), until, reason: None };
    let here = || anna(Role::Clinician, Sites::Only(vec![id(SITE)]));
    let first = ward.ask(here(), called("r"), pause());
    assert!(first.is_ok(), "{first:?}");
    let viewer = anna(Role::Viewer, Sites::All);
    let refused = ward.ask(viewer, called("r"), pause());
    assert!(matches!(refused, Err(Refusal::PermissionDenied { .. })), "{refused:?}");
    let elsewhere = anna(Role::Clinician, Sites::Only(vec![id("east")]));
    let hidden = Err(Refusal::NotFound { kind: "request", id: "r".to_owned() });
    assert_eq!(ward.ask(elsewhere, called("r"), pause()), hidden);
    assert_eq!(ward.last_told().0, Outcome::Denied, "an attempt from outside is told as one");
    ward.done(Action::TransferPatient { patient: patient(1), site: id("east") });
    assert_eq!(ward.ask(here(), called("r"), pause()), hidden);
    let both = anna(Role::Clinician, Sites::Only(vec![id(SITE), id("east")]));
    assert_eq!(ward.ask(both, called("r"), pause()), first);
}

#[test]
fn nothing_of_what_was_asked_of_an_erased_patient_is_left() {
    let (mut ward, mut actions) = ward_and_actions();
    let erase = actions.pop().expect("the last");
    for (number, action) in actions.iter().enumerate() {
        ward.now += 1;
        ward.ask_named(&format!("r-{number}"), action.clone()).expect("accepted");
    }
    let create = Action::CreatePatient { patient: patient(7), site: id(SITE) };
    ward.ask_named("create", create.clone()).expect("created");
    for number in [1, 2, 3, 7] {
        let erase = Action::ErasePatient { patient: patient(number), added_before: None };
        ward.ask_named(&format!("erase-{number}"), erase).expect("erased");
    }
    let rows = blobs(&mut ward.state);
    let requests: Vec<_> = rows.iter().filter(|(key, _)| key.kind == Kind::Request).collect();
    assert_eq!(requests.len(), actions.len() + 5);
    for (key, blob) in &rows {
        for number in [1, 2, 3, 7] {
            assert!(!erasure::holds(blob, patient(number).as_str()), "{key:?}");
        }
    }
    // Nobody is added again by who has not heard that they were.
    let (refused, outputs) = ward.ask_and_see("create", create);
    assert_eq!(refused.map_err(|refusal| refusal.reason()), Err("PATIENT_ERASED".to_owned()));
    assert_eq!(outputs, []);
    // The erasure itself can be repeated, and names nobody on record again.
    let again = ward.ask_named("erase-2", erase);
    assert!(matches!(again, Ok(Done::Erased(_))), "{again:?}");
    let told = ward.audited().pop().expect("told");
    assert_eq!((told.details.patients, told.details.text), (vec![], String::new()));
}

#[test]
fn messages_of_one_call_are_remembered_one_by_one() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let of = |asked: &[u64]| {
        let asked: Vec<MessageId> = asked.iter().map(|it| message(*it)).collect();
        Some(Repeatable::of_several("r".parse().expect("an id"), &asked))
    };
    let admin = || anna(Role::Admin, Sites::All);
    let now = ward.now;
    let first = ward.ask(admin(), of(&[1, 2]), refused_message(1, now));
    assert!(first.is_ok(), "{first:?}");
    let asked = |ward: &Ward, request: Option<Repeatable>, position| {
        let question = Question::Redriven(request.expect("some"), message(position));
        query::answer(&ward.state, &Query { principal: admin(), question })
    };
    let found = |done: Option<Done>| Ok(Done::Found(Box::new(Found::Redriven(done.map(Box::new)))));
    assert_eq!(asked(&ward, of(&[1, 2]), 1), found(first.clone().ok()));
    assert_eq!(asked(&ward, of(&[1, 2]), 2), found(None));
    ward.ask(admin(), of(&[1, 2]), refused_message(2, now)).expect("the other");
    assert_eq!(ward.ask(admin(), of(&[1, 2]), refused_message(1, now)), first);
    // Another list is another call, whether or not it names the same messages.
    assert_eq!(asked(&ward, of(&[1]), 1), reused("r"));
    assert_eq!(asked(&ward, of(&[3]), 3), reused("r"));
    assert_eq!(ward.ask(admin(), of(&[3]), refused_message(3, now)), reused("r"));
    assert_eq!(ward.ask_named("r", site("east")), reused("r"));
}

#[test]
fn a_checkpoint_keeps_what_is_remembered_and_a_replay_leads_to_the_same() {
    let (mut ward, mut actions) = ward_and_actions();
    // An erasure takes answers away, and is a claim of its own.
    actions.pop();
    let mut answers = Vec::new();
    for (number, action) in actions.iter().enumerate() {
        ward.now += 1;
        answers.push(ward.ask_named(&format!("r-{number}"), action.clone()));
    }
    let mut replayed = State::default();
    replay(&mut replayed, &ward.inputs);
    for state in [checkpointed(&mut ward.state), checkpointed(&mut replayed), replayed] {
        let mut other = Ward { state, now: ward.now, ..Ward::default() };
        for (number, (action, first)) in actions.iter().zip(&answers).enumerate() {
            assert_eq!(&other.ask_named(&format!("r-{number}"), action.clone()), first);
        }
    }
}
