//! Secrets, which stand in files of their own and never show themselves.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// A password or an address that holds one. It prints as `[hidden]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a file gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It can't be read as text.
    #[error("can't read the password file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is too short to be one.
    #[error("the secret file {} holds fewer than {bytes_min} bytes", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// How many it takes.
        bytes_min: usize,
    },
    /// It is empty, too long, or has several lines.
    #[error("the password file {} does not hold one line of 1 to 4096 bytes", path.display())]
    NotOneLine {
        /// The file.
        path: PathBuf,
    },
}

impl Secret {
    /// Passwords are short; a longer file is another file.
    const BYTES_MAX: u64 = 4096;

    /// The only line of a file.
    ///
    /// # Errors
    /// When the file can't be read, or is not one line.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        // One byte more for the newline, and one more to see that it is too long.
        file.take(Self::BYTES_MAX + 2).read_to_string(&mut text).map_err(failed)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.contains('\n') || line.len() as u64 > Self::BYTES_MAX {
            return Err(SecretError::NotOneLine { path: path.to_owned() });
        }
        Ok(Self(line.to_owned()))
    }

    /// A secret from elsewhere.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for whoever it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<String, SecretError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), content).expect("written");
        Secret::read(file.path()).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn a_secret_is_the_only_line_of_its_file() {
        for content in ["s3cret pass", "s3cret pass\n", "s3cret pass\r\n"] {
            assert_eq!(read(content).expect("one line"), "s3cret pass");
        }
        for content in ["", "\n", "a\nb\n", &"x".repeat(4097)] {
            assert!(matches!(read(content), Err(SecretError::NotOneLine { .. })));
        }
        assert_eq!(read(&"x".repeat(4096)).expect("just short enough").len(), 4096);
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("s3cret".to_owned())), "[hidden]");
    }
}
