//! An audit event, and what its two digests are made of.
//!
//! Both are SHA-256 over a line of text that names what follows, and then over fields in this
//! order, numbers big-endian, each text behind its length in bytes (32 bits):
//!
//! - *commitment*, of the details: `pulseward audit details 1\n`, salt (16 bytes), how many patients
//!   are listed (32 bits), each patient's id, how many there were (32 bits), the text;
//! - *digest*, of the event: `pulseward audit event 1\n`, the digest of the event before (32 bytes;
//!   zeros before the first), number (64 bits), time (microseconds since 1970, 64 bits), subject,
//!   role, peer, method, outcome, reason, site, and the commitment (32 bytes). What is not there is
//!   the empty text.
//!
//! So the details can be deleted with their salt, and the event still stands in its place; without
//! the salt the commitment tells nobody whom it was about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Method;
use crate::clock::Timestamp;
use crate::engine::input::Role;
use crate::vitals::{PatientId, SiteId};

const DETAILS: &[u8] = b"pulseward audit details 1\n";
const EVENT: &[u8] = b"pulseward audit event 1\n";

/// What makes a digest of few possible details tell nothing.
pub type Salt = [u8; 16];

/// SHA-256 of something of an event.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: 64 of 0-9 a-f")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 64 || !text.bytes().all(is_hex) {
            return Err(InvalidDigest);
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            let pair = &text[index * 2..index * 2 + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(digest))
    }
}

/// The end of a chain. The default is that of a chain without events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The number of its last event; 0 if there is none.
    pub number: u64,
    /// The digest of that event.
    pub digest: Digest,
}

/// How an audited call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was refused because the caller may not.
    Denied,
    /// It was refused or failed for another reason.
    Failed,
    /// A stream was opened.
    Opened,
    /// A stream ended.
    Closed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Done, Self::Denied, Self::Failed, Self::Opened, Self::Closed];

    /// Its name in the store, in the chain and in metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Opened => "opened",
            Self::Closed => "closed",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// One call that read or changed something, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its number in the chain, from 1, without gaps.
    pub number: u64,
    /// When the call was received, or, if it only read, answered.
    pub at: Timestamp,
    /// Who called: the subject of their token; empty if it had none.
    pub subject: String,
    /// In which role; `None` for a caller who is not known.
    pub role: Option<Role>,
    /// From where: the peer's address.
    pub peer: String,
    /// What was called.
    pub method: Method,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for programs; empty where there is nothing to say.
    pub reason: String,
    /// The site of all whom it was about, as far as is known; `None` if there are several.
    pub site: Option<SiteId>,
    /// What an erasure takes away.
    pub details: Details,
    /// Of the details.
    pub commitment: Digest,
    /// Of the event and of all before it.
    pub digest: Digest,
}

/// The part of an event that tells of patients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What the commitment is salted with.
    pub salt: Salt,
    /// Whom the call was about, each once.
    pub patients: Vec<PatientId>,
    /// How many there were: more than are listed if the call was about a whole site, and its
    /// answer told of so many.
    pub patient_count: u32,
    /// What exactly, for people.
    pub text: String,
}

impl Details {
    /// The digest that stands for them in the chain.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        let patients: Vec<_> = self.patients.iter().map(PatientId::as_str).collect();
        commitment(&self.salt, &patients, self.patient_count, &self.text)
    }
}

/// The digest that stands for details in the chain.
#[must_use]
pub fn commitment(salt: &Salt, patients: &[&str], patient_count: u32, text: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(DETAILS);
    hash.update(salt);
    hash.update(length(patients.len()));
    patients.iter().for_each(|patient| add_text(&mut hash, patient));
    hash.update(patient_count.to_be_bytes());
    add_text(&mut hash, text);
    Digest(hash.finalize().into())
}

/// What an event's digest is made of, beside that of the event before.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// [`AuditEvent::number`]
    pub number: u64,
    /// [`AuditEvent::at`]
    pub at: Timestamp,
    /// [`AuditEvent::subject`]
    pub subject: &'a str,
    /// The name of [`AuditEvent::role`].
    pub role: &'a str,
    /// [`AuditEvent::peer`]
    pub peer: &'a str,
    /// The name of [`AuditEvent::method`].
    pub method: &'a str,
    /// The name of [`AuditEvent::outcome`].
    pub outcome: &'a str,
    /// [`AuditEvent::reason`]
    pub reason: &'a str,
    /// [`AuditEvent::site`]
    pub site: &'a str,
    /// [`AuditEvent::commitment`]
    pub commitment: Digest,
}

impl Sealed<'_> {
    /// The digest of the event that follows the one with the digest `before`.
    #[must_use]
    pub fn digest(&self, before: Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update(EVENT);
        hash.update(before.0);
        hash.update(self.number.to_be_bytes());
        hash.update(self.at.micros().to_be_bytes());
        let Self { subject, role, peer, method, outcome, reason, site, .. } = self;
        for text in [subject, role, peer, method, outcome, reason, site] {
            add_text(&mut hash, text);
        }
        hash.update(self.commitment.0);
        Digest(hash.finalize().into())
    }
}

impl AuditEvent {
    /// What its digest is made of.
    #[must_use]
    pub fn sealed(&self) -> Sealed<'_> {
        Sealed {
            number: self.number,
            at: self.at,
            subject: &self.subject,
            role: self.role.map_or("", Role::name),
            peer: &self.peer,
            method: self.method.name(),
            outcome: self.outcome.name(),
            reason: &self.reason,
            site: self.site.as_ref().map_or("", SiteId::as_str),
            commitment: self.commitment,
        }
    }
}

fn add_text(hash: &mut Sha256, text: &str) {
    hash.update(length(text.len()));
    hash.update(text);
}

fn length(length: usize) -> [u8; 4] {
    // Texts and lists of events are bounded far below.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}
