//! The wall clock of a service that steps while it runs, as when somebody sets it.
//!
//! A small library, compiled from `clock.c` on the spot, stands between the service and the C library
//! and moves what it is told of the wall clock. The monotonic clock goes on.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

/// The clock. Dropping it lets no process that runs under it notice: what they hold stays.
#[derive(Debug)]
pub(crate) struct Clock {
    dir: TempDir,
}

impl Clock {
    /// A clock that is right.
    pub(crate) fn right() -> Self {
        let dir = TempDir::with_prefix("clock-").expect("temporary directory");
        let clock = Self { dir };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drills/clock.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(clock.library()).arg(source);
        let compiled = compiler.arg("-ldl").status().expect("a C compiler is here");
        assert!(compiled.success(), "{compiled}");
        clock.set_off(0);
        clock
    }

    /// What makes a process read it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: PathBuf| path.to_str().expect("a plain name").to_owned();
        [("LD_PRELOAD", text(self.library())), ("DRILL_CLOCK", text(self.offset()))]
    }

    /// Steps ahead of the right time.
    pub(crate) fn ahead(&self, by: Duration) {
        self.set_off(micros(by));
    }

    /// Steps behind the right time.
    pub(crate) fn behind(&self, by: Duration) {
        self.set_off(-micros(by));
    }

    fn set_off(&self, micros: i64) {
        // Written in place: the process has the file in its memory.
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true);
        let file = options.open(self.offset()).expect("our own directory");
        file.write_all_at(&micros.to_ne_bytes(), 0).expect("room");
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn offset(&self) -> PathBuf {
        self.dir.path().join("offset")
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).expect("seconds")
}
