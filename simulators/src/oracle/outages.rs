//! When the service, or its broker, cannot have been reached, as far as it shows from outside.
//!
//! Evidence is what stands in the record: every watcher's stream was cut, a heartbeat said that
//! ingest was disconnected, a PUBACK took long, or whoever drove the run said so by a mark that
//! begins with [`AWAY`] and later one with [`BACK`]. The service's word that it was away is none.
//! Outages excuse what cannot be known, such as when a message was received; they excuse no loss.

use super::profile::Micros;

/// Begins the mark of an outage; what is away follows.
pub const AWAY: &str = "away: ";
/// Begins the mark of its end.
pub const BACK: &str = "back: ";

/// Spans without overlap, in order, in microseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages(Vec<(Micros, Micros)>);

impl Outages {
    /// Of spans in any order.
    #[must_use]
    pub fn new(mut spans: Vec<(Micros, Micros)>) -> Self {
        spans.sort_unstable();
        let mut merged: Vec<(Micros, Micros)> = Vec::new();
        for (from, until) in spans {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => merged.push((from, until)),
            }
        }
        Self(merged)
    }

    /// The same spans, each longer by so much.
    #[must_use]
    pub fn drained(&self, by: Micros) -> Self {
        Self::new(self.0.iter().map(|(from, until)| (*from, until.saturating_add(by))).collect())
    }

    /// The spans.
    #[must_use]
    pub fn spans(&self) -> &[(Micros, Micros)] {
        &self.0
    }

    /// When the last outage ended that touches the span, if one does.
    #[must_use]
    pub fn end_within(&self, from: Micros, until: Micros) -> Option<Micros> {
        self.touching(from, until).map(|(_, end)| *end).max()
    }

    /// By when all that piled up in an outage was taken in at the latest, if one touches the span,
    /// or the time after it in which more came than could be taken in at once: as long as the outage
    /// was. Never longer than `drain_max`.
    #[must_use]
    pub fn drained_by(&self, from: Micros, until: Micros, drain_max: Micros) -> Option<Micros> {
        let behind = |(begin, end): &(Micros, Micros)| end + (end - begin).min(drain_max);
        let touching = self.0.iter().take_while(|(begin, _)| *begin <= until);
        let touching = touching.filter(|span| from <= behind(span));
        touching.map(|(_, end)| end + drain_max).max()
    }

    /// How much of the span it was away.
    #[must_use]
    pub fn within(&self, from: Micros, until: Micros) -> Micros {
        let part = |(begin, end): &(Micros, Micros)| (*end).min(until) - (*begin).max(from);
        self.touching(from, until).map(part).sum()
    }

    fn touching(&self, from: Micros, until: Micros) -> impl Iterator<Item = &(Micros, Micros)> {
        let first = self.0.partition_point(|(_, end)| *end < from);
        self.0[first..].iter().take_while(move |(begin, _)| *begin <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_touch_are_one() {
        let outages = Outages::new(vec![(30, 40), (0, 10), (10, 15), (32, 35)]);
        assert_eq!(outages.spans(), [(0, 15), (30, 40)]);
        assert_eq!(outages.end_within(12, 31), Some(40));
        assert_eq!(outages.within(12, 31), 4);
        assert_eq!((outages.end_within(16, 29), outages.within(16, 29)), (None, 0));
        assert_eq!(outages.drained(20).spans(), [(0, 60)]);
    }

    #[test]
    fn what_comes_while_a_backlog_is_taken_in_waits_behind_it() {
        let outages = Outages::new(vec![(100, 110), (200, 300)]);
        assert_eq!(outages.drained_by(105, 106, 60), Some(170), "in the outage");
        assert_eq!(outages.drained_by(120, 121, 60), Some(170), "as long after it as it was");
        assert_eq!(outages.drained_by(121, 122, 60), None, "later");
        assert_eq!(outages.drained_by(360, 361, 60), Some(360), "no longer than it may take");
        assert_eq!(outages.drained_by(361, 362, 60), None);
        assert_eq!(outages.drained_by(90, 250, 60), Some(360), "the last of several");
    }
}
