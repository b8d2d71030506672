//! What happens to a whole ward: devices swapped, gateways and the service away, floods.

use pulseward::clock::Timestamp;
use pulseward::engine::input::{Action, Event, Link, Replacement};
use pulseward::engine::profile::TechnicalCondition;
use pulseward::proto::v1 as proto;
use pulseward::vitals::{Priority, Vital};

use super::{Scenario, heart_rate, passed_on, silence, technical};
use crate::story::{Story, device, patient, site};

pub(super) const ALL: &[Scenario] = &[
    ("replace", replace),
    ("transfer", transfer),
    ("unbind", unbind),
    ("gateway", gateway),
    ("outage", outage),
    ("restart", restart),
    ("session-lost", session_lost),
    ("flood", flood),
    ("monitoring", monitoring),
];

fn monitor() -> Story {
    let mut story = Story::new(60, vec![heart_rate()]);
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story
}

fn replace() -> Story {
    let mut story = monitor();
    story.create_device(2);
    story.play(Vital::HeartRate, "80 140 140");
    story.say("device-2 takes the place of device-1");
    story.done(Action::ReplaceDevice(Replacement {
        device: device(1),
        new_device: device(2),
        at: None,
        schedule: None,
    }));
    story.skip(2);
    story.play_all(&[(2, Vital::HeartRate, "138 80 80")]);
    story
}

fn transfer() -> Story {
    let mut story = monitor();
    story.create_site("south");
    story.play(Vital::HeartRate, "80 140 140");
    story.say("the patient is moved to the site south with device-1");
    story.done(Action::TransferPatient { patient: patient(1), site: site("south") });
    story.skip(3);
    story
}

fn unbind() -> Story {
    let mut story = monitor();
    story.tells_monitoring = true;
    story.play(Vital::HeartRate, "80 140 140");
    story.say("device-1 is unbound");
    story.done(Action::UnbindDevice { device: device(1), at: None });
    story.play(Vital::HeartRate, "140 140");
    story
}

/// Three patients behind device-9.
fn gateway() -> Story {
    let fault = technical("gateway-offline", TechnicalCondition::GatewayOffline, Priority::Low, 60);
    let mut story = Story::new(60, vec![fault, silence(Vital::Spo2, 3, 0)]);
    story.create_device(9);
    for number in 1..=3 {
        story.wear(number, &[(Vital::Spo2, 60)]);
        let gateway = device(9).to_string();
        story.status(number, &proto::DeviceStatus { online: true, gateway, ..Default::default() });
    }
    let row = "96 96 96";
    story.play_all(&[(1, Vital::Spo2, row), (2, Vital::Spo2, row), (3, Vital::Spo2, row)]);
    story.say("the gateway's Last Will arrives");
    story.status(9, &proto::DeviceStatus::default());
    story.skip(8);
    story.say("the gateway is back, and device-3 is not");
    story.status(9, &proto::DeviceStatus { online: true, ..Default::default() });
    let row = "96 96 96 96 96";
    story.play_all(&[(1, Vital::Spo2, row), (2, Vital::Spo2, row)]);
    story
}

fn link_up() -> Event {
    Event::Link(Link::Up { session_present: true })
}

fn outage() -> Story {
    let mut story = Story::new(
        30,
        vec![passed_on(heart_rate(), Priority::Medium, 180), silence(Vital::HeartRate, 3, 0)],
    );
    story.apply(link_up());
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story.play(Vital::HeartRate, "80 . 140 . 140");
    story.say("the link to the broker is gone");
    story.apply(Event::Link(Link::Down));
    story.skip(12);
    story.say("it is back");
    story.apply(link_up());
    story.next();
    story.say("what had piled up is taken in");
    story.apply(Event::Link(Link::CaughtUp));
    story.skip(8);
    story
}

fn restart() -> Story {
    let mut story = Story::new(30, vec![silence(Vital::HeartRate, 3, 0)]);
    story.apply(link_up());
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story.play(Vital::HeartRate, "80 . 80 . 80");
    story.say("the service has stopped");
    let last_alive = Some(Timestamp::from_seconds(story.now - 30));
    story.be_away(8);
    story.say("it starts");
    story.apply(Event::Started { last_alive });
    story.apply(link_up());
    story.next();
    story.say("what had piled up is taken in");
    story.apply(Event::Link(Link::CaughtUp));
    story.skip(8);
    story
}

fn session_lost() -> Story {
    let mut story = Story::new(60, vec![silence(Vital::HeartRate, 3, 0)]);
    story.apply(link_up());
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story.play(Vital::HeartRate, "80 80");
    story.say("the broker is restarted, and has forgotten us");
    story.apply(Event::Link(Link::Down));
    story.apply(Event::Link(Link::Up { session_present: false }));
    story.apply(Event::Link(Link::CaughtUp));
    story.play(Vital::HeartRate, "80 80");
    story.reset("pulseward.ingest-gap");
    story.play(Vital::HeartRate, "80");
    story
}

fn flood() -> Story {
    let mut story = Story::new(60, vec![heart_rate()]);
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story.play(Vital::HeartRate, &"140 80 ".repeat(11));
    story.play(Vital::HeartRate, "140 140 160 140 140");
    story.play(Vital::HeartRate, &"140 ".repeat(34));
    story.begin_at_column(16);
    story
}

fn monitoring() -> Story {
    let mut story = Story::new(60, vec![heart_rate()]);
    story.tells_monitoring = true;
    story.wear(1, &[(Vital::HeartRate, 60)]);
    story.skip(1);
    story.play(Vital::HeartRate, "80 80");
    story.say("an oximeter is bound that measures each minute");
    story.create_device(2);
    story.bind(2, 1, &[(Vital::Spo2, 60)], 0);
    story.play(Vital::HeartRate, "80");
    story.play_all(&[(1, Vital::HeartRate, "80 80"), (2, Vital::Spo2, "96 96")]);
    story.pause_patient(480);
    story.play_all(&[(1, Vital::HeartRate, "80 80 80"), (2, Vital::Spo2, "96 96 96")]);
    story.say("the profile is put without rules");
    story.put(Vec::new());
    story.play_all(&[(1, Vital::HeartRate, "80 80"), (2, Vital::Spo2, "96 96")]);
    story.put(vec![heart_rate()]);
    story.play_all(&[(1, Vital::HeartRate, "80 80"), (2, Vital::Spo2, "96 96")]);
    story.skip(4);
    story.done(Action::UnbindDevice { device: device(1), at: None });
    story.done(Action::UnbindDevice { device: device(2), at: None });
    story.next();
    story
}
