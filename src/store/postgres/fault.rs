//! What an error of Postgres means: that a row can't be stored, or that the database can't be used.

use std::num::TryFromIntError;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::store::database::Failure;
use crate::store::refused::Fault;

/// Classes of SQLSTATE that tell of what stands in a row: cardinality, data, constraints, `WITH
/// CHECK OPTION`, and what triggers raise.
const CLASSES: [&str; 5] = ["21", "22", "23", "44", "P0"];

/// A failure of a transaction that writes rows.
pub(super) fn failure(error: &Error) -> Failure {
    match fault(error) {
        Some(fault) => Failure::Refused(fault),
        None => super::away(error),
    }
}

fn fault(error: &Error) -> Option<Fault> {
    match error.as_db_error() {
        Some(said) => is_about_a_row(said.code()).then(|| Fault {
            code: said.code().code().to_owned(),
            about: about(said),
            message: said.message().to_owned(),
        }),
        None => encoding_fault(error),
    }
}

fn is_about_a_row(code: &SqlState) -> bool {
    // A row too large for a page or an index, one too deep to be read.
    let too_much = [SqlState::PROGRAM_LIMIT_EXCEEDED, SqlState::STATEMENT_TOO_COMPLEX];
    // The columns have other types than ours: no row would fit.
    let of_the_table = [SqlState::INVALID_BINARY_REPRESENTATION, SqlState::BAD_COPY_FILE_FORMAT];
    let is_of_class = CLASSES.iter().any(|class| code.code().starts_with(class));
    (is_of_class || too_much.contains(code)) && !of_the_table.contains(code)
}

fn about(said: &DbError) -> Option<String> {
    let constraint = said.constraint().map(|name| format!("constraint {name}"));
    constraint.or_else(|| said.column().map(|name| format!("column {name}")))
}

/// A number that does not fit its column is found out here, before it is sent.
fn encoding_fault(error: &Error) -> Option<Fault> {
    let cause = std::error::Error::source(error)?;
    cause.is::<TryFromIntError>().then(|| Fault {
        code: SqlState::NUMERIC_VALUE_OUT_OF_RANGE.code().to_owned(),
        about: None,
        message: "a number is out of its column's range".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: &[SqlState], expected: bool) {
        for code in codes {
            assert_eq!(is_about_a_row(code), expected, "{code:?}");
        }
    }

    #[test]
    fn what_a_row_holds_is_its_own_fault() {
        check(
            &[
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                SqlState::UNTRANSLATABLE_CHARACTER,
                SqlState::CHECK_VIOLATION,
                SqlState::UNIQUE_VIOLATION,
                SqlState::NOT_NULL_VIOLATION,
                SqlState::RAISE_EXCEPTION,
                SqlState::PROGRAM_LIMIT_EXCEEDED,
            ],
            true,
        );
    }

    #[test]
    fn no_row_is_blamed_for_a_table_or_a_server_in_trouble() {
        check(
            &[
                SqlState::UNDEFINED_COLUMN,
                SqlState::UNDEFINED_TABLE,
                SqlState::INSUFFICIENT_PRIVILEGE,
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::DISK_FULL,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::QUERY_CANCELED,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::CONNECTION_FAILURE,
                SqlState::INVALID_PASSWORD,
                SqlState::IO_ERROR,
                SqlState::INDEX_CORRUPTED,
                SqlState::FEATURE_NOT_SUPPORTED,
                SqlState::TOO_MANY_COLUMNS,
                SqlState::INVALID_BINARY_REPRESENTATION,
            ],
            false,
        );
    }
}
