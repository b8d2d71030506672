//! Why a handshake failed, in words for whoever has to do something about it.

use std::error::Error as _;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// Why TLS failed.
pub(crate) struct Explanation {
    /// In words.
    pub(crate) reason: String,
    /// Whether a certificate is at fault, or the lack of one, so that somebody has to replace it.
    pub(crate) is_of_certificate: bool,
}

/// What a failure of TLS says, if the error is one.
pub(crate) fn explain(error: &io::Error) -> Option<Explanation> {
    let direct = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let error = direct.or_else(|| error.source()?.downcast_ref::<Error>())?;
    let is_of_certificate = match error {
        Error::InvalidCertificate(_) => true,
        Error::AlertReceived(alert) => is_alert_of_certificate(*alert),
        _ => false,
    };
    Some(Explanation { reason: reason(error), is_of_certificate })
}

fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) => "the peer does not speak TLS, or not on this port".to_owned(),
        Error::NoApplicationProtocol => "the peer speaks another protocol over TLS".to_owned(),
        other => other.to_string(),
    }
}

fn is_alert_of_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Of;
    matches!(
        alert,
        Of::CertificateRequired
            | Of::UnknownCA
            | Of::DecryptError
            | Of::CertificateExpired
            | Of::CertificateRevoked
            | Of::BadCertificate
            | Of::UnsupportedCertificate
            | Of::CertificateUnknown
    )
}

const UNTRUSTED: &str = "it was issued by none of the authorities that are trusted (ca)";

fn of_certificate(why: &CertificateError) -> String {
    let reason = match why {
        CertificateError::UnknownIssuer => UNTRUSTED.to_owned(),
        CertificateError::BadSignature => format!("{UNTRUSTED}, though one has the same name"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for this use (extended key usage)".to_owned()
        }
        CertificateError::Expired => "it has expired".to_owned(),
        other => other.to_string(),
    };
    format!("the peer's certificate is refused: {reason}")
}

fn of_alert(alert: AlertDescription) -> String {
    let reason = match alert {
        AlertDescription::CertificateRequired => "it wants a certificate, and none is configured",
        AlertDescription::UnknownCA => "it does not trust the authority of our certificate",
        AlertDescription::DecryptError => {
            "it does not trust our certificate: it may know another authority of the same name"
        }
        AlertDescription::CertificateExpired => "our certificate has expired",
        AlertDescription::CertificateRevoked => "our certificate is revoked",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "it refuses our certificate",
        AlertDescription::HandshakeFailure => {
            "it refuses the handshake: it may want a certificate, or other ciphers"
        }
        AlertDescription::ProtocolVersion => "it speaks no version of TLS from 1.2 on",
        AlertDescription::NoApplicationProtocol => "it speaks another protocol over TLS",
        other => return format!("the peer ended the handshake: {other:?}"),
    };
    format!("the peer ended the handshake: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_at_fault_is_told_from_everything_else() {
        for (error, expected) in [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), Some(true)),
            (Error::AlertReceived(AlertDescription::CertificateRequired), Some(true)),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), Some(false)),
            (Error::HandshakeNotComplete, Some(false)),
        ] {
            let told = explain(&io::Error::other(error)).map(|it| it.is_of_certificate);
            assert_eq!(told, expected);
        }
        assert!(explain(&io::ErrorKind::ConnectionReset.into()).is_none(), "it is none of TLS");
    }
}
