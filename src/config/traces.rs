//! `[traces]`: where traces of message batches go, and how many of them.

use serde::{Deserialize, Serialize};

use super::InvalidUrl;
use super::reader::Reader;

/// `[traces]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traces {
    /// The collector, by OTLP over gRPC. Default none: nothing is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<CollectorUrl>,
    /// The share of the batches that are traced, 0 to 1. Default a hundredth.
    pub sample_ratio: f64,
}

/// It is compared with itself only: what was read is a number.
impl Eq for Traces {}

impl Traces {
    /// A busy house commits hundreds of batches a second, and a few spans of them tell enough.
    const SAMPLE_RATIO_DEFAULT: f64 = 0.01;

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            endpoint: reader.optional("traces", "endpoint"),
            sample_ratio: reader.or("traces", "sample_ratio", Self::SAMPLE_RATIO_DEFAULT),
        }
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            reader.refuse("traces", "sample_ratio", "must be 0 to 1");
        }
        if self.endpoint.is_some() && !cfg!(feature = "otlp") {
            let problem = "this program was built without traces; build it with --features otlp, \
                           or take the key out";
            reader.refuse("traces", "endpoint", problem);
        }
    }
}

/// `http://host:port` of a collector. TLS is not spoken to it: it stands on the same machine, or in
/// a network of its own, and passes on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CollectorUrl(String);

impl CollectorUrl {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CollectorUrl {
    type Error = InvalidUrl;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        match url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) {
            None => Err(InvalidUrl("is not http://host:port; TLS is not spoken to a collector")),
            Some(rest) if rest.contains(['/', '?', '#', '@']) => {
                Err(InvalidUrl("is more than http://host:port"))
            }
            Some(rest) => match rest.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self(url))
                }
                _ => Err(InvalidUrl("names no host with a port, such as http://127.0.0.1:4317")),
            },
        }
    }
}

impl From<CollectorUrl> for String {
    fn from(url: CollectorUrl) -> Self {
        url.0
    }
}
