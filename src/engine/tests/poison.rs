//! Inputs that are refused unread, because an engine has panicked on them.

use super::*;

fn message(topic: &str) -> Event {
    Event::Poisoned(Poisoned::Publish(Publish {
        topic: topic.to_owned(),
        payload: numbered(0, vec![heart_rate(BEGIN, 80)]).encode_to_vec().into(),
        encoding: None,
        correlation: Some("7".into()),
        retained: false,
    }))
}

fn readings_of(device: &str) -> Event {
    message(&format!("pulseward/v1/{SITE}/{device}/readings"))
}

fn command() -> Event {
    let principal = Principal { subject: "anna".to_owned(), role: Role::Admin, sites: Sites::All };
    let action = Action::CreatePatient { patient: patient(9), site: id(SITE) };
    Event::Poisoned(Poisoned::Command(Box::new(Command {
        principal,
        action,
        origin: origin(),
        request: None,
    })))
}

/// The place and count of each event about it, with what happened.
fn told(outputs: &[Output]) -> Vec<(Phase, Option<String>, Option<String>, u32)> {
    let id = |id: Option<&str>| id.map(str::to_owned);
    events(outputs)
        .map(|event| {
            let alert = &event.alert;
            assert_eq!(alert.rule.as_str(), "pulseward.poison");
            let site = id(alert.site.as_ref().map(SiteId::as_str));
            (event.phase, site, id(alert.device.as_ref().map(DeviceId::as_str)), alert.covered)
        })
        .collect()
}

#[test]
fn a_message_is_refused_whole_and_its_sender_and_the_ward_are_told() {
    let mut ward = Ward::new();
    ward.enroll(1);
    let (_, outputs) = ward.apply(readings_of("device-1"));
    assert_eq!(rejects(&outputs), [(None, RejectReason::Poisoned)]);
    assert!(readings(&outputs).is_empty());
    let verdict = outputs.iter().find_map(|output| match output {
        Output::Verdict(verdict) => Some(verdict),
        _ => None,
    });
    let verdict = verdict.expect("its sender is told");
    assert_eq!((verdict.device.as_str(), verdict.rejected_total), ("device-1", 1));
    assert_eq!(verdict.correlation.as_deref(), Some(&b"7"[..]));
    let place = || (Some(SITE.to_owned()), Some("device-1".to_owned()));
    let of = |phase| (phase, place().0, place().1, 1);
    assert_eq!(told(&outputs), [of(Phase::Start), of(Phase::End)]);
    assert_eq!(ward.open().signal, Signal::Latched);
}

#[test]
fn it_counts_as_refused_in_the_devices_account_and_only_readings_show_that_it_was_there() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.apply(message(&format!("pulseward/v1/{SITE}/device-1/status")));
    assert_eq!((ward.report(1).counts.rejected, ward.report(1).last_seen_at), (1, None));
    let (_, outputs) = ward.apply(readings_of("device-1"));
    let seen = Some(Timestamp::from_seconds(BEGIN));
    assert_eq!((ward.report(1).counts.rejected, ward.report(1).last_seen_at), (2, seen));
    let is_account = |output: &&Output| matches!(output, Output::DeviceSequences(_));
    assert_eq!(outputs.iter().filter(is_account).count(), 1, "followers are told");
}

#[test]
fn what_follows_of_a_device_is_counted_until_somebody_resets() {
    let mut ward = Ward::new();
    ward.enroll(1);
    ward.enroll(2);
    ward.apply(readings_of("device-1"));
    for covered in [2, 3] {
        let (_, outputs) = ward.apply(message(&format!("pulseward/v1/{SITE}/device-1/status")));
        let [(Phase::Update, _, _, count)] = told(&outputs)[..] else { panic!("{outputs:?}") };
        assert_eq!(count, covered);
        assert!(!outputs.iter().any(|output| matches!(output, Output::Verdict(_))));
    }
    let (_, outputs) = ward.apply(readings_of("device-2"));
    assert_eq!(phases(&outputs), [Phase::Start, Phase::End], "another device, another alert");
    let alert = ward.state.open_alerts().next().expect("the first").clone();
    let reset = AlertAction::Reset { revision: alert.revision };
    ward.done(Action::WorkOnAlert { alert: alert.id, action: reset });
    assert_eq!(ward.open().device, Some(device(2)));
    let (_, outputs) = ward.apply(readings_of("device-1"));
    assert_eq!(phases(&outputs), [Phase::Start, Phase::End], "and then it is told anew");
}

#[test]
fn of_whom_nothing_is_known_the_service_itself_is_told() {
    let mut ward = Ward::new();
    let topics = ["pulseward/v1/north/nobody/readings", "pulseward/v1/what/is/this/topic"];
    for (topic, phases) in
        topics.into_iter().zip([&[Phase::Start, Phase::End][..], &[Phase::Update]])
    {
        let (_, outputs) = ward.apply(message(topic));
        assert_eq!(rejects(&outputs), [(None, RejectReason::Poisoned)]);
        let told = told(&outputs);
        assert!(told.iter().all(|(_, site, device, _)| site.is_none() && device.is_none()));
        assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), phases);
    }
}

#[test]
fn a_command_is_answered_and_not_carried_out() {
    let mut ward = Ward::new();
    let (reply, outputs) = ward.apply(command());
    assert_eq!(reply, Some(Err(Refusal::Poisoned)));
    assert_eq!(phases(&outputs), [Phase::Start, Phase::End]);
    ward.done(Action::CreatePatient { patient: patient(9), site: id(SITE) });
}

#[test]
fn a_gateway_that_is_back_does_not_end_what_was_told_of_its_messages() {
    let mut ward = Ward::with(vec![technical(TechnicalCondition::GatewayOffline, 0)]);
    ward.enroll(1);
    ward.done(Action::CreateDevice {
        device: DeviceId::new("gateway").expect("valid"),
        site: id(SITE),
    });
    let batch = proto::ReadingBatch { gateway: "gateway".to_owned(), ..numbered(0, vec![]) };
    ward.publish(1, &batch);
    ward.apply(readings_of("gateway"));
    let topic = format!("pulseward/v1/{SITE}/gateway/status");
    for online in [false, true] {
        ward.now += 1;
        let status = proto::DeviceStatus { online, boot_id: 1, ..proto::DeviceStatus::default() };
        ward.send(&topic, status.encode_to_vec());
    }
    assert_eq!(ward.open().rule.as_str(), "pulseward.poison");
    let gateway = events(&ward.outputs).filter(|event| event.alert.rule.as_str() == "technical");
    let phases: Vec<_> = gateway.map(|event| event.phase).collect();
    assert_eq!(phases, [Phase::Start, Phase::End]);
}
