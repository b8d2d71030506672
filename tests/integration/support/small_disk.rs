//! A small disk, which a test may fill.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::disks_may_be_small;
use super::process::Process;
use super::wait::wait_blocking;

/// A file system of its own, seen by those who enter its namespace, as long as this lives.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    keeper: Process,
    pid: u32,
    dir: TempDir,
}

impl SmallDisk {
    /// `None` where [`disks_may_be_small`] says no.
    pub(crate) fn mount(mebibytes: u32) -> Option<Self> {
        if !disks_may_be_small() {
            return None;
        }
        let dir = TempDir::with_prefix("disk-").expect("temporary directory");
        let log = dir.path().join("keeper.log");
        let mount_point = dir.path().join("small");
        fs::create_dir(&mount_point).expect("made");
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m tmpfs {:?} && echo mounted as $$ && exec sleep 3600",
            mount_point
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let mut keeper = Process::spawn("unshare", &mut command, &log);
        let pid = wait_blocking("the disk", || {
            assert!(keeper.exit().is_none(), "PULSEWARD_TEST_SMALL_DISK=no? {}", keeper.log());
            keeper.log().lines().find_map(|line| line.strip_prefix("mounted as ")?.parse().ok())
        });
        Some(Self { keeper, pid, dir })
    }

    /// What runs a command that sees the disk.
    pub(crate) fn enter(&self) -> Vec<String> {
        let target = format!("--target={}", self.pid);
        ["nsenter", &target, "--user", "--mount", "--preserve-credentials", "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// Where it is, for those who see it.
    pub(crate) fn mount_point(&self) -> PathBuf {
        self.dir.path().join("small")
    }

    /// Whether it is still there.
    pub(crate) fn is_there(&mut self) -> bool {
        self.keeper.exit().is_none()
    }

    fn filler(&self) -> String {
        self.mount_point().join("filler").display().to_string()
    }

    fn run(&self, script: &str) {
        let words = self.enter();
        let status = Command::new(&words[0]).args(&words[1..]).args(["sh", "-c", script]).status();
        assert!(status.expect("nsenter is there").success(), "{script}");
    }

    /// Lets others take so much of it.
    pub(crate) fn fill(&self, mebibytes: u32) {
        self.run(&format!("fallocate -l {mebibytes}M {:?}", self.filler()));
    }

    /// Lets others take all of it.
    pub(crate) fn fill_up(&self) {
        self.run(&format!("cat /dev/zero > {:?} 2>/dev/null || true", self.filler()));
    }

    /// Takes from it what others took.
    pub(crate) fn clear(&self) {
        self.run(&format!("rm {:?}", self.filler()));
    }
}
