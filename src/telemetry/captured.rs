//! The log of a test, for it to read.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

use super::{LogLevelSwitch, level_filter, log_subscriber};
use crate::config::{LogFormat, LogLevel};

/// What was logged by this thread since it was made, until it is dropped.
pub(crate) struct Captured {
    lines: Lines,
    pub(crate) switch: LogLevelSwitch,
    _installed: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// Logs in this format from this level on, without colours.
    pub(crate) fn begin(format: LogFormat, level: LogLevel) -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = EnvFilter::default().add_directive(level_filter(level).into());
        let (subscriber, switch) = log_subscriber(format, filter, false, move || writer.clone());
        Self { lines, switch, _installed: tracing::subscriber::set_default(subscriber) }
    }

    /// What was logged so far.
    pub(crate) fn text(&self) -> String {
        self.reader()()
    }

    /// Tells what was logged so far, on any thread.
    pub(crate) fn reader(&self) -> impl Fn() -> String + Send + use<> {
        let Lines(lines) = self.lines.clone();
        move || String::from_utf8(lines.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}
