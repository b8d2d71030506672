//! On what a benchmark ran: what has to stand beside its figures.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::servers::{Programs, version};

/// The machine, and the programs that were run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Processors that we may use.
    pub cores: usize,
    /// What they are.
    pub cpu: String,
    /// Memory, GiB.
    pub memory_gib: f64,
    /// Kernel.
    pub kernel: String,
    /// File system of the benchmark's directory.
    pub file_system: String,
    /// Load average of the minute before: what else it was doing.
    pub load_before: String,
    /// The service.
    pub pulseward: String,
    /// The broker.
    pub broker: String,
    /// The database.
    pub database: String,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// If a program can't be run, or this is no Linux.
    pub(super) fn look(programs: &Programs, dir: &Path) -> Result<Self> {
        let read = |path: &str| {
            std::fs::read_to_string(path).with_context(|| format!("reading {path}; is this Linux?"))
        };
        let (cpu, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let load = read("/proc/loadavg")?;
        let cores = std::thread::available_parallelism()?.get();
        Ok(Self {
            cores,
            cpu: field(&cpu, "model name").unwrap_or("unknown").to_owned(),
            memory_gib: memory_gib(&memory),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(&read("/proc/self/mountinfo")?, &dir.canonicalize()?),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
            pulseward: version(&programs.pulseward, "--version")?,
            broker: version(&programs.mosquitto, "-h")?,
            database: version(&programs.postgres_bin.join("postgres"), "--version")?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, memory_gib, kernel, file_system, load_before, .. } = self;
        writeln!(f, "machine:   {cores} cores, {cpu}, {memory_gib:.0} GiB, Linux {kernel}")?;
        writeln!(f, "directory: {file_system}; load average before: {load_before}")?;
        write!(f, "programs:  {}; {}; {}", self.pulseward, self.broker, self.database)
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn memory_gib(text: &str) -> f64 {
    let kib = field(text, "MemTotal").and_then(|size| size.strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / f64::from(1 << 20)
}

/// Type and device of the file system that `dir` is on: of the mount with the longest path above it.
fn file_system(mounts: &str, dir: &Path) -> String {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let path = before.split(' ').nth(4)?.to_owned();
        let mut fields = after.split(' ');
        let (kind, device) = (fields.next()?, fields.next()?);
        dir.starts_with(&path).then(|| (path.len(), format!("{kind} on {device}")))
    };
    let mounts = mounts.lines().filter_map(mount);
    // The last of equals lies over the others.
    mounts.max_by_key(|(length, _)| *length).map_or_else(String::new, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
         30 22 0:26 / /tmp rw shared:5 - tmpfs tmpfs rw\n\
         31 22 0:27 / /tmpfiles rw - xfs /dev/vdb rw\n";

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let of = |dir: &str| file_system(MOUNTS, Path::new(dir));
        assert_eq!(of("/home/x"), "ext4 on /dev/vda");
        assert_eq!(of("/tmp/pulseward-bench.1"), "tmpfs on tmpfs");
        assert_eq!(of("/tmpfiles"), "xfs on /dev/vdb");
    }

    #[test]
    fn memory_is_told_in_gibibytes() {
        assert_eq!(memory_gib("MemFree: 1 kB\nMemTotal:       2097152 kB\n"), 2.0);
        assert_eq!(memory_gib(""), 0.0);
    }
}
