//! The process of the watchers, as the one that measures sees it: it is told a line, and answers
//! with a line.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::task::block_in_place;

use crate::bare::MESSAGE_BYTES;

/// The argument by which the program knows that it is the watchers.
pub(crate) const ROLE: &str = "watch";

pub(crate) struct Crowd {
    process: Child,
    told: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
}

/// How long events took to all who read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) count: u64,
    p50_micros: u64,
    pub(crate) p99_micros: u64,
    max_micros: u64,
}

impl Crowd {
    pub(crate) fn start(url: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut process = Command::new(program)
            .args([ROLE, url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = process.stdin.take().context("piped above")?;
        let says = BufReader::new(process.stdout.take().context("piped above")?).lines();
        Ok(Self { process, told, says })
    }

    /// Opens streams and waits until they are live: of those who read, so many on a connection.
    pub(crate) async fn open(&mut self, awake: usize, asleep: usize, on_one: usize) -> Result<()> {
        self.ask(&format!("open {awake} {asleep} {on_one}")).await.map(drop)
    }

    /// Opens connections over which messages of this size come, and nothing else.
    pub(crate) async fn open_bare(&mut self, to: SocketAddr, count: usize) -> Result<()> {
        self.ask(&format!("bare {to} {count} {MESSAGE_BYTES}")).await.map(drop)
    }

    /// Says how many events were told before anybody listened.
    pub(crate) async fn is_told(&mut self, events: usize) -> Result<()> {
        self.ask(&format!("told {events}")).await.map(drop)
    }

    /// Waits until all who read have heard so many events, counted from the first round.
    pub(crate) async fn heard(&mut self, events: usize) -> Result<()> {
        self.ask(&format!("heard {events}")).await.map(drop)
    }

    /// Begins to measure anew.
    pub(crate) async fn forget(&mut self) -> Result<()> {
        self.ask("forget").await.map(drop)
    }

    pub(crate) async fn took(&mut self) -> Result<Took> {
        let [count, p50_micros, p99_micros, max_micros] = self.ask("took").await?[..] else {
            anyhow::bail!("not four numbers")
        };
        Ok(Took { count, p50_micros, p99_micros, max_micros })
    }

    /// Lets those read who never did, until their streams end: how many were closed with a cursor,
    /// and how many otherwise.
    pub(crate) async fn wake(&mut self) -> Result<(usize, u64)> {
        let [closed, others] = self.ask("wake").await?[..] else {
            anyhow::bail!("not two numbers")
        };
        Ok((usize::try_from(closed)?, others))
    }

    async fn ask(&mut self, line: &str) -> Result<Vec<u64>> {
        let answer = block_in_place(|| {
            self.told.write_all(format!("{line}\n").as_bytes())?;
            self.says.next().context("the watchers have ended")?.context("reading")
        })?;
        let mut words = answer.split(' ');
        ensure!(words.next() == Some("ok"), "{line}: {answer}");
        words.map(|word| Ok(word.parse()?)).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let (p50, p99, max) = (ms(self.p50_micros), ms(self.p99_micros), ms(self.max_micros));
        let count = self.count;
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms over {count} deliveries")
    }
}

/// Processor time that this process has used, in microseconds, in steps of ten milliseconds.
pub(crate) fn cpu_micros() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("this is no Linux")?;
    let fields = stat.rsplit_once(')').context("a name in brackets")?.1;
    let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|it| it.parse::<u64>().ok());
    // The 14th and 15th field of the line, in hundredths of a second.
    let (user, system) = (ticks(11).context("utime")?, ticks(12).context("stime")?);
    Ok((user + system) * 10_000)
}

/// What this process has in memory.
pub(crate) fn rss_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("this is no Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no RSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
