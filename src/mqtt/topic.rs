//! The topics of the MQTT contract, version 1: `pulseward/v1/{site}/{device}/{kind}`.
//!
//! Pure and without allocation, so that the engine can tell for every message what it is about.

use crate::vitals::{DeviceId, SiteId, is_id};

/// Matches every topic of the contract, and those under the same root that it does not know, so
/// that they are noticed and refused with a reason.
pub const FILTER: &str = "pulseward/v1/#";

const ROOT: &str = "pulseward/v1/";

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    /// The site, a valid [`SiteId`].
    pub site: &'a str,
    /// The device, a valid [`DeviceId`].
    pub device: &'a str,
    /// What it says of the device.
    pub kind: Kind,
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `readings`, up: a `ReadingBatch`.
    Readings,
    /// `status`, up and retained: a `DeviceStatus`.
    Status,
    /// `verdicts`, down: a `BatchVerdict` of ours.
    Verdicts,
}

/// Why a topic is none of the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// It has other levels.
    #[error("a topic is pulseward/v1/{{site}}/{{device}}/readings or …/status")]
    Shape,
    /// The site is not an id.
    #[error("the site in the topic is not 1 to 64 of A-Z a-z 0-9 . _ -")]
    Site,
    /// The device is not an id.
    #[error("the device in the topic is not 1 to 64 of A-Z a-z 0-9 . _ -")]
    Device,
    /// The last level is not one of the contract's.
    #[error("the last level of the topic is neither readings nor status")]
    Kind,
}

impl<'a> Topic<'a> {
    /// What the topic says.
    ///
    /// # Errors
    /// [`InvalidTopic`] if it is none of the contract's.
    pub fn parse(topic: &'a str) -> Result<Self, InvalidTopic> {
        let mut levels = topic.strip_prefix(ROOT).ok_or(InvalidTopic::Shape)?.split('/');
        let (Some(site), Some(device), Some(kind), None) =
            (levels.next(), levels.next(), levels.next(), levels.next())
        else {
            return Err(InvalidTopic::Shape);
        };
        if !is_id(site) {
            return Err(InvalidTopic::Site);
        }
        if !is_id(device) {
            return Err(InvalidTopic::Device);
        }
        let kind = Kind::from_level(kind).ok_or(InvalidTopic::Kind)?;
        Ok(Self { site, device, kind })
    }
}

impl Kind {
    fn from_level(level: &str) -> Option<Self> {
        match level {
            "readings" => Some(Self::Readings),
            "status" => Some(Self::Status),
            "verdicts" => Some(Self::Verdicts),
            _ => None,
        }
    }
}

/// The topic on which a device hears what became of its batches.
#[must_use]
pub fn verdicts_of(site: &SiteId, device: &DeviceId) -> String {
    format!("{ROOT}{site}/{device}/verdicts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_site_device_and_kind() {
        for (level, kind) in
            [("readings", Kind::Readings), ("status", Kind::Status), ("verdicts", Kind::Verdicts)]
        {
            let topic = format!("pulseward/v1/st.mary/ward-7_03/{level}");
            let expected = Topic { site: "st.mary", device: "ward-7_03", kind };
            assert_eq!(Topic::parse(&topic), Ok(expected));
        }
    }

    #[test]
    fn another_topic_is_refused_with_what_is_wrong() {
        let long = "x".repeat(65);
        for (topic, wrong) in [
            ("pulseward/v2/s/d/readings", InvalidTopic::Shape),
            ("pulseward/v1/s/readings", InvalidTopic::Shape),
            ("pulseward/v1/s/d/readings/1", InvalidTopic::Shape),
            ("pulseward/v1", InvalidTopic::Shape),
            ("", InvalidTopic::Shape),
            ("pulseward/v1//d/readings", InvalidTopic::Site),
            ("pulseward/v1/s t/d/readings", InvalidTopic::Site),
            (&format!("pulseward/v1/s/{long}/readings"), InvalidTopic::Device),
            ("pulseward/v1/s/d/reading", InvalidTopic::Kind),
            ("pulseward/v1/s/d/", InvalidTopic::Kind),
        ] {
            assert_eq!(Topic::parse(topic), Err(wrong), "{topic}");
        }
    }

    #[test]
    fn a_verdict_goes_where_the_device_listens() {
        let site = SiteId::new("s1").expect("valid");
        let device = DeviceId::new("d1").expect("valid");
        let topic = verdicts_of(&site, &device);
        assert_eq!(topic, "pulseward/v1/s1/d1/verdicts");
        assert_eq!(Topic::parse(&topic).map(|topic| topic.kind), Ok(Kind::Verdicts));
    }
}
