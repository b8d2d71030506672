//! What a file system has left, as its own limit beside the journal's.

use std::path::Path;

use super::Failure;

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Space {
    /// Free for this process.
    pub(in crate::journal) available: u64,
    /// Of that, what the storage itself may need before it frees some.
    pub(in crate::journal) reserved: u64,
}

impl Space {
    /// For entries.
    pub(in crate::journal) const fn left(self) -> u64 {
        self.available.saturating_sub(self.reserved)
    }
}

/// What this process may still write to the file system that holds `path`.
#[cfg(unix)]
pub(in crate::journal) fn available(path: &Path) -> Result<u64, Failure> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The system is not asked: only the journal's own limit counts.
#[cfg(not(unix))]
pub(in crate::journal) fn available(_: &Path) -> Result<u64, Failure> {
    Ok(u64::MAX)
}

/// Whether a failure, or a cause of it, is that there was no space.
pub(in crate::journal) fn is_for_want_of_space(failure: &Failure) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let first: &(dyn std::error::Error + 'static) = failure.as_ref();
    std::iter::successors(Some(first), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_the_storage_needs_is_not_left_for_entries() {
        assert_eq!(Space { available: 300, reserved: 256 }.left(), 44);
        assert_eq!(Space { available: 200, reserved: 256 }.left(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_space_of_a_directory_that_is_there_is_known() {
        assert!(available(&std::env::temp_dir()).expect("it is there") > 0);
        assert!(available(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn want_of_space_is_found_among_the_causes() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_for_want_of_space(&full().into()));
        assert!(is_for_want_of_space(&fjall::Error::from(full()).into()));
        let broken = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(!is_for_want_of_space(&fjall::Error::from(broken).into()));
    }
}
