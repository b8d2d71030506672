//! One run: the ward's inputs through the engines, under the checkers' eyes.

use std::time::Instant;

use pulseward::engine::output::Output;

use crate::checks::{Checks, Seen, Violation, events};
use crate::engines::Engines;
use crate::random::Random;
use crate::ward::{MINUTE, Plan, Step, Ward, patient_id};

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
        Ok(())
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
