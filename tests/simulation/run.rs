//! One run: the ward's inputs through the engines, under the checkers' eyes.

use std::collections::VecDeque;
use std::time::Instant;

use pulseward::clock::Timestamp;
use pulseward::engine::alerts::Trigger;
use pulseward::engine::audit::REPEATED;
use pulseward::engine::input::{Command, Event, Input, Sites};
use pulseward::engine::output::{Done, Output, Reply};
use pulseward::engine::requests::KEPT_FOR;

use crate::checks::{Checks, Seen, Violation, events};
use crate::engines::Engines;
use crate::random::Random;
use crate::ward::{MINUTE, Plan, Step, Told, Ward, patient_id};

/// Requests that may come again.
const REPEATED_MAX: usize = 64;
/// After so many of a thousand inputs one does.
const REPEATS_PER_MILLE: i64 = 20;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) seen: Seen,
    /// Of all outputs, byte for byte.
    pub(crate) digest: u64,
}

/// The number that a variable of the environment asks for.
///
/// # Panics
/// If it is set to something else.
pub(crate) fn number_from(name: &str) -> Option<u64> {
    let name = format!("PULSEWARD_SIMULATION_{name}");
    let value = std::env::var(&name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Runs a plan to its end.
///
/// # Errors
/// What did not hold, where, and how to see it again.
pub(crate) fn run(test: &'static str, plan: Plan) -> Result<Report, String> {
    let begun = Instant::now();
    let mut run = Run::new(test, plan);
    while let Some(step) = run.ward.next(&run.checks) {
        run.take(&step).map_err(|violation| run.failure(&step, &violation))?;
    }
    let (seen, digest) = (run.checks.seen, run.digest.0);
    eprintln!(
        "seed {}: {} patients for {} min in {:.1?}: {seen:?}, digest {digest:016x}",
        plan.seed,
        plan.patients,
        run.ward.elapsed() / MINUTE,
        begun.elapsed(),
    );
    Ok(Report { seen, digest })
}

struct Run {
    test: &'static str,
    plan: Plan,
    ward: Ward,
    engines: Engines,
    checks: Checks,
    digest: Digest,
    repeats: Repeats,
    traced: Option<u64>,
    outputs: Vec<Output>,
}

impl Run {
    fn new(test: &'static str, plan: Plan) -> Self {
        Self {
            test,
            plan,
            ward: Ward::new(plan),
            engines: Engines::new(Random::new(!plan.seed)),
            checks: Checks::default(),
            digest: Digest::default(),
            repeats: Repeats::new(Random::new(plan.seed.rotate_left(32))),
            traced: number_from("TRACE"),
            outputs: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), Violation> {
        self.outputs.clear();
        let reply = self.engines.apply(&step.input, &mut self.outputs);
        self.trace(step);
        let (reply, outputs) = (reply?, &self.outputs);
        self.digest.take(outputs);
        self.checks.check(step, outputs, reply.as_ref(), self.engines.state())?;
        if let Some((devices, site)) = &self.checks.registry.moved {
            self.ward.moved(devices, *site);
        }
        self.repeats.remember(&step.input, reply.as_ref());
        self.repeat(step)
    }

    /// Somebody asks once more, who has not heard the answer.
    fn repeat(&mut self, step: &Step) -> Result<(), Violation> {
        let Some((input, first)) = self.repeats.draw(step.input.received_at) else { return Ok(()) };
        self.outputs.clear();
        let reply = self.engines.apply(&input, &mut self.outputs)?;
        self.digest.take(&self.outputs);
        let is_first = matches!(&reply, Some(Ok(done)) if *done == first);
        let told = self.outputs.split_last();
        let Some((Output::Audit(event), fired)) = told.filter(|_| is_first) else {
            return Err(unequal(&input, reply.as_ref(), &first, &self.outputs));
        };
        if event.reason != REPEATED || fired.iter().any(is_of_a_command) {
            return Err(unequal(&input, reply.as_ref(), &first, &self.outputs));
        }
        // What was due by then would have come with any other input too.
        let tick = Input { received_at: input.received_at, event: Event::Tick };
        let tick = Step { input: tick, told: Told::Nothing };
        self.checks.check(&tick, fired, None, self.engines.state())
    }

    fn trace(&self, step: &Step) {
        let Some(patient) = self.traced.and_then(|it| usize::try_from(it).ok()) else { return };
        let patient = patient_id(patient);
        for event in events(&self.outputs).filter(|it| it.alert.patient.as_ref() == Some(&patient))
        {
            eprintln!("{}: {event:?}", step.input.received_at);
        }
    }

    fn failure(&self, step: &Step, violation: &Violation) -> String {
        let Violation { invariant, detail } = violation;
        let (seed, input) = (self.plan.seed, self.checks.seen.inputs);
        format!(
            "{invariant} does not hold.\n{detail}\nseed {seed}, input {input}: {step:?}\n{}",
            self.again()
        )
    }

    /// How to see it again.
    fn again(&self) -> String {
        let Self { test, plan, .. } = self;
        let size = std::env::var("PULSEWARD_SIMULATION_DAYS").ok();
        let size = size.map(|days| format!("PULSEWARD_SIMULATION_DAYS={days} "));
        format!(
            "{plan:?}\nAgain: PULSEWARD_SIMULATION_SEED={} {}cargo nextest run --test simulation {test}",
            plan.seed,
            size.unwrap_or_default()
        )
    }
}

impl Drop for Run {
    /// A panic of the engine says where it happened too.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("panicked after input {}.\n{}", self.checks.seen.inputs, self.again());
        }
    }
}

fn unequal(input: &Input, reply: Option<&Reply>, first: &Done, outputs: &[Output]) -> Violation {
    let detail = format!("{input:?} was answered {reply:?} and not {first:?}, with {outputs:?}");
    Violation::new("a repeated request changes nothing", detail)
}

/// Whether an output tells of what somebody asked for.
fn is_of_a_command(output: &Output) -> bool {
    match output {
        Output::Alert(event) => event.trigger == Trigger::Request,
        Output::Registry(_) | Output::Audit(_) | Output::Reading(_) | Output::Redriven(_) => true,
        _ => false,
    }
}

/// What was asked for and carried out last.
struct Repeats {
    last: VecDeque<(Command, Timestamp, Done)>,
    random: Random,
}

impl Repeats {
    fn new(random: Random) -> Self {
        Self { last: VecDeque::new(), random }
    }

    /// Takes note of what was carried out for who may see everything, wherever it moves.
    fn remember(&mut self, input: &Input, reply: Option<&Reply>) {
        let (Event::Command(command), Some(Ok(done))) = (&input.event, reply) else { return };
        if command.principal.sites != Sites::All {
            return;
        }
        if self.last.len() == REPEATED_MAX {
            self.last.pop_front();
        }
        self.last.push_back((Command::clone(command), input.received_at, done.clone()));
    }

    /// One of them, asked again now, and its answer; mostly none.
    fn draw(&mut self, now: Timestamp) -> Option<(Input, Done)> {
        if self.last.is_empty() || !self.random.per_mille(REPEATS_PER_MILLE) {
            return None;
        }
        let (command, at, done) = &self.last[self.random.index(self.last.len())];
        let input = Input { received_at: now, event: Event::Command(Box::new(command.clone())) };
        (now.since(*at) < KEPT_FOR).then(|| (input, done.clone()))
    }
}

/// FNV-1a over the outputs' bytes as the journal keeps them.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn take(&mut self, outputs: &[Output]) {
        for output in outputs {
            let bytes = postcard::to_stdvec(output).expect("plain values have no way to fail");
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
}
