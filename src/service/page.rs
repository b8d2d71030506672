//! The page that `serve` prints at its start: what the service is connected to, and where it listens.
//!
//! Once everything is ready, or after [`PATIENCE`] with what is not: an operator sees at a glance
//! that it is the right broker and the right database. For people it is a page on standard error,
//! beside the log; where the log is for machines, it is one line of it with the same facts, at level
//! info. It names addresses and counts; passwords and patients it does not know.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Addresses, settings};
use crate::config::{AuthMode, ByteSize, Config, LogFormat};
use crate::position::Position;
use crate::readiness::{Readiness, State};

/// A broker and a database that are there are connected to within a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a start finds.
pub(super) struct Facts {
    /// Where it listens.
    pub(super) addresses: Addresses,
    /// Where the ward page is, if it is served.
    pub(super) ward_page: Option<String>,
    /// The last entry of the journal.
    pub(super) position: Position,
    /// What the journal takes on disk.
    pub(super) journal_bytes: u64,
    /// How many patients there are.
    pub(super) patients: usize,
    /// How many alerts are open.
    pub(super) alerts_open: usize,
}

/// The page, before it is known how the parts stand.
pub(super) struct Page {
    format: LogFormat,
    began: Instant,
    /// What it is about, and what there is to say.
    lines: Vec<(&'static str, String)>,
}

impl Page {
    /// The page of a start that began then.
    pub(super) fn new(config: &Config, facts: &Facts, began: Instant) -> Self {
        Self { format: config.log.format, began, lines: lines(config, facts) }
    }

    /// Prints it once everything is ready, or after [`PATIENCE`]; not at all if `stop` comes first.
    pub(super) async fn print(self, readiness: Readiness, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timeout(PATIENCE, readiness.ready()) => {}
        }
        let took = self.began.elapsed();
        let standing = standing(&readiness, took);
        match self.format {
            LogFormat::Text => {
                // Nobody reads it where it can't be written.
                drop(std::io::stderr().lock().write_all(self.text(&standing).as_bytes()));
            }
            LogFormat::Json => info!(page = self.line(), standing, "started"),
        }
    }

    fn text(&self, standing: &str) -> String {
        let mut page = format!("{}\n", heading());
        for (name, what) in &self.lines {
            // Writing to a text never fails.
            let _ = writeln!(page, "  {name:<9} {what}");
        }
        page + standing + "\n"
    }

    fn line(&self) -> String {
        let facts = self.lines.iter().map(|(name, what)| format!("{name}: {what}"));
        [heading()].into_iter().chain(facts).collect::<Vec<_>>().join("; ")
    }
}

fn heading() -> String {
    format!("pulseward {}, process {}", env!("CARGO_PKG_VERSION"), std::process::id())
}

fn lines(config: &Config, facts: &Facts) -> Vec<(&'static str, String)> {
    let Addresses { grpc, http } = facts.addresses;
    let (bytes, most) = (whole(facts.journal_bytes), config.journal.max_bytes);
    let Position(entry) = facts.position;
    vec![
        ("broker", format!("{} as {:?}", config.mqtt.url.as_str(), config.mqtt.client_id)),
        ("journal", format!("{}: entry {entry}, {bytes} of {most}", config.journal.dir.display())),
        ("database", config.store.url.to_string()),
        ("gRPC", format!("{grpc}, {}; {}", encryption(config), callers(config))),
        ("HTTP", format!("{http}: /healthz /readyz /metrics")),
        ("ward page", facts.ward_page.clone().unwrap_or_else(|| "not served".to_owned())),
        ("ward", format!("{} patients, {} open alerts", facts.patients, facts.alerts_open)),
    ]
}

/// To a MiB, for a page.
fn whole(bytes: u64) -> ByteSize {
    ByteSize(bytes.next_multiple_of(1 << 20))
}

fn encryption(config: &Config) -> &'static str {
    match (settings::grpc_tls(&config.grpc), config.grpc.allow_plaintext) {
        (Some(_), _) => "TLS",
        (None, true) => "without TLS, which a proxy before it is to speak",
        (None, false) => "without TLS",
    }
}

const fn callers(config: &Config) -> &'static str {
    match config.auth.mode {
        AuthMode::None => "whoever is on this machine may do everything",
        AuthMode::Jwt => "callers are known by their tokens",
        AuthMode::Certificates => "callers are known by their certificates",
    }
}

/// How the parts stand: in one line, or a line for each that is not simply ready.
fn standing(readiness: &Readiness, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let summary = if readiness.is_ready() { "ready" } else { "NOT READY" };
    let parts = readiness.parts();
    let told = parts.iter().filter(|(_, state)| *state != State::Ready).map(|(name, state)| {
        format!("\n  {name} is {}: {}", state.name(), state.reason().unwrap_or_default())
    });
    format!("{summary} after {seconds:.1} s{}", told.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        let addresses = Addresses {
            grpc: "127.0.0.1:50051".parse().expect("an address"),
            http: "127.0.0.1:8080".parse().expect("an address"),
        };
        let (position, journal_bytes) = (Position(7), (3 << 20) - 1);
        let ward_page = Some("http://127.0.0.1:8080/ward/".to_owned());
        let facts =
            Facts { addresses, ward_page, position, journal_bytes, patients: 12, alerts_open: 2 };
        let config = Config::parse("test", text, []).expect("valid");
        Page::new(&config, &facts, Instant::now())
    }

    #[test]
    fn the_page_says_what_it_is_connected_to_and_no_password() {
        let page = page("[store]\nurl = \"postgres://ward:secret@db:5432/ward\"\n");
        let text = page.text("ready after 0.4 s");
        for said in [
            "  broker    mqtt://127.0.0.1:1883 as \"pulseward\"\n",
            "  journal   pulseward-data/journal: entry 7, 3MiB of 10GiB\n",
            "  gRPC      127.0.0.1:50051, without TLS; whoever is on this machine may do everything\n",
            "  HTTP      127.0.0.1:8080: /healthz /readyz /metrics\n",
            "  ward page http://127.0.0.1:8080/ward/\n",
            "  ward      12 patients, 2 open alerts\nready after 0.4 s\n",
        ] {
            assert!(text.contains(said), "{said}{text}");
        }
        assert!(text.contains("@db:5432/ward") && !text.contains("secret"), "{text}");
        assert!(page.line().contains("ward: 12 patients, 2 open alerts"), "{}", page.line());
        assert!(!page.line().contains("secret") && !page.line().contains('\n'));
    }

    #[test]
    fn what_is_not_ready_is_named_with_its_reason() {
        let readiness = Readiness::new();
        let (broker, store) = (readiness.register("mqtt"), readiness.register("store"));
        broker.not_ready("no messages come from the broker");
        store.ready();
        let told = standing(&readiness, Duration::from_millis(10_040));
        let expected =
            "NOT READY after 10.0 s\n  mqtt is not ready: no messages come from the broker";
        assert_eq!(told, expected);
        broker.ready();
        assert_eq!(standing(&readiness, Duration::from_millis(440)), "ready after 0.4 s");
    }
}
