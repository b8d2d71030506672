//! Why a partition ended before its inputs did, or could not begin.

use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal could not be written or read.
    #[error("keeping the journal")]
    Journal(#[from] crate::journal::Error),
    /// A checkpoint could not be read.
    #[error("restoring the checkpoint")]
    Restore(#[from] crate::engine::snapshot::RestoreError),
    /// A checkpoint blob is of a kind that this service doesn't know.
    #[error("the checkpoint holds a blob of the unknown kind {kind:#04x}")]
    UnknownBlob {
        /// The kind.
        kind: u8,
    },
    /// A thread could not be started.
    #[error("starting the {thread} thread")]
    Spawn {
        /// Which.
        thread: &'static str,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A thread panicked: our own bug. What was not committed comes again after the restart.
    #[error("the {thread} thread panicked")]
    Panicked {
        /// Which.
        thread: &'static str,
    },
    /// The engine panicked on an input: our own bug. The input is set aside, so that the next run
    /// refuses it unread.
    #[error(
        "the engine panicked at {location} on a {kind}, which is set aside now as {}: after a \
         restart it is refused unread, and everything else goes on; tell the service's makers",
        file.display()
    )]
    Poisoned {
        /// `publish` or `command`.
        kind: &'static str,
        /// Where in the source.
        location: String,
        /// The file that keeps its digest.
        file: PathBuf,
    },
    /// The engine panicked while time passed: our own bug, for which no input is to blame. Nothing
    /// is set aside.
    #[error(
        "the engine panicked at {location} while time passed; no input is to blame, and nothing is \
         set aside; tell the service's makers"
    )]
    TimePanicked {
        /// Where in the source.
        location: String,
    },
    /// The engine panicked on an input that the service makes itself, such as that it started: our
    /// own bug. Without such an input the service can't go on, so it is not set aside.
    #[error(
        "the engine panicked at {location} on an input of the service's own ({kind}), which can't \
         be set aside; tell the service's makers"
    )]
    OwnInputPanicked {
        /// Its kind.
        kind: &'static str,
        /// Where in the source.
        location: String,
    },
    /// The engine panicked on an input, and as many as may be are set aside already.
    #[error(
        "the engine panicked at {location} on a {kind}; {max} inputs are set aside in {} already, \
         and no more will be: something is thoroughly wrong; tell the service's makers",
        dir.display()
    )]
    QuarantineFull {
        /// `publish` or `command`.
        kind: &'static str,
        /// Where in the source.
        location: String,
        /// Where they are.
        dir: PathBuf,
        /// How many.
        max: usize,
    },
    /// What was set aside could not be read or written.
    #[error("{action} {}", path.display())]
    Quarantine {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn quarantine(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Quarantine { action, path, source }
    }
}
