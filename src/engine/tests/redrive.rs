//! Refused messages sent through again: what goes through, what of it counts, and that nothing
//! counts twice.

use uuid::Uuid;

use super::*;
use crate::position::{JournalId, MessageId, Partition, Position};

/// The message that was received as this entry.
fn message(position: u64) -> MessageId {
    let (journal_id, position) = (JournalId(Uuid::from_u128(7)), Position(position));
    MessageId { journal_id, partition: Partition::FIRST, position }
}

/// A batch as the first device published it at the story's begin, refused in these parts.
fn redrive(position: u64, batch: &proto::ReadingBatch, refused: &[(u32, u32)]) -> Redrive {
    Redrive {
        message: message(position),
        publish: Publish {
            topic: format!("pulseward/v1/{SITE}/{}/readings", device(1)),
            payload: batch.encode_to_vec().into(),
            encoding: Some(Encoding::Protobuf),
            correlation: Some("c-1".into()),
            retained: false,
        },
        received_at: Timestamp::from_seconds(BEGIN),
        refused: refused.iter().map(|(first, count)| span(*first, *count)).collect(),
        redrives_stored: 0,
    }
}

/// Refused for what may be put right.
const fn span(first: u32, count: u32) -> RefusedSpan {
    RefusedSpan { first, count, reason: RejectReason::UnboundDevice }
}

/// Which parts of a message were refused, as the store tells it.
fn refused_spans(outputs: &[Output]) -> Vec<RefusedSpan> {
    outputs
        .iter()
        .filter_map(refusal)
        .map(|it| RefusedSpan {
            first: it.index.expect("in parts"),
            count: it.count,
            reason: it.reason,
        })
        .collect()
}

/// The account of a device, if it is told.
fn account(outputs: &[Output]) -> Option<&DeviceSequences> {
    outputs.iter().find_map(|output| match output {
        Output::DeviceSequences(account) => Some(&**account),
        _ => None,
    })
}

fn refusal(output: &Output) -> Option<&Reject> {
    match output {
        Output::Reject(reject) => Some(reject),
        _ => None,
    }
}

fn unnumbered(readings: Vec<proto::Reading>) -> proto::ReadingBatch {
    proto::ReadingBatch { boot_id: 0, ..numbered(0, readings) }
}

fn beats(from: i64, rates: &[i64]) -> Vec<proto::Reading> {
    (from..).zip(rates).map(|(at, rate)| heart_rate(at, *rate)).collect()
}

impl Ward {
    fn redrive_as(&mut self, role: Role, sites: Sites, redrive: Redrive) -> (Reply, Vec<Output>) {
        let principal = Principal { subject: "dora".to_owned(), role, sites };
        let command = Box::new(Command {
            principal,
            action: Action::Redrive(redrive),
            origin: origin(),
            request: None,
        });
        let (reply, outputs) = self.apply(Event::Command(command));
        (reply.expect("answered"), outputs)
    }

    fn redrive(&mut self, redrive: Redrive) -> (Reply, Vec<Output>) {
        self.redrive_as(Role::DeviceAdmin, Sites::All, redrive)
    }

    /// Readings are refused as too old after so many seconds.
    fn keep_for(&mut self, seconds: u64) {
        let retention = Duration::from_secs(seconds);
        self.apply(Event::Settings(Settings { retention, ..Settings::default() }));
    }

    /// The device sends a batch of which something is refused, and then that is sent through again
    /// by a service that keeps more.
    fn refuse_and_redrive(&mut self, batch: &proto::ReadingBatch) -> (Reply, Vec<Output>) {
        self.keep_for(60);
        let refused = refused_spans(&self.publish(1, batch));
        self.keep_for(86_400);
        self.redrive(Redrive { refused, ..redrive(1, batch, &[]) })
    }
}

/// How many readings were accepted, known before, and refused.
fn counts(reply: &Reply) -> (u32, u32, u32) {
    match reply {
        Ok(Done::Redriven { told, .. }) => (told.accepted, told.duplicate, told.refused),
        other => panic!("{other:?}"),
    }
}

fn reason(reply: Reply) -> &'static str {
    match reply {
        Err(Refusal::FailedPrecondition { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_of_an_unknown_device_goes_through_once_it_is_enrolled_at_its_measured_times() {
    let mut ward = Ward::new();
    let batch = numbered(0, beats(BEGIN, &[80, 81, 82]));
    assert_eq!(rejects(&ward.publish(1, &batch)), [(None, RejectReason::UnknownDevice)]);
    ward.enroll(1);
    ward.now += 86_400;
    let (reply, outputs) = ward.redrive(redrive(1, &batch, &[]));
    assert_eq!(counts(&reply), (3, 0, 0));
    let times: Vec<_> = readings(&outputs).iter().map(|it| since_begin(it.measured_at)).collect();
    assert_eq!(times, [0, 1, 2]);
    assert!(readings(&outputs).iter().all(|it| it.quality == Quality::LATE));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Verdict(_))));
    assert!(matches!(outputs.last(), Some(Output::Redriven(told)) if told.number == 1));
    assert_eq!(readings(&ward.publish(1, &batch)).len(), 0, "the device's own resend");
}

#[test]
fn a_message_goes_through_once_whoever_asks() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = unnumbered(beats(BEGIN, &[80]));
    assert_eq!(counts(&ward.redrive(redrive(1, &batch, &[])).0), (1, 0, 0));
    // Long after the identities of its readings are forgotten.
    ward.now += 86_400;
    let now = ward.now;
    ward.publish(1, &unnumbered(beats(now, &[80])));
    let (reply, outputs) = ward.redrive(redrive(1, &batch, &[]));
    assert_eq!(reason(reply), "ALREADY_REDRIVEN");
    assert_eq!(outputs, []);
}

#[test]
fn of_a_message_refused_in_parts_only_those_go_through_also_without_numbers() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let ahead = heart_rate(BEGIN + 100, 90);
    let batch = unnumbered([beats(BEGIN, &[80, 81]), vec![ahead]].concat());
    ward.now += 2;
    assert_eq!(rejects(&ward.publish(1, &batch)), [(Some(2), RejectReason::ClockAhead)]);
    // Long after the identities of the others are forgotten.
    ward.now += 86_400;
    let now = ward.now;
    ward.publish(1, &unnumbered(beats(now, &[80])));
    let (reply, outputs) = ward.redrive(redrive(1, &batch, &[(2, 1)]));
    assert_eq!((counts(&reply), readings(&outputs).len()), ((1, 2, 0), 1));
}

#[test]
fn refusals_too_many_to_be_listed_go_through_where_it_is_known_which_they_are() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 1000;
    let rates = vec![80; 300];
    let listed: Vec<_> = (0..100).map(|index| (index, 1)).collect();
    let spans = |rest| [listed.clone(), vec![rest]].concat();
    let from = |at: i64| unnumbered(beats(BEGIN + at, &rates));
    let (reply, _) = ward.redrive(redrive(1, &from(0), &spans((100, 200))));
    assert_eq!(counts(&reply), (300, 0, 0));
    let (reply, outputs) = ward.redrive(redrive(2, &from(300), &spans((100, 150))));
    assert_eq!((reason(reply), outputs), ("REFUSALS_UNKNOWN", vec![]));
    let numbers = proto::ReadingBatch { boot_id: 7, ..from(300) };
    let (reply, _) = ward.redrive(redrive(3, &numbers, &spans((100, 150))));
    assert_eq!(counts(&reply), (300, 0, 0), "the numbers tell");
}

#[test]
fn what_was_too_old_goes_through_once_more_is_kept_although_its_number_counts_as_come() {
    for boot_id in [7, 0] {
        let mut ward = Ward::new();
        ward.enroll(1);
        ward.now += 100;
        let young = heart_rate(ward.now, 81);
        let batch = [beats(BEGIN, &[80]), vec![young]].concat();
        let batch = proto::ReadingBatch { boot_id, ..numbered(0, batch) };
        let (reply, outputs) = ward.refuse_and_redrive(&batch);
        assert_eq!(counts(&reply), (1, 1, 0), "boot {boot_id}");
        assert_eq!(since_begin(readings(&outputs)[0].measured_at), 0);
        assert_eq!(readings(&ward.publish(1, &batch)).len(), 0, "the device's own resend");
        // Told when it came a second time, and so refused in two messages.
        let too_old = RefusedSpan { reason: RejectReason::TooOld, ..span(0, 1) };
        let copy = Redrive { refused: vec![too_old], ..redrive(2, &batch, &[]) };
        assert_eq!(counts(&ward.redrive(copy).0), (0, 2, 0), "boot {boot_id}");
    }
}

#[test]
fn a_copy_of_what_went_through_is_known_long_after_also_without_numbers() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 100;
    let batch = unnumbered(beats(BEGIN, &[80]));
    let (reply, _) = ward.refuse_and_redrive(&batch);
    assert_eq!(counts(&reply), (1, 0, 0));
    ward.now += 3600;
    let newer = heart_rate(ward.now, 80);
    ward.publish(1, &unnumbered(vec![newer]));
    let too_old = RefusedSpan { reason: RejectReason::TooOld, ..span(0, 1) };
    let copy = Redrive { refused: vec![too_old], ..redrive(2, &batch, &[]) };
    assert_eq!(counts(&ward.redrive(copy).0), (0, 1, 0));
}

#[test]
fn what_is_refused_finally_again_may_go_through_later() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 100;
    let batch = numbered(0, beats(BEGIN, &[80]));
    ward.keep_for(60);
    let refused = refused_spans(&ward.publish(1, &batch));
    let (reply, outputs) = ward.redrive(Redrive { refused, ..redrive(1, &batch, &[]) });
    assert_eq!(counts(&reply), (0, 0, 1));
    ward.keep_for(86_400);
    let refused = refused_spans(&outputs);
    let (reply, _) = ward.redrive(Redrive { refused, ..redrive(2, &batch, &[]) });
    assert_eq!(counts(&reply), (1, 0, 0));
}

#[test]
fn many_that_were_too_old_go_through_where_it_is_known_which_they_are() {
    let ward = || {
        let mut ward = Ward::new();
        ward.enroll(1);
        ward.now += 400;
        ward
    };
    let old = beats(BEGIN, &[80; 300]);
    let young = beats(BEGIN + 390, &[80; 5]);
    let (reply, _) = ward().refuse_and_redrive(&numbered(0, old.clone()));
    assert_eq!(counts(&reply), (300, 0, 0), "all of them");
    let (reply, _) = ward().refuse_and_redrive(&numbered(0, [young.clone(), old.clone()].concat()));
    assert_eq!(counts(&reply), (300, 5, 0), "all behind the others");
    let (reply, outputs) = ward().refuse_and_redrive(&numbered(0, [old, young].concat()));
    assert_eq!((reason(reply), outputs), ("REFUSALS_UNKNOWN", vec![]), "some among others");
}

#[test]
fn where_final_refusals_are_lost_among_others_nothing_goes_through_and_that_is_told() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 400;
    // Before the binding, and too old: alternately, behind a hundred that are listed.
    let unbound = |at| heart_rate(BEGIN - at, 80);
    let mixed = (0..100).flat_map(|at| [unbound(at + 1), heart_rate(BEGIN + at, 999)]);
    let batch = numbered(0, (0..100).map(|at| unbound(1000 + at)).chain(mixed).collect());
    ward.keep_for(86_400);
    let refused = refused_spans(&ward.publish(1, &batch));
    let rest: Vec<_> =
        refused[100..].iter().map(|span| (span.first, span.count, span.reason)).collect();
    let expected =
        [(101, 100, RejectReason::ImpossibleValue), (100, 100, RejectReason::UnboundDevice)];
    assert_eq!(rest, expected);
    let (reply, outputs) = ward.redrive(Redrive { refused, ..redrive(1, &batch, &[]) });
    assert_eq!((reason(reply), outputs), ("REFUSALS_UNKNOWN", vec![]));
}

#[test]
fn of_a_message_refused_in_parts_these_are_not_forgotten_by_refusing_it_as_a_whole() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = unnumbered(beats(BEGIN - 1, &[80, 81]));
    let refused = refused_spans(&ward.publish(1, &batch));
    ward.done(Action::CreateSite {
        site: id("south"),
        display_name: String::new(),
        time_zone: "UTC".to_owned(),
    });
    ward.done(Action::TransferPatient { patient: patient(1), site: id("south") });
    let parts = Redrive { refused, ..redrive(1, &batch, &[]) };
    let (reply, outputs) = ward.redrive(parts.clone());
    assert_eq!((reason(reply), outputs), ("REFUSED_AS_A_WHOLE", vec![]));
    ward.done(Action::TransferPatient { patient: patient(1), site: id(SITE) });
    assert_eq!(counts(&ward.redrive(parts).0), (0, 1, 1), "only its part");
}

#[test]
fn while_the_journal_is_full_nothing_is_sent_through_and_nothing_is_forgotten() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = numbered(0, beats(BEGIN, &[80]));
    ward.apply(Event::Intake(Intake::Held));
    let (reply, outputs) = ward.redrive(redrive(1, &batch, &[]));
    assert_eq!((reason(reply), outputs), ("INTAKE_HELD", vec![]));
    ward.apply(Event::Intake(Intake::Resumed));
    assert_eq!(counts(&ward.redrive(redrive(1, &batch, &[])).0), (1, 0, 0));
}

#[test]
fn what_is_refused_again_is_a_new_refusal_and_the_message_is_over_all_the_same() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = numbered(0, [beats(BEGIN - 1, &[80]), beats(BEGIN, &[80])].concat());
    let (reply, outputs) = ward.redrive(redrive(1, &batch, &[]));
    assert_eq!(counts(&reply), (1, 0, 1));
    let refused = [(Some(0), RejectReason::UnboundDevice)];
    assert_eq!(rejects(&outputs), refused);
    let Ok(Done::Redriven { refusals, .. }) = reply else { panic!("{reply:?}") };
    assert_eq!((refusals[0].index, refusals[0].reason), refused[0]);
    // The new one goes through in its turn: here, with nothing put right, to no avail.
    let (reply, _) = ward.redrive(redrive(9, &batch, &[(0, 1)]));
    assert_eq!(counts(&reply), (0, 1, 1));
    let nobody = Redrive {
        publish: Publish {
            topic: format!("pulseward/v1/{SITE}/nobody/readings"),
            ..redrive(0, &batch, &[]).publish
        },
        ..redrive(10, &batch, &[])
    };
    let (reply, outputs) = ward.redrive(nobody);
    assert_eq!(counts(&reply), (0, 0, 1));
    assert_eq!(rejects(&outputs), [(None, RejectReason::UnknownDevice)]);
}

#[test]
fn a_redrive_raises_no_live_alarm_however_young_its_readings_are() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 6;
    let batch = numbered(0, beats(BEGIN, &[140, 140, 140, 140, 140, 80]));
    let (_, outputs) = ward.redrive(redrive(1, &batch, &[]));
    let told: Vec<_> = events(&outputs)
        .map(|event| (event.phase, event.alert.retrospective, event.alert.signal))
        .collect();
    assert_eq!(told, [(Phase::Start, true, Signal::Off)]);
    assert_eq!(ward.state.open_alerts().count(), 0);
}

#[test]
fn a_redrive_ends_no_live_alarm() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for second in 0..6 {
        ward.beat(1, 100 + second, 140);
    }
    let before = ward.open();
    ward.now += 10;
    // Newer than anything that was live, and well.
    let batch = numbered(0, beats(ward.now - 8, &[70; 8]));
    let (reply, outputs) = ward.redrive(redrive(1, &batch, &[]));
    assert_eq!(counts(&reply), (8, 0, 0));
    assert_eq!((phases(&outputs), ward.open()), (vec![], before));
}

#[test]
fn what_the_message_says_of_its_clock_and_gateway_is_left_aside() {
    let rule = technical(TechnicalCondition::ClockFault, 0);
    let mut ward = Ward::with(vec![rule]);
    ward.enroll(1);
    ward.enroll(2);
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    ward.now += 86_400;
    let now = ward.now;
    let present = numbered(100, vec![heart_rate(now, 70)]);
    ward.publish(1, &proto::ReadingBatch { sent_at: at(now - 2), ..present });
    let before = ward.report(1);
    assert_eq!(before.clock_skew_ms, Some(-2000));
    ward.now += 60;
    let sent_at = at(ward.now + 20);
    let batch = numbered(0, beats(BEGIN, &[80]));
    // Of a start that was not heard of: before the present one, and after it.
    for boot_id in [6, 8] {
        let gateway = device(2).to_string();
        let batch = proto::ReadingBatch { boot_id, sent_at, gateway, ..batch.clone() };
        let (_, outputs) = ward.redrive(redrive(boot_id, &batch, &[]));
        assert_eq!((readings(&outputs).len(), phases(&outputs)), (1, vec![]));
        // A minute passes: the account is told.
        ward.now += 60;
        let told = account(&outputs).expect("it is due");
        assert_eq!((Some(told.last_seen_at), told.counts.restarted), (before.last_seen_at, 0));
    }
    assert!(ward.state.behind.is_empty());
    let after = ward.report(1);
    assert_eq!(after.last_seen_at, before.last_seen_at);
    assert_eq!((after.clock_skew_ms, after.counts.restarted), (Some(-2000), 0));
    assert_eq!(after.counts.accepted, 3);
}

#[test]
fn a_device_that_was_unknown_when_it_sent_has_not_been_seen_since() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.now += 86_400;
    let (_, outputs) = ward.redrive(redrive(1, &numbered(0, beats(BEGIN, &[80])), &[]));
    let told = account(&outputs).map(|told| told.last_seen_at);
    assert_eq!(told, Some(Timestamp::from_seconds(BEGIN)), "when the message came");
    assert_eq!(ward.report(1).last_seen_at, None);
}

#[test]
fn only_those_who_look_after_the_devices_of_its_site_may() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let batch = numbered(0, beats(BEGIN, &[80]));
    for role in [Role::Viewer, Role::Clinician, Role::Auditor] {
        let (reply, _) = ward.redrive_as(role, Sites::All, redrive(1, &batch, &[]));
        assert!(matches!(reply, Err(Refusal::PermissionDenied { .. })), "{role:?} {reply:?}");
    }
    let elsewhere = Sites::Only(vec![id("south")]);
    let (reply, _) = ward.redrive_as(Role::DeviceAdmin, elsewhere, redrive(1, &batch, &[]));
    assert!(matches!(reply, Err(Refusal::NotFound { kind: "message", .. })), "{reply:?}");
    // South is no site, so that its message is for those who may see all.
    let mut lost = redrive(2, &batch, &[]);
    lost.publish.topic = "pulseward/v1/south/d/readings".to_owned();
    let south = Sites::Only(vec![id("south")]);
    let (reply, _) = ward.redrive_as(Role::Admin, south, lost.clone());
    assert!(matches!(reply, Err(Refusal::NotFound { kind: "message", .. })), "{reply:?}");
    assert_eq!(counts(&ward.redrive_as(Role::Admin, Sites::All, lost).0), (0, 0, 1));
    let theirs = Sites::Only(vec![id(SITE)]);
    let (reply, _) = ward.redrive_as(Role::DeviceAdmin, theirs, redrive(1, &batch, &[]));
    assert_eq!(counts(&reply), (1, 0, 0));
}

#[test]
fn a_status_is_not_sent_through_again() {
    let mut ward = Ward::new();
    ward.enroll(1);
    for topic in ["pulseward/v1/north/device-1/status", "some/topic"] {
        let mut status = redrive(1, &numbered(0, vec![]), &[]);
        status.publish.topic = topic.to_owned();
        assert_eq!(reason(ward.redrive(status).0), "NOT_READINGS", "{topic}");
    }
}

#[test]
fn forgotten_redrives_are_told_by_the_store_and_never_guessed() {
    let mut ward = Ward::new();
    let empty = numbered(0, vec![]);
    for position in 0..1030 {
        ward.now += 1;
        let caught_up = Redrive { redrives_stored: position, ..redrive(position, &empty, &[]) };
        counts(&ward.redrive(caught_up).0);
    }
    // Six are forgotten: messages 0 to 5. The store knew of five.
    let behind = |position| Redrive { redrives_stored: 5, ..redrive(position, &empty, &[]) };
    for position in [5, 2000] {
        assert_eq!(reason(ward.redrive(behind(position)).0), "REDRIVES_NOT_STORED");
    }
    assert_eq!(reason(ward.redrive(behind(6)).0), "ALREADY_REDRIVEN");
    let caught_up = Redrive { redrives_stored: 6, ..redrive(2000, &empty, &[]) };
    counts(&ward.redrive(caught_up).0);
    // Received after the last forgotten one, so that none of them can have been of it.
    let received_at = Timestamp::from_seconds(ward.now);
    let young = Redrive { received_at, ..behind(2001) };
    counts(&ward.redrive(young).0);
}
