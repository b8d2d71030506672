//! Identities: the ids that people and devices give, and the keys that the registry gives.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: 1 to 64 of A-Z a-z 0-9 . _ -")]
pub struct InvalidId {
    text: String,
}

const ID_LENGTH_MAX: usize = 64;

pub(crate) fn is_id(text: &str) -> bool {
    (1..=ID_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! identities {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Arc<str>", into = "Arc<str>")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id, if the text is 1 to 64 of `A-Z a-z 0-9 . _ -`.
            ///
            /// # Errors
            /// [`InvalidId`] with the text otherwise.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if is_id(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { text: text.chars().take(ID_LENGTH_MAX).collect() })
                }
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<Arc<str>> for $name {
            type Error = InvalidId;

            fn try_from(text: Arc<str>) -> Result<Self, Self::Error> {
                Self::new(&text)
            }
        }

        impl From<$name> for Arc<str> {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

identities! {
    /// A hospital, clinic or programme: the unit of who may see what.
    SiteId;
    /// A patient, unique in the installation. Never a name.
    PatientId;
    /// A wearable or a gateway, unique in the installation.
    DeviceId;
    /// A rule of a profile, unique in it.
    RuleId;
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index of a table.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

keys! {
    /// The number the registry gave a site: small, dense, never given twice.
    SiteKey;
    /// The number the registry gave a patient.
    PatientKey;
    /// The number the registry gave a device.
    DeviceKey;
}

impl DeviceKey {
    /// What people measure by hand stands under this number, as if a device of its own had
    /// measured it. The registry gives it to no device.
    pub const BY_HAND: Self = Self(u32::MAX);
}

impl DeviceId {
    /// The id that goes with [`DeviceKey::BY_HAND`]. No device can be enrolled under it.
    pub const BY_HAND: &'static str = "by-hand";

    /// [`Self::BY_HAND`] as an id.
    #[must_use]
    pub fn by_hand() -> Self {
        Self(Self::BY_HAND.into())
    }
}

/// Before the number of a patient who was erased.
const ERASED_PREFIX: &str = "erased-";

impl PatientId {
    /// What stands in the place of the id of a patient who was erased. Their rows' number stays
    /// theirs, so that no other's rows are ever taken for theirs; their id is free again.
    #[must_use]
    pub fn erased(key: PatientKey) -> Self {
        Self(format!("{ERASED_PREFIX}{key}").into())
    }

    /// Whether it stands for a patient who was erased. Nobody can be enrolled under such an id.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.0.strip_prefix(ERASED_PREFIX).is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_patient_stands_under_an_id_like_any_other() {
        let id = PatientId::erased(PatientKey(17));
        assert_eq!(PatientId::new("erased-17"), Ok(id.clone()));
        assert!(id.is_erased());
        for other in ["erased", "erased-", "erased-x7", "erased-1.2", "x-erased-1"] {
            assert!(!PatientId::new(other).expect("an id").is_erased(), "{other}");
        }
    }

    #[test]
    fn readings_by_hand_stand_under_an_id_like_any_other() {
        assert_eq!(DeviceId::new(DeviceId::BY_HAND), Ok(DeviceId::by_hand()));
    }

    #[test]
    fn an_id_is_short_and_of_plain_characters() {
        assert!(PatientId::new("ward-7_bed.3").is_ok());
        for wrong in ["", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(PatientId::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
