//! How much alarms ask of a ward in a span of time, and how they were answered: counted by the
//! database, in one statement (`statement`), and so from one snapshot, whose numbers agree.
//!
//! Promises: an alert counts once, in the span in which it was raised, at the highest priority that
//! it reached; a caller is told of nobody whose alerts they could not list, decided inside the
//! statement. Lists are bounded, and what they leave out is still in the sums. What is read into
//! memory is as large as the answer, however many alerts there were.
//!
//! Deliberately not done: nothing is estimated. Whether a device that was bound also sent something
//! is not asked, because that would mean to read every reading of the span.

mod statement;

use std::cmp::Reverse;
use std::ops::{AddAssign, Range};
use std::time::Duration;

use self::statement::{COLUMNS, Section};
use super::{Select, read};
use crate::clock::Timestamp;
use crate::engine::alerts::AlertKind;
use crate::engine::input::Sites;
use crate::store::history::{HistoryError, unavailable};
use crate::store::ledger::{Cells, LedgerError};
use crate::vitals::{PatientId, RuleId, SiteId, Vital};

/// Rules that an answer lists at most, and patients: as many as a page of alerts may hold.
pub const BURDEN_LISTED_MAX: u32 = 1_000;
/// An alert that ended no later than this after it was raised, and that nobody had answered, ended
/// by itself: nobody could have been with the patient in that time.
pub const SELF_ENDED_WITHIN: Duration = Duration::from_secs(30);

/// Whose alerts, and of when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurdenQuery {
    /// The sites that the caller may see.
    pub scope: Sites,
    /// Only of these sites, beside the service's own alerts; of all if there are none.
    pub sites: Vec<SiteId>,
    /// Raised from here on, and before the end.
    pub span: Range<Timestamp>,
    /// Time on devices counts until here at most.
    pub as_of: Timestamp,
    /// How far behind the full hour of UTC an hour begins; less than an hour.
    pub hour_offset: Duration,
}

/// How much alarms ask of a ward. Alerts are live ones of patients and gateways where nothing else
/// is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burden {
    /// Patients to whom a device was bound at some time of the span.
    pub monitored_patients: u32,
    /// For how long, all of them together.
    pub monitored: Duration,
    /// Alerts about patients.
    pub physiological: Tally,
    /// Alerts about the equipment.
    pub technical: Tally,
    /// How long it took to acknowledge: any of them.
    pub waits: Option<Waits>,
    /// The same, of alerts about patients.
    pub physiological_waits: Option<Waits>,
    /// The same, of alerts about the equipment.
    pub technical_waits: Option<Waits>,
    /// By rule and vital, most alerts first; at most [`BURDEN_LISTED_MAX`].
    pub rules: Vec<RuleTally>,
    /// By hour, in order; hours without an alert are left out.
    pub hours: Vec<HourTally>,
    /// Who has most of them.
    pub most_alarmed: MostAlarmed,
    /// Alerts that late readings raised, and that never signalled.
    pub retrospective: u32,
    /// Alerts of the service about itself.
    pub of_service: u32,
    /// Alerts for which the alert of a flood stood.
    pub held_back: u32,
}

impl Burden {
    /// Of all alerts, whatever they are about.
    #[must_use]
    pub fn all(&self) -> Tally {
        let mut all = self.physiological;
        all += self.technical;
        all
    }
}

/// Alerts, and how they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub alerts: u32,
    /// How many of them reached each priority and none above it, from high to low.
    pub by_priority: [u32; 3],
    /// Somebody acknowledged them.
    pub acknowledged: u32,
    /// Nobody did, and their condition is over.
    pub ended_unacknowledged: u32,
    /// Nobody did, and their condition is not over.
    pub open_unacknowledged: u32,
    /// See [`SELF_ENDED_WITHIN`].
    pub self_ended: u32,
    /// Somebody paused them.
    pub paused: u32,
    /// Raised while the patient was paused.
    pub raised_paused: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.alerts += other.alerts;
        for (mine, theirs) in self.by_priority.iter_mut().zip(other.by_priority) {
            *mine += theirs;
        }
        self.acknowledged += other.acknowledged;
        self.ended_unacknowledged += other.ended_unacknowledged;
        self.open_unacknowledged += other.open_unacknowledged;
        self.self_ended += other.self_ended;
        self.paused += other.paused;
        self.raised_paused += other.raised_paused;
    }
}

/// From an alert's being raised to its first acknowledgement; each a time that one of them took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Half of those that were acknowledged took no longer.
    pub median: Duration,
    /// Nine in ten took no longer.
    pub p90: Duration,
}

/// Alerts of one rule, of one vital.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTally {
    /// The rule.
    pub rule: RuleId,
    /// The vital, if they are of one.
    pub vital: Option<Vital>,
    /// What they are about.
    pub kind: AlertKind,
    /// They.
    pub tally: Tally,
}

/// Alerts raised in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourTally {
    /// When it begins.
    pub from: Timestamp,
    /// About patients.
    pub physiological: Tally,
    /// About the equipment.
    pub technical: Tally,
}

/// The tenth of patients who have most alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MostAlarmed {
    /// Of how many: to whom a device was bound, or who had an alert.
    pub of_patients: u32,
    /// A tenth of them, rounded up.
    pub patients: u32,
    /// Alerts of that tenth.
    pub alerts: u32,
    /// Alerts of all patients.
    pub of_alerts: u32,
    /// Those of the tenth who have any, most first; at most [`BURDEN_LISTED_MAX`].
    pub listed: Vec<PatientTally>,
}

/// Alerts of one patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientTally {
    /// The patient.
    pub patient: PatientId,
    /// Where they are.
    pub site: SiteId,
    /// How many of their alerts are about the equipment.
    pub technical: u32,
    /// Their alerts.
    pub tally: Tally,
}

/// The burden of a ward.
pub(in crate::store) async fn tell<D: Select>(
    database: &D,
    query: &BurdenQuery,
) -> Result<Burden, HistoryError> {
    let rows = database.select(statement::statement::<D>(query), COLUMNS).await?;
    let mut burden = Burden::default();
    for mut row in rows {
        burden.take(&mut row).map_err(|error| unavailable(error.to_string()))?;
    }
    burden.sort();
    Ok(burden)
}

impl Burden {
    /// Puts lists in the order that is promised; hours come in theirs.
    fn sort(&mut self) {
        let by = |it: &RuleTally| (Reverse(it.tally.alerts), it.rule.clone(), it.vital);
        self.rules.sort_by_cached_key(by);
        let by = |it: &PatientTally| (Reverse(it.tally.alerts), it.patient.clone());
        self.most_alarmed.listed.sort_by_cached_key(by);
    }

    /// Adds what a row says.
    fn take(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        let section = row.int()?;
        match Section::numbered(section).ok_or_else(|| row.wrong("a section"))? {
            Section::Kinds => self.take_kind(row),
            Section::Waits => self.take_waits(row),
            Section::Rules => rule(row).map(|rule| self.rules.push(rule)),
            Section::Hours => self.take_hour(row),
            Section::Patients => patient(row).map(|patient| self.most_alarmed.listed.push(patient)),
            Section::Tenth => self.take_tenth(row),
            Section::Monitored => self.take_monitored(row),
            Section::Apart => self.take_apart(row),
        }
    }

    fn take_kind(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        let kind = row.word("a kind", read::kind)?;
        skip(row, 2)?;
        let tally = tally(row)?;
        match kind {
            AlertKind::Physiological => self.physiological = tally,
            AlertKind::Technical => self.technical = tally,
        }
        Ok(())
    }

    /// Without a kind: of all.
    fn take_waits(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        let kind = row.word_or_null("a kind", read::kind)?;
        skip(row, 2)?;
        let waits = Some(Waits { median: span(row)?, p90: span(row)? });
        match kind {
            None => self.waits = waits,
            Some(AlertKind::Physiological) => self.physiological_waits = waits,
            Some(AlertKind::Technical) => self.technical_waits = waits,
        }
        Ok(())
    }

    /// The rows of an hour follow each other.
    fn take_hour(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        let kind = row.word("a kind", read::kind)?;
        skip(row, 1)?;
        let from = Timestamp::from_micros(row.int()?).ok_or_else(|| row.wrong("an hour"))?;
        if self.hours.last().is_none_or(|last| last.from != from) {
            let (physiological, technical) = (Tally::default(), Tally::default());
            self.hours.push(HourTally { from, physiological, technical });
        }
        let hour = self.hours.last_mut().expect("one was added if there was none");
        match kind {
            AlertKind::Physiological => hour.physiological = tally(row)?,
            AlertKind::Technical => hour.technical = tally(row)?,
        }
        Ok(())
    }

    fn take_tenth(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        skip(row, 3)?;
        let most = &mut self.most_alarmed;
        most.of_patients = row.number()?;
        most.patients = row.number()?;
        most.of_alerts = row.number()?;
        most.alerts = row.number()?;
        Ok(())
    }

    fn take_monitored(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        skip(row, 3)?;
        self.monitored_patients = row.number()?;
        self.monitored = span(row)?;
        Ok(())
    }

    fn take_apart(&mut self, row: &mut Cells) -> Result<(), LedgerError> {
        skip(row, 3)?;
        self.retrospective = row.number()?;
        self.of_service = row.number()?;
        self.held_back = row.number()?;
        Ok(())
    }
}

/// What a rule's row says.
fn rule(row: &mut Cells) -> Result<RuleTally, LedgerError> {
    Ok(RuleTally {
        kind: row.word("a kind", read::kind)?,
        rule: row.word("a rule's id", read::rule)?,
        vital: row.int_or_null()?.and_then(read::vital),
        tally: tally(row)?,
    })
}

/// What a patient's row says.
fn patient(row: &mut Cells) -> Result<PatientTally, LedgerError> {
    Ok(PatientTally {
        patient: row.word("an id", |id| PatientId::new(id).ok())?,
        site: row.word("an id", |id| SiteId::new(id).ok())?,
        technical: row.number()?,
        tally: tally(row)?,
    })
}

fn tally(row: &mut Cells) -> Result<Tally, LedgerError> {
    Ok(Tally {
        alerts: row.number()?,
        by_priority: [row.number()?, row.number()?, row.number()?],
        acknowledged: row.number()?,
        ended_unacknowledged: row.number()?,
        open_unacknowledged: row.number()?,
        self_ended: row.number()?,
        paused: row.number()?,
        raised_paused: row.number()?,
    })
}

/// Microseconds.
fn span(row: &mut Cells) -> Result<Duration, LedgerError> {
    row.number().map(Duration::from_micros)
}

/// Passes cells that a section leaves empty.
fn skip(row: &mut Cells, cells: usize) -> Result<(), LedgerError> {
    (0..cells).try_for_each(|_| row.int_or_null().map(|_| ()))
}
