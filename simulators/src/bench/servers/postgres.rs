//! A Postgres with its own defaults, durable, on a port of its own.
//!
//! As root it runs as an unprivileged user, because Postgres refuses root. Its password is that
//! nobody needs one on loopback, in a directory that lasts as long as the benchmark.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::on_free_port;
use super::process::Process;

const USER: &str = "pulseward";
/// Who runs the server where we are root, in this order.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// Only where it listens differs from what a new cluster has.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n";
/// An immediate shutdown takes no longer; then it is killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A server. Dropping it ends it.
#[derive(Debug)]
pub(in crate::bench) struct Postgres {
    process: Process,
    bin: PathBuf,
    port: u16,
}

/// Who runs it: user and group, if it is not us.
type Owner = Option<(u32, u32)>;

impl Postgres {
    /// Makes a cluster in `dir` and starts its server.
    pub(in crate::bench) async fn start(bin: &Path, dir: &Path) -> Result<Self> {
        let home = dir.join("postgres");
        std::fs::create_dir(&home)?;
        let owner = owner()?;
        if let Some((user, group)) = owner {
            chown(&home, Some(user), Some(group)).context("giving the database its directory")?;
        }
        initialise(bin, &home, owner)?;
        on_free_port("Postgres", |port| launch(bin, &home, port, owner)).await
    }

    /// A new database's address.
    pub(in crate::bench) fn database(&self, name: &str) -> Result<String> {
        let port = self.port.to_string();
        let mut createdb = Command::new(self.bin.join("createdb"));
        createdb.args(["--host=127.0.0.1", "--port", &port, "--username", USER, name]);
        run(&mut createdb)?;
        Ok(format!("postgres://{USER}@127.0.0.1:{port}/{name}"))
    }
}

impl Drop for Postgres {
    /// In order, so that its processes end with it.
    fn drop(&mut self) {
        let began = std::time::Instant::now();
        if self.process.signal("QUIT").is_err() {
            return;
        }
        while matches!(self.process.exit(), Ok(None)) && began.elapsed() < END_PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn initialise(bin: &Path, home: &Path, owner: Owner) -> Result<()> {
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("--pgdata").arg(home.join("data"));
    initdb.args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C"]);
    run(as_owner(&mut initdb, home, owner))?;
    let path = home.join("data/postgresql.conf");
    let text = std::fs::read_to_string(&path).context("reading postgresql.conf")?;
    std::fs::write(&path, text + SETTINGS).context("writing postgresql.conf")
}

async fn launch(bin: &Path, home: &Path, port: u16, owner: Owner) -> Result<Option<Postgres>> {
    let log = home.with_file_name(format!("postgres-{port}.log"));
    let mut command = Command::new(bin.join("postgres"));
    command.arg("-D").arg(home.join("data")).args(["-p", &port.to_string()]);
    let mut process = Process::spawn("postgres", as_owner(&mut command, home, owner), &log)?;
    let has_port = process.until("accepting connections", |process| {
        let said = process.log();
        if said.contains("could not bind") {
            return Ok(Some(false));
        }
        Ok(said.contains("ready to accept connections").then_some(true))
    });
    let has_port = has_port.await?;
    Ok(has_port.then_some(Postgres { process, bin: bin.to_owned(), port }))
}

fn as_owner<'a>(command: &'a mut Command, home: &Path, owner: Owner) -> &'a mut Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command.current_dir(home).env("LC_ALL", "C")
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("running {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed ({}): {said}", output.status);
    Ok(())
}

/// Nobody else where we are not root.
fn owner() -> Result<Owner> {
    if std::fs::metadata("/proc/self").context("this is no Linux")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let found = UNPRIVILEGED.iter().find_map(|name| user(&users, name));
    found.map(Some).context("no user postgres or nobody, and Postgres refuses root")
}

/// Numbers of user and group, by the lines of `/etc/passwd`.
fn user(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_theirs = fields.next() == Some(name);
        let mut number = || fields.nth(1).and_then(|number| number.parse().ok());
        let user = number()?;
        let group = fields.next()?.parse().ok()?;
        is_theirs.then_some((user, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_with_its_group() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:n:/:/usr/sbin/nologin\n";
        assert_eq!(user(users, "nobody"), Some((65534, 65533)));
        assert_eq!(user(users, "postgres"), None);
    }
}
