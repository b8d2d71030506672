//! Files that change under a keeper: right, wrong, half, and too old.

use std::sync::Mutex;

use super::*;
use crate::readiness::{Readiness, State};
use crate::tls::trial::{Authority, Files, Issue, Issued, in_days};
use crate::tls::{Pair, server};

/// A clock that stands where it is put.
struct Standing(Mutex<Timestamp>);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic")
    }
}

/// A keeper of a server's files, and what it says.
struct Trial {
    authority: Authority,
    files: Files,
    clock: Arc<Standing>,
    readiness: Readiness,
    keeper: Keeper<server::Files>,
    current: Current<tokio_rustls::rustls::ServerConfig>,
}

impl Trial {
    fn start() -> Self {
        let authority = Authority::new("trial");
        let files = Files::of(&authority, &authority.issue(&Issue::named("first")));
        let clock = Arc::new(Standing(Mutex::new(in_days(0))));
        let readiness = Readiness::new();
        let part = readiness.register("grpc certificate");
        let told: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let (keeper, current) =
            Keeper::open("grpc", of(files.pair()), told, part).expect("good files");
        Self { authority, files, clock, readiness, keeper, current }
    }

    fn issue(&self, days: u32) -> Issued {
        self.authority.issue(&Issue { not_after: in_days(days), ..Issue::named("next") })
    }

    fn state(&self) -> State {
        self.readiness.parts()[0].1.clone()
    }

    /// Looks `times` times; whether something else is served then.
    async fn replaces(&mut self, times: usize) -> bool {
        let before = self.current.get();
        for _ in 0..times {
            self.keeper.look().await;
        }
        !Arc::ptr_eq(&before, &self.current.get())
    }

    fn reason(&self) -> String {
        self.state().reason().unwrap_or_default().to_owned()
    }
}

fn of(pair: Pair) -> server::Files {
    server::Files { pair, client_ca: None, protocols: &[b"h2"] }
}

#[tokio::test]
async fn what_has_not_changed_is_not_made_anew() {
    let mut trial = Trial::start();
    assert!(!trial.replaces(2).await);
    assert_eq!(trial.state(), State::Ready);
}

#[tokio::test]
async fn a_pair_that_was_replaced_is_served_at_the_next_look() {
    let mut trial = Trial::start();
    trial.files.replace(&trial.issue(60));
    assert!(trial.replaces(1).await);
    assert_eq!(trial.state(), State::Ready);
}

#[tokio::test]
async fn half_a_replacement_is_given_one_more_look_and_then_told_of() {
    let mut trial = Trial::start();
    let next = trial.issue(60);
    trial.files.write("certificate.pem", &next.certificate_pem());
    assert!(!trial.replaces(1).await);
    assert_eq!(trial.state(), State::Ready, "the key may be under way");
    assert!(!trial.replaces(1).await);
    let State::Degraded(reason) = trial.state() else { panic!("{:?}", trial.state()) };
    assert!(reason.contains("is not that of the first certificate"), "{reason}");
    trial.files.write("key.pem", &next.key_pem());
    assert!(trial.replaces(1).await, "once it is whole");
    assert_eq!(trial.state(), State::Ready);
}

#[tokio::test]
async fn a_file_that_is_gone_or_garbage_leaves_the_old_in_place() {
    let mut trial = Trial::start();
    for (content, expected) in [
        ("", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", "is damaged: a block has no end"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "can't be read"),
    ] {
        trial.files.write("certificate.pem", content);
        assert!(!trial.replaces(2).await, "{content}");
        assert!(trial.reason().contains(expected), "{content}: {}", trial.reason());
    }
    std::fs::remove_file(trial.files.path("certificate.pem")).expect("removed");
    assert!(!trial.replaces(2).await);
    assert!(trial.reason().contains("can't read"), "{}", trial.reason());
}

#[tokio::test]
async fn the_old_files_put_back_are_no_trouble_any_more() {
    let mut trial = Trial::start();
    let path = trial.files.path("certificate.pem");
    let old = std::fs::read_to_string(&path).expect("readable");
    trial.files.write("certificate.pem", "");
    assert!(!trial.replaces(2).await);
    trial.files.write("certificate.pem", &old);
    assert!(!trial.replaces(1).await);
    assert_eq!(trial.state(), State::Ready);
}

#[tokio::test]
async fn an_expired_replacement_does_not_take_the_place_of_a_valid_certificate() {
    let mut trial = Trial::start();
    *trial.clock.0.lock().expect("no panic") = in_days(5);
    trial.files.replace(&trial.issue(3));
    assert!(!trial.replaces(2).await);
    assert!(trial.reason().contains("expired at"), "{}", trial.reason());
}

#[tokio::test]
async fn an_expiry_is_told_two_weeks_ahead_and_degrades_once_it_is_there() {
    let mut trial = Trial::start();
    for (day, expected) in [(15, "ready"), (17, "expires at"), (31, "expired at")] {
        *trial.clock.0.lock().expect("no panic") = in_days(day);
        assert!(!trial.replaces(1).await);
        let told = format!("{:?}", trial.state());
        assert!(told.to_lowercase().contains(expected), "day {day}: {told}");
    }
    assert!(matches!(trial.state(), State::Degraded(_)), "{:?}", trial.state());
}

#[test]
fn a_mistake_at_the_start_names_the_file_and_what_to_do() {
    let authority = Authority::new("trial");
    let files = Files::of(&authority, &authority.issue(&Issue::named("first")));
    let open = |pair: Pair| {
        let part = Readiness::new().register("grpc certificate");
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock);
        let opened = Keeper::open("grpc", of(pair), clock, part);
        opened.map(drop).expect_err("wrong").to_string()
    };
    let Pair { certificate, key } = files.pair();
    let swapped = open(Pair { certificate: key.clone(), key: certificate.clone() });
    assert!(swapped.contains("key.pem holds no certificate: it needs blocks"), "{swapped}");
    let no_key = open(Pair { certificate: certificate.clone(), key: certificate.clone() });
    assert!(no_key.contains("certificate.pem holds no private key"), "{no_key}");
    files.write("other.pem", &authority.issue(&Issue::named("other")).key_pem());
    let other = open(Pair { certificate, key: files.path("other.pem") });
    assert!(other.contains("other.pem is not that of the first certificate in"), "{other}");
}
