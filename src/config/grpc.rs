//! `[grpc]`: where clinicians call, over what, and how much each may ask.

use std::net::SocketAddr;

use serde::Serialize;

use super::reader::Reader;
use super::url::Origin;
use super::{GrpcTls, loopback};

/// `[grpc]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grpc {
    /// Where to listen. Default 127.0.0.1:50051.
    pub listen: SocketAddr,
    /// The web pages that may call by gRPC-Web. Default none.
    pub web_origins: Vec<Origin>,
    /// Calls that one caller may make in the long run. Default 100.
    pub calls_per_second_max: u32,
    /// Calls that one caller may make at once after a pause. Default 300.
    pub calls_burst_max: u32,
    /// Streams that one caller may have open. Default 32.
    pub streams_per_caller_max: u32,
    /// Whether other machines may call without TLS, because a proxy before us speaks it. Default no.
    pub allow_plaintext: bool,
    /// The certificates of both sides. Default none: no TLS.
    #[serde(skip_serializing_if = "GrpcTls::is_default")]
    pub tls: GrpcTls,
}

impl Grpc {
    /// A dashboard that shows a ward asks about each patient once when it is opened, and then lives
    /// by its stream.
    const CALLS_PER_SECOND_DEFAULT: u32 = 100;
    /// A ward of a hundred patients, of each of whom three things are asked.
    const CALLS_BURST_DEFAULT: u32 = 300;
    /// The screens of a ward that share one account.
    const STREAMS_PER_CALLER_DEFAULT: u32 = 32;
    /// More is no limit.
    const LIMIT_MAX: u32 = 1_000_000;
    /// Each is compared with that of a request.
    const WEB_ORIGINS_MAX: usize = 64;

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let (calls, burst) = (Self::CALLS_PER_SECOND_DEFAULT, Self::CALLS_BURST_DEFAULT);
        let streams = Self::STREAMS_PER_CALLER_DEFAULT;
        Self {
            listen: reader.or("grpc", "listen", loopback(50051)),
            web_origins: reader.or("grpc", "web_origins", Vec::new()),
            calls_per_second_max: reader.or("grpc", "calls_per_second_max", calls),
            calls_burst_max: reader.or("grpc", "calls_burst_max", burst),
            streams_per_caller_max: reader.or("grpc", "streams_per_caller_max", streams),
            allow_plaintext: reader.or("grpc", "allow_plaintext", false),
            tls: GrpcTls::read(reader),
        }
    }

    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        for (key, limit) in [
            ("calls_per_second_max", self.calls_per_second_max),
            ("calls_burst_max", self.calls_burst_max),
            ("streams_per_caller_max", self.streams_per_caller_max),
        ] {
            if !(1..=Self::LIMIT_MAX).contains(&limit) {
                reader.refuse("grpc", key, format!("must be 1 to {}", Self::LIMIT_MAX));
            }
        }
        if self.web_origins.len() > Self::WEB_ORIGINS_MAX {
            let problem = format!("lists more than {} origins", Self::WEB_ORIGINS_MAX);
            reader.refuse("grpc", "web_origins", problem);
        }
        self.check_tls(reader);
    }

    fn check_tls(&self, reader: &mut Reader<'_>) {
        self.tls.check(reader);
        let is_encrypted = self.tls.certificate.is_some();
        if !(is_encrypted || self.allow_plaintext || self.listen.ip().is_loopback()) {
            let problem = format!(
                "{} can be reached from other machines, and without [grpc.tls] whoever is between \
                 reads patients' data and callers' tokens; set certificate and key there, or \
                 allow_plaintext = true where a proxy before it speaks TLS",
                self.listen,
            );
            reader.refuse("grpc", "listen", problem);
        }
        if is_encrypted && self.allow_plaintext {
            reader.refuse("grpc", "allow_plaintext", "contradicts [grpc.tls]: this is TLS only");
        }
    }
}
