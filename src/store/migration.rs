//! Which migrations a database still needs. Embedded in the program, and only ever forward.
//!
//! Our own page of code instead of a library: the first migration of Postgres depends on what the
//! server can do, the whole run stands under one lock and in one transaction, and what the
//! history table of a foreign or newer schema holds must end in an error, where the library that
//! knows both of our drivers (refinery) panics; it also brings eight further dependencies.

use sha2::{Digest, Sha256};

use super::Error;

/// A step from one version of the schema to the next.
#[derive(Debug)]
pub(super) struct Migration {
    /// Counts from 1 without a gap.
    pub(super) version: i32,
    pub(super) name: &'static str,
    /// Its statements, in parts that follow each other.
    pub(super) parts: &'static [&'static str],
}

/// A migration that a database has had.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) version: i32,
    pub(super) name: String,
    pub(super) digest: String,
}

impl Migration {
    /// Of everything it does: a released migration is never edited.
    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.parts {
            hash.update(part.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn is(&self, applied: &Applied) -> bool {
        (self.version, self.name, self.digest())
            == (applied.version, applied.name.as_str(), applied.digest.clone())
    }
}

/// The migrations of `known` that are still to be applied, in order.
pub(super) fn pending(
    known: &'static [Migration],
    applied: &[Applied],
) -> Result<&'static [Migration], Error> {
    for (index, applied) in applied.iter().enumerate() {
        let Some(migration) = known.get(index) else {
            let known = known.last().map_or(0, |last| last.version);
            return Err(Error::SchemaNewer { found: applied.version, known });
        };
        if !migration.is(applied) {
            return Err(Error::SchemaDiverged {
                version: applied.version,
                found: applied.name.clone(),
                known: migration.name,
            });
        }
    }
    Ok(&known[applied.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Migration] = &[
        Migration { version: 1, name: "first", parts: &["CREATE a;", "CREATE b;"] },
        Migration { version: 2, name: "second", parts: &["CREATE c;"] },
    ];

    fn applied(migration: &Migration) -> Applied {
        Applied {
            version: migration.version,
            name: migration.name.to_owned(),
            digest: migration.digest(),
        }
    }

    fn check(applied: &[Applied], expected: Result<&[i32], &str>) {
        match (pending(KNOWN, applied), expected) {
            (Ok(rest), Ok(versions)) => {
                let rest: Vec<_> = rest.iter().map(|migration| migration.version).collect();
                assert_eq!(rest, versions);
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (result, expected) => panic!("{result:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn what_is_not_applied_is_pending() {
        check(&[], Ok(&[1, 2]));
        check(&[applied(&KNOWN[0])], Ok(&[2]));
        check(&[applied(&KNOWN[0]), applied(&KNOWN[1])], Ok(&[]));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let newer = Applied { version: 3, name: "third".to_owned(), digest: String::new() };
        let all = [applied(&KNOWN[0]), applied(&KNOWN[1]), newer];
        check(&all, Err("version 3, this service knows 2"));
    }

    #[test]
    fn a_migration_that_was_edited_is_refused() {
        let edited = Applied { digest: "0".repeat(64), ..applied(&KNOWN[0]) };
        check(&[edited], Err("migration 1 in the database"));
    }
}
