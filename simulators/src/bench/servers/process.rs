//! A child process that ends with its owner, and whose output goes to a file.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::{Instant, sleep};

/// How often something is looked at that tells nobody when it changes.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A server that needs longer to start or to end has a fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of a log is shown.
const LOG_SHOWN_BYTES_MAX: usize = 4000;

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, whose output goes to the end of `log`.
    pub(super) fn spawn(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| {
            format!("starting {name} ({})", command.get_program().to_string_lossy())
        })?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, and whoever wrote to the same file before.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit, if it has ended.
    pub(super) fn exit(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking how {} is", self.name))
    }

    /// Waits until `look` finds what it looks for; an error if the process ends before, or takes
    /// longer than a minute. Cancel safe.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(exit) = self.exit()? {
                bail!("{} ended ({exit}) before {what}:\n{}", self.name, self.last_words());
            }
            if began.elapsed() > PATIENCE {
                bail!("no {what} of {} within {PATIENCE:?}:\n{}", self.name, self.last_words());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Sends a signal by the shell's own kill: a minimal system has no other.
    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        let kill = format!("kill -s {signal} {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).status().context("running sh to send a signal")?;
        Ok(())
    }

    /// Ends it as a crash does, and waits for its end.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// The end of what it wrote.
    pub(super) fn last_words(&self) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(LOG_SHOWN_BYTES_MAX);
        log.get(from..).unwrap_or(&log).to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The first line that a program prints about itself, if it prints one.
pub(in crate::bench) fn version(program: &Path, argument: &str) -> Result<String> {
    let output = match Command::new(program).arg(argument).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no program {}", program.display())
        }
        Err(error) => {
            return Err(error).with_context(|| format!("running {}", program.display()));
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}
