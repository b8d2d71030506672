//! Every call × every role × own site, another site, a stranger: what is answered, that nothing of
//! the other site shows, and what is on record.

use std::collections::BTreeMap;

use prost::Message as _;
use pulseward::engine::audit::Method;
use pulseward::engine::input::Role;
use pulseward::proto::v1;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::raw::call;
use super::rows::{Row, Scene, rows};
use super::ward::{FAR, NEAR, NOWHERE, Names, Ward};
use crate::support::wait::wait_until;

type Answer = Result<Vec<u8>, Status>;

/// The attempts, and what must be on record of them.
struct Matrix {
    ward: Ward,
    serial: usize,
    /// By subject: the call, the role, and how the attempt ended.
    known: BTreeMap<String, (Method, Role, &'static [&'static str])>,
    /// By call and reason: how often.
    strangers: BTreeMap<(&'static str, &'static str), usize>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_what_it_may_of_its_own_sites_and_sees_nothing_of_others() {
    let ward = Ward::start().await;
    let mut matrix = Matrix { ward, serial: 0, known: BTreeMap::new(), strangers: BTreeMap::new() };
    for method in Method::ALL {
        let rows = rows(*method);
        assert!(!rows.is_empty(), "{method:?} has no row");
        for row in rows {
            for role in Role::ALL {
                matrix.check_role(*method, &row, role).await;
            }
            matrix.check_strangers(*method, &row).await;
        }
    }
    matrix.check_record().await;
}

impl Matrix {
    async fn check_role(&mut self, method: Method, row: &Row, role: Role) {
        let [near, far, nowhere] =
            [&self.ward.near, &self.ward.far, &self.ward.nowhere].map(Clone::clone);
        let own = self.attempt(method, row, role, (&near, &near), NEAR).await;
        let other = self.attempt(method, row, role, (&near, &far), FAR).await;
        let none = self.attempt(method, row, role, (&near, &nowhere), NOWHERE).await;
        let case = format!("{}, {role:?}", row.name);
        // The record of the caller's patient repeats what was asked of them, by whoever asked.
        let told = text(&own).replace(&format!("to site {FAR}"), "to a site");
        assert!(!told.contains(FAR), "{case}: own answer tells of another site: {told}");
        let (other, none) = (told_of(method, &other, &far), told_of(method, &none, &nowhere));
        assert_eq!(other, none, "{case}: another site is not answered like what is nowhere");
    }

    /// Attempts, checks the code, and remembers what must be on record.
    async fn attempt(
        &mut self,
        method: Method,
        row: &Row,
        role: Role,
        (near, far): (&Names, &Names),
        whose: &str,
    ) -> Answer {
        self.serial += 1;
        let subject = format!("case-{}", self.serial);
        let token = self.ward.issuer.token(&subject, role.name(), &[NEAR]);
        let message = (row.ask)(&Scene { near, far, serial: self.serial });
        let answer = call(&self.ward.channel, method, message, Some(&token)).await;
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let case = format!("{}, {role:?}, {whose}: {:?}", row.name, answer.as_ref().err());
        let may = row.roles.contains(&role);
        let expected = match (may, whose) {
            (false, _) => &[Code::PermissionDenied][..],
            (true, NEAR) => row.own,
            (true, _) => row.other,
        };
        assert!(expected.contains(&code), "{case}: {code:?}, not {expected:?}");
        self.known.insert(subject, (method, role, outcomes(method, code, whose)));
        answer
    }

    async fn check_strangers(&mut self, method: Method, row: &Row) {
        let issuer = &self.ward.issuer;
        let changed = |claim: &str, value: serde_json::Value| {
            issuer.token_with("nora", "admin", &["*"], |claims| claims[claim] = value)
        };
        let attempts = [
            (None, "TOKEN_MISSING"),
            (Some(changed("exp", json!(1_000_000))), "TOKEN_EXPIRED"),
            (Some(changed("aud", json!("another service"))), "TOKEN_AUDIENCE"),
        ];
        for (token, reason) in attempts {
            let mut answers = Vec::new();
            for far in [&self.ward.near, &self.ward.far, &self.ward.nowhere] {
                let message = (row.ask)(&Scene { near: &self.ward.near, far, serial: 0 });
                let answer = call(&self.ward.channel, method, message, token.as_deref()).await;
                let status = answer.expect_err(reason);
                let case = format!("{}: {status}", row.name);
                assert_eq!(status.code(), Code::Unauthenticated, "{case}");
                let info = status.get_details_error_info().expect("a reason");
                assert_eq!(info.reason, reason, "{case}");
                answers.push((status.message().to_owned(), status.details().to_vec()));
                *self.strangers.entry((method.name(), reason)).or_default() += 1;
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{}: strangers are told apart what there is", row.name);
        }
    }

    /// Each attempt has its event, which says how it ended.
    async fn check_record(&self) {
        let sql = &self.ward.house.sql;
        let strangers: usize = self.strangers.values().sum();
        let known = "SELECT count(DISTINCT subject) FROM audit_events WHERE subject LIKE 'case-%'";
        let unknown = "SELECT count(*) FROM audit_events WHERE subject = ''";
        wait_until("every attempt to be stored", async || {
            sql.number(known).await >= self.known.len() && sql.number(unknown).await >= strangers
        })
        .await;
        let mut on_record = BTreeMap::<_, Vec<_>>::new();
        let events = "SELECT subject, method, role, outcome FROM audit_events \
                      WHERE subject LIKE 'case-%' ORDER BY number";
        for event in sql.rows(events).await {
            let [subject, method, role, outcome] = <[String; 4]>::try_from(event).expect("four");
            on_record.entry(subject).or_default().push((method, role, outcome));
        }
        for (subject, (method, role, outcomes)) in &self.known {
            let events = on_record.get(subject).unwrap_or_else(|| panic!("{subject}: no event"));
            let (told_method, told_role, outcome) = events.last().expect("at least one");
            assert_eq!((&**told_method, &**told_role), (method.name(), role.name()), "{subject}");
            // A stream's second event tells of its end, if it has one by now.
            let outcome = if outcome == "closed" { "opened" } else { outcome };
            assert!(
                outcomes.contains(&outcome),
                "{method:?}, {role:?}: {outcome}, not {outcomes:?}"
            );
        }
        self.check_strangers_on_record().await;
    }

    async fn check_strangers_on_record(&self) {
        let events = "SELECT method, reason, count(*) FROM audit_events \
                      WHERE subject = '' AND role IS NULL AND outcome = 'denied' GROUP BY 1, 2";
        let counted = self.ward.house.sql.rows(events).await;
        let counted: BTreeMap<_, usize> = counted
            .iter()
            .map(|row| ((row[0].as_str(), row[1].as_str()), row[2].parse().expect("a number")))
            .collect();
        assert_eq!(counted, self.strangers);
    }
}

/// How an attempt that was answered so may stand on record. What is refused as if it were not there
/// is told as the attempt that it is.
fn outcomes(method: Method, code: Code, whose: &str) -> &'static [&'static str] {
    match (code, whose) {
        (Code::Ok, _) => &["done", "opened"],
        (Code::PermissionDenied, _) => &["denied"],
        (Code::NotFound, FAR) if !names_it_beside(method) => &["denied"],
        // A site is outside of the caller's whether or not there is one.
        (Code::NotFound, _) => &["denied", "failed"],
        _ => &["failed"],
    }
}

/// Whether what a call is about may stand in the words of its event only: the number of an erasure,
/// the id of an alert that is read, what takes a device's place, where a patient goes.
fn names_it_beside(method: Method) -> bool {
    matches!(
        method,
        Method::GetErasure | Method::GetAlert | Method::ReplaceDevice | Method::TransferPatient
    )
}

/// What an answer tells, without what it was asked about.
fn told_of(method: Method, answer: &Answer, far: &Names) -> String {
    let told = text(answer)
        .replace(far.site, "somewhere")
        .replace(&far.alert, "some alert")
        .replace(&far.message, "some message");
    match method {
        // A number is no name, so that each digit may be that of the erasure.
        Method::GetErasure => told.replace(|letter: char| letter.is_ascii_digit(), "#"),
        // How late it is.
        Method::GetLatestVitals if answer.is_ok() => String::new(),
        // The same, before what is counted: nothing, of what is elsewhere as of what is nowhere.
        Method::GetAlarmBurden => without_time(answer).unwrap_or(told),
        _ => told,
    }
}

/// The answer to a burden, without when it was given.
fn without_time(answer: &Answer) -> Option<String> {
    let answer = v1::GetAlarmBurdenResponse::decode(answer.as_ref().ok()?.as_slice());
    let answer = answer.expect("an answer of this call");
    Some(format!("{:?}", v1::GetAlarmBurdenResponse { as_of: None, ..answer }))
}

/// Everything that an answer holds.
fn text(answer: &Answer) -> String {
    match answer {
        Ok(message) => format!("answer {}", message.escape_ascii()),
        Err(status) => {
            let (code, details) = (status.code(), status.details().escape_ascii());
            let metadata = status.metadata().clone().into_headers();
            let headers: Vec<_> = metadata.keys().filter(|key| *key != "date").collect();
            format!("{code:?} {:?} {details} {headers:?}", status.message())
        }
    }
}
