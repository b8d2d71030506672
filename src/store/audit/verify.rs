//! Whether the stored audit events are those that were put on record: the chain, recomputed.
//!
//! Found is every change of a stored event, every event that is missing, doubled, put in between or
//! moved, and, against an exported head, also that the latest events were deleted or all of them
//! were written anew. The first broken link is named. Details that were erased with their salt are
//! counted and leave the chain whole; details of which only a part is there do not.
//!
//! Not part of the chain is where in the journal an event stood, which the store keeps for itself.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{ChainKey, StoredAuditEvent, StoredDetails};
use crate::engine::audit::event::commitment;
use crate::engine::audit::{Digest, Head, Sealed};
use crate::position::Partition;
use crate::store::history::{History, HistoryError};

/// Events read at once: few round trips, and at most some MiB.
const EVENTS_AT_ONCE: u32 = 2_000;
/// Spans of erased events that are listed.
const ERASED_LISTED_MAX: usize = 1_000;

/// A head as it is exported: of which chain, and where that ended then. Its text is the partition,
/// the number and the digest, with colons between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportedHead {
    /// Whose chain.
    pub partition: Partition,
    /// Where it ended.
    pub head: Head,
}

impl fmt::Display for ExportedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.partition.0, self.head.number, self.head.digest)
    }
}

/// A text is not an exported head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a head such as 0:42:9f86…, which `pulseward audit verify` prints")]
pub struct InvalidHead;

impl FromStr for ExportedHead {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(InvalidHead);
        let partition = Partition(part()?.parse().map_err(|_| InvalidHead)?);
        let number = part()?.parse().map_err(|_| InvalidHead)?;
        let digest = part()?.parse().map_err(|_| InvalidHead)?;
        Ok(Self { partition, head: Head { number, digest } })
    }
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    /// Whose.
    pub partition: Partition,
    /// Where it ends.
    pub head: Head,
    /// How many of its events have had their details erased.
    pub erased: u64,
    /// Which; the first thousand spans.
    pub erased_spans: Vec<RangeInclusive<u64>>,
}

/// Why a chain doesn't hold, at its first broken link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLink {
    /// Numbers are left out.
    #[error("events {first} to {last} are missing")]
    Missing {
        /// The first that is missing.
        first: u64,
        /// The last.
        last: u64,
    },
    /// There is another event of the same number, or of one that can't be.
    #[error("event {number} is there a second time, or out of its place")]
    Repeated {
        /// Its number.
        number: u64,
    },
    /// The digest is not that of what stands there, after the event before.
    #[error("event {number} was changed, or is not the one that followed event {}", .number - 1)]
    Changed {
        /// Its number.
        number: u64,
    },
    /// The details are not those that the event was made with.
    #[error("the details of event {number} were changed, or erased in part")]
    DetailsChanged {
        /// Its number.
        number: u64,
    },
    /// The chain ends before an exported head.
    #[error("the chain ends at event {last}, though the head says {expected}: events were deleted")]
    CutOff {
        /// Where it ends.
        last: u64,
        /// Where it ended when the head was exported.
        expected: u64,
    },
    /// Another event stands where the exported head was.
    #[error("event {number} is not the one of the head: the chain was written anew before it")]
    OtherHead {
        /// Its number.
        number: u64,
    },
}

/// Why the chain could not be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It can't be read.
    #[error("reading the audit chain")]
    Read(#[from] HistoryError),
    /// It doesn't hold.
    #[error("the audit chain of partition {} is broken: {link}", .partition.0)]
    Broken {
        /// Whose chain.
        partition: Partition,
        /// Where.
        link: BrokenLink,
    },
}

/// Recomputes the chains of all partitions, in order; tells `progress` after every so many events
/// how many they were.
///
/// # Errors
/// [`VerifyError`] at the first broken link of the first chain that is broken.
pub async fn verify(
    history: &dyn History,
    heads: &[ExportedHead],
    mut progress: impl FnMut(u64),
) -> Result<Vec<VerifiedChain>, VerifyError> {
    let mut chains = Vec::new();
    let mut next = Some(Partition(0));
    while let Some(partition) = next {
        let Some(chain) = verify_next(history, partition, heads, &mut progress).await? else {
            break;
        };
        next = chain.partition.0.checked_add(1).map(Partition);
        chains.push(chain);
    }
    let is_there = |head: &&ExportedHead| {
        head.head.number == 0 || chains.iter().any(|chain| chain.partition == head.partition)
    };
    if let Some(head) = heads.iter().find(|head| !is_there(head)) {
        let link = BrokenLink::CutOff { last: 0, expected: head.head.number };
        return Err(VerifyError::Broken { partition: head.partition, link });
    }
    Ok(chains)
}

/// The chain of the first partition from `from` on, if there is one.
async fn verify_next(
    history: &dyn History,
    from: Partition,
    heads: &[ExportedHead],
    progress: &mut impl FnMut(u64),
) -> Result<Option<VerifiedChain>, VerifyError> {
    let mut after = ChainKey::before(from);
    let mut walk: Option<Walk> = None;
    loop {
        let events = history.audit_chain(after, EVENTS_AT_ONCE).await?;
        let Some((last, _)) = events.last() else { break };
        after = *last;
        let count = events.len();
        for (_, event) in &events {
            let partition = event.partition;
            let walk = walk.get_or_insert_with(|| Walk::new(partition, heads));
            walk.step(event).map_err(|link| VerifyError::Broken { partition, link })?;
        }
        progress(count as u64);
        if count < EVENTS_AT_ONCE as usize {
            break;
        }
    }
    let Some(walk) = walk else { return Ok(None) };
    let partition = walk.chain.partition;
    let ended = walk.end().map_err(|link| VerifyError::Broken { partition, link })?;
    Ok(Some(ended))
}

/// A chain as far as it was verified.
struct Walk {
    chain: VerifiedChain,
    /// The exported heads of this chain, by number.
    heads: Vec<Head>,
}

impl Walk {
    fn new(partition: Partition, heads: &[ExportedHead]) -> Self {
        let ours = heads.iter().filter(|head| head.partition == partition);
        let mut heads: Vec<_> = ours.map(|head| head.head).collect();
        heads.sort_unstable_by_key(|head| head.number);
        let (head, erased, erased_spans) = (Head::default(), 0, Vec::new());
        Self { chain: VerifiedChain { partition, head, erased, erased_spans }, heads }
    }

    fn step(&mut self, event: &StoredAuditEvent) -> Result<(), BrokenLink> {
        let before = self.chain.head;
        let (number, expected) = (event.number, before.number + 1);
        if number > expected {
            return Err(BrokenLink::Missing { first: expected, last: number - 1 });
        }
        if number < expected {
            return Err(BrokenLink::Repeated { number });
        }
        let commitment = self.commitment(event)?;
        let digest = sealed(event, commitment).digest(before.digest);
        if event.digest != digest.0 {
            return Err(BrokenLink::Changed { number });
        }
        let from = self.heads.partition_point(|head| head.number < number);
        let mut here = self.heads[from..].iter().take_while(|head| head.number == number);
        if here.any(|head| head.digest != digest) {
            return Err(BrokenLink::OtherHead { number });
        }
        self.chain.head = Head { number, digest };
        Ok(())
    }

    /// What stands for the details, which must be those of it, or erased.
    fn commitment(&mut self, event: &StoredAuditEvent) -> Result<Digest, BrokenLink> {
        let number = event.number;
        let Ok(stored) = event.commitment.as_slice().try_into().map(Digest) else {
            return Err(BrokenLink::Changed { number });
        };
        match &event.details {
            StoredDetails::Erased => {
                self.note_erased(number);
                Ok(stored)
            }
            StoredDetails::Kept { salt, patients, patient_count, text } => {
                let patients: Vec<_> = patients.iter().map(String::as_str).collect();
                let is_it = commitment(salt, &patients, *patient_count, text) == stored;
                if is_it { Ok(stored) } else { Err(BrokenLink::DetailsChanged { number }) }
            }
            StoredDetails::Torn => Err(BrokenLink::DetailsChanged { number }),
        }
    }

    fn note_erased(&mut self, number: u64) {
        self.chain.erased += 1;
        let spans = &mut self.chain.erased_spans;
        let is_full = spans.len() == ERASED_LISTED_MAX;
        match spans.last_mut() {
            Some(last) if *last.end() + 1 == number => *last = *last.start()..=number,
            _ if is_full => {}
            _ => spans.push(number..=number),
        }
    }

    fn end(self) -> Result<VerifiedChain, BrokenLink> {
        let last = self.chain.head.number;
        let beyond = self.heads.iter().map(|head| head.number).filter(|number| *number > last);
        match beyond.max() {
            Some(expected) => Err(BrokenLink::CutOff { last, expected }),
            None => Ok(self.chain),
        }
    }
}

fn sealed(event: &StoredAuditEvent, commitment: Digest) -> Sealed<'_> {
    Sealed {
        number: event.number,
        at: event.at,
        subject: &event.subject,
        role: event.role.as_deref().unwrap_or_default(),
        peer: &event.peer,
        method: &event.method,
        outcome: &event.outcome,
        reason: &event.reason,
        site: event.site.as_deref().unwrap_or_default(),
        commitment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_head_leads_back_to_it() {
        let head = Head { number: 42, digest: Digest([0xab; 32]) };
        let exported = ExportedHead { partition: Partition(3), head };
        let text = exported.to_string();
        assert_eq!(text, format!("3:42:{}", "ab".repeat(32)));
        assert_eq!(text.parse(), Ok(exported));
        let wrong = ["", "42", "0:42", "0:42:ab", "0:x:", "-1:1:", &text.to_uppercase()];
        for wrong in wrong {
            assert_eq!(wrong.parse::<ExportedHead>(), Err(InvalidHead), "{wrong}");
        }
    }
}
