//! Our values in Postgres's binary formats.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::clock::Timestamp;
use crate::store::row::Cell;

/// 2000-01-01T00:00:00Z, from which Postgres counts microseconds.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A time as a `timestamptz`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time(pub(super) Timestamp);

/// A time as Postgres counts it.
pub(super) const fn micros(time: Timestamp) -> i64 {
    time.micros() - POSTGRES_EPOCH_MICROS
}

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(micros(self.0));
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl FromSql<'_> for Time {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        i64::from_sql(ty, raw)?
            .checked_add(POSTGRES_EPOCH_MICROS)
            .and_then(Timestamp::from_micros)
            .map(Self)
            .ok_or_else(|| "a time outside the years 1 to 9999".into())
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Cell {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Bool(is_so) => is_so.to_sql_checked(ty, out),
            Self::Int(number) => int_to_sql(*number, ty, out),
            Self::Real(number) => number.to_sql_checked(ty, out),
            Self::Text(text) | Self::Json(text) => {
                if *ty == Type::JSONB {
                    // The version of the format, before the text.
                    out.put_u8(1);
                } else if *ty != Type::JSON {
                    return text.as_str().to_sql_checked(ty, out);
                }
                out.put_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            Self::Bytes(bytes) => bytes.as_ref().to_sql_checked(ty, out),
            Self::Time(time) => Time(*time).to_sql_checked(ty, out),
            Self::Uuid(uuid) => uuid.to_sql_checked(ty, out),
        }
    }

    /// Which type a column has is checked cell by cell.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn int_to_sql(
    number: i64,
    ty: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    match *ty {
        Type::INT2 => i16::try_from(number)?.to_sql_checked(ty, out),
        Type::INT4 => i32::try_from(number)?.to_sql_checked(ty, out),
        _ => number.to_sql_checked(ty, out),
    }
}
