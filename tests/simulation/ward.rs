//! The simulated ward: what happens in it, in order, as the engine's inputs.
//!
//! A queue of happenings, each at its time, drawn from one seed. [`body`] is the patients,
//! [`device`] what measures them, [`faults`] how that fails, [`wire`] the messages, [`broker`] the
//! way of messages to the service and its outages, [`staff`] the people and their commands. Beside
//! each input stands what it says ([`Told`]), so that the checkers need not decode it.
//!
//! The ward knows of the service what people in it would: the registry and the open alerts.

mod body;
mod broker;
pub(crate) mod device;
mod faults;
mod staff;
mod wire;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use pulseward::clock::Timestamp;
use pulseward::engine::input::{Event, Input, Settings};
use pulseward::vitals::{DeviceId, PatientId, SiteId};

use self::body::Body;
use self::broker::Broker;
use self::device::Device;
use crate::checks::Checks;
use crate::random::Random;

/// Microseconds: an instant since the epoch, or a span.
pub(crate) type Micros = i64;

pub(crate) const MILLISECOND: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000 * MILLISECOND;
pub(crate) const MINUTE: Micros = 60 * SECOND;
pub(crate) const HOUR: Micros = 60 * MINUTE;

/// 2026-01-01T00:00:00Z: when every run begins.
const BEGIN: Micros = 1_767_225_600 * SECOND;

/// How many sites a ward has.
pub(crate) const SITES: usize = 3;
/// Gateways at each.
const GATEWAYS_A_SITE: usize = 2;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) patients: usize,
    pub(crate) hours: i64,
    /// How often a wearable measures each of its vitals.
    pub(crate) interval: Micros,
    /// How many times as often as on a real ward something goes wrong or is changed.
    pub(crate) haste: i64,
}

impl Plan {
    /// The mean wait for what comes once in so many hours on a real ward.
    fn every(&self, hours: i64) -> Micros {
        (hours * HOUR / self.haste).max(MINUTE)
    }
}

/// An input, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) input: Input,
    pub(crate) told: Told,
}

/// What a message says, in the ward's terms.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// It is no message, or one that says nothing.
    Nothing,
    /// Readings.
    Batch(Batch),
    /// A status.
    Status(Status),
}

/// A message of readings.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) device: usize,
    /// The site of its topic.
    pub(crate) site: usize,
    /// The gateway that it names.
    pub(crate) gateway: Option<usize>,
    /// Whether the device numbers its readings.
    pub(crate) is_numbered: bool,
    pub(crate) readings: Vec<device::Sent>,
}

/// A message of a status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) device: usize,
    /// The site of its topic.
    pub(crate) site: usize,
    pub(crate) gateway: Option<usize>,
    pub(crate) is_online: bool,
    pub(crate) boot: u64,
    /// By the device's clock.
    pub(crate) at: Micros,
}

/// What may come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A device measures.
    Measure(usize),
    /// A device fails in some way.
    Fail(usize),
    /// A device that was away is back.
    Back(usize),
    /// A message that was held up arrives.
    Arrive(u64),
    /// A gateway is gone.
    GatewayGone(usize),
    /// A gateway is back.
    GatewayBack(usize),
    /// The broker, or the way to it, is gone.
    LinkDown,
    /// It is back.
    LinkUp,
    /// The service stops.
    Stop,
    /// It starts again.
    Start,
    /// The service takes in some of what piled up.
    Drain,
    /// A clinician looks at the alerts.
    Look,
    /// Somebody changes the registry or a profile.
    Manage,
    /// Time is looked at.
    Tick,
}

struct Person {
    body: Body,
}

/// The ward.
pub(crate) struct Ward {
    plan: Plan,
    now: Micros,
    end: Micros,
    queue: BinaryHeap<Reverse<(Micros, u64, Happening)>>,
    /// Numbers happenings, so that those of one time keep their order.
    scheduled: u64,
    /// Inputs at `now` that were not handed out yet.
    ready: VecDeque<Step>,
    people: Vec<Person>,
    devices: Vec<Device>,
    broker: Broker,
    /// Messages that are held up, by number.
    held_up: BTreeMap<u64, broker::Message>,
    random: Random,
    /// Commands that were asked for.
    asked: u64,
    is_over: bool,
}

impl Ward {
    /// A ward before anything was done in it.
    pub(crate) fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let calm = plan.every(24);
        let person = |random: &mut Random| Person { body: Body::new(random.fork(), BEGIN, calm) };
        let mut ward = Self {
            plan,
            now: BEGIN,
            end: BEGIN + plan.hours * HOUR,
            queue: BinaryHeap::new(),
            scheduled: 0,
            ready: VecDeque::new(),
            people: (0..plan.patients).map(|_| person(&mut random)).collect(),
            devices: device::equipment(&plan, GATEWAYS_A_SITE, &mut random),
            broker: Broker::default(),
            held_up: BTreeMap::new(),
            random,
            asked: 0,
            is_over: false,
        };
        ward.begin();
        ward
    }

    /// How much of the run has passed, in microseconds.
    pub(crate) const fn elapsed(&self) -> Micros {
        self.now - BEGIN
    }

    /// The next input, if the run isn't over.
    pub(crate) fn next(&mut self, known: &Checks) -> Option<Step> {
        while self.ready.is_empty() {
            if self.is_over {
                return None;
            }
            let Reverse((at, _, happening)) = self.queue.pop().expect("ticks never end");
            self.now = at;
            if at >= self.end {
                self.is_over = true;
                self.finish();
            } else {
                self.happen(happening, known);
            }
        }
        self.ready.pop_front()
    }

    /// The service starts for the first time, the ward is set up, and everything begins.
    fn begin(&mut self) {
        self.input(Event::Started { last_alive: None });
        self.input(Event::Settings(Settings::default()));
        self.come_up(true);
        self.set_up();
        for index in 0..self.devices.len() {
            let phase = self.random.range(1, self.devices[index].interval);
            if self.devices[index].measures() {
                self.after(phase, Happening::Measure(index));
            }
            let wait = self.random.wait(self.plan.every(24));
            self.after(wait, Happening::Fail(index));
        }
        for (hours, happening) in [
            (8, Happening::LinkDown),
            (12, Happening::Stop),
            (1, Happening::Look),
            (1, Happening::Manage),
            (1, Happening::Tick),
        ] {
            let wait = self.random.wait(self.plan.every(hours));
            self.after(wait, happening);
        }
    }

    /// Whatever is away comes back, so that the run ends with all that piled up taken in.
    fn finish(&mut self) {
        if !self.broker.is_up() {
            self.start_or_link_up();
        }
        self.drain(usize::MAX);
        self.input(Event::Tick);
    }

    fn happen(&mut self, happening: Happening, known: &Checks) {
        match happening {
            Happening::Measure(device) => self.measure(device, known),
            Happening::Fail(device) => self.fail(device),
            Happening::Back(device) => self.come_back(device),
            Happening::Arrive(number) => {
                let message = self.held_up.remove(&number).expect("it was held up");
                self.pass_on(message);
            }
            Happening::GatewayGone(gateway) => self.gateway_gone(gateway),
            Happening::GatewayBack(gateway) => self.gateway_back(gateway),
            Happening::LinkDown => self.link_down(),
            Happening::Stop => self.stop(),
            Happening::LinkUp | Happening::Start => self.start_or_link_up(),
            Happening::Drain => {
                let messages = self.random.range(1, 200);
                self.drain(usize::try_from(messages).expect("not negative"));
            }
            Happening::Look => {
                let wait = self.random.wait(10 * MINUTE / self.plan.haste);
                self.after(wait, happening);
                self.look(known);
            }
            Happening::Manage => {
                let wait = self.random.wait(self.plan.every(1) / 2);
                self.after(wait, happening);
                self.manage(known);
            }
            Happening::Tick => {
                let wait = self.random.wait(20 * SECOND);
                self.after(wait, happening);
                if self.broker.is_serving() {
                    self.input(Event::Tick);
                }
            }
        }
    }

    fn after(&mut self, wait: Micros, happening: Happening) {
        self.scheduled += 1;
        self.queue.push(Reverse((self.now + wait, self.scheduled, happening)));
    }

    fn input(&mut self, event: Event) {
        self.hand_out(event, Told::Nothing);
    }

    fn hand_out(&mut self, event: Event, told: Told) {
        self.broker.last_alive = Some(instant(self.now));
        let input = Input { received_at: instant(self.now), event };
        self.ready.push_back(Step { input, told });
    }
}

/// How many gateways a ward has; they are its first devices.
pub(crate) const fn gateways() -> usize {
    SITES * GATEWAYS_A_SITE
}

/// The instant of so many microseconds.
pub(crate) fn instant(micros: Micros) -> Timestamp {
    Timestamp::from_micros(micros).expect("within a few days of 2026")
}

/// The id of a site of the ward.
pub(crate) fn site_id(site: usize) -> SiteId {
    SiteId::new(["north", "south", "west"][site]).expect("a valid id")
}

/// The id of a patient of the ward.
pub(crate) fn patient_id(patient: usize) -> PatientId {
    PatientId::new(&format!("patient-{patient}")).expect("a valid id")
}

/// The id of a device of the ward.
pub(crate) fn device_id(device: usize) -> DeviceId {
    DeviceId::new(&format!("device-{device}")).expect("a valid id")
}
