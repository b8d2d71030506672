//! The report in words, for a terminal.

use std::fmt;

use super::report::{Percentiles, Report};

/// Shows a report.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { run, readings, alerts, latency, .. } = self.0;
        writeln!(
            f,
            "run       {} devices, {} patients, {:.0} s, {} messages ({} acknowledged, {} unheard)",
            run.devices, run.patients, run.seconds, run.messages, run.acknowledged, run.unheard
        )?;
        if !run.record_is_whole {
            writeln!(f, "          the record ends in the middle of an entry")?;
        }
        writeln!(
            f,
            "readings  {} must be stored, {} may; {} are; {} came again",
            readings.must, readings.may, readings.stored, readings.repeated
        )?;
        for (reason, it) in &readings.refused {
            let (must, may, found) = (it.must, it.may, it.found);
            writeln!(f, "  refused {reason}: {found} messages, {must} to {may} were due")?;
        }
        writeln!(
            f,
            "alerts    {} must be raised, {} may; {} are; {} held back, {} unsure",
            alerts.must, alerts.may, alerts.matched, alerts.held_back, alerts.unsure
        )?;
        for (rule, it) in alerts.rules.iter().filter(|(_, it)| !it.is_judged && it.raised > 0) {
            writeln!(f, "  not judged: {rule} ({}), {} raised", it.kind, it.raised)?;
        }
        for watcher in &self.0.watchers {
            writeln!(
                f,
                "watcher {} {} events, {} cuts, {} resumed",
                watcher.watcher, watcher.events, watcher.cuts, watcher.resumed
            )?;
        }
        for (priority, percentiles) in &latency.alerts {
            writeln!(f, "told      {priority}: {}", Line(percentiles))?;
        }
        writeln!(f, "PUBACK    {}", Line(&latency.puback))?;
        self.write_verdict(f)
    }
}

impl Summary<'_> {
    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, finding) in self.0.faults().iter().filter(|(_, finding)| finding.count > 0) {
            writeln!(f, "\n{} {name}", finding.count)?;
            for example in &finding.examples {
                writeln!(f, "  {example}")?;
            }
        }
        let verdict = if self.0.is_good { "all is as it must be" } else { "NOT as it must be" };
        write!(f, "\n{verdict}")
    }
}

struct Line<'a>(&'a Percentiles);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { count, p50, p90, p99, p999, max } = self.0;
        write!(
            f,
            "p50 {p50:.1} ms, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.1} ({count})"
        )
    }
}
