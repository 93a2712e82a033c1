//! Columns that hold more than SQLite's types say.

use std::error::Error;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A time, from unix milliseconds.
pub(crate) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, rusqlite::Error> {
    Timestamp::from_millisecond(row.get(column)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}

/// A time that may be missing, from unix milliseconds.
pub(crate) fn optional_time(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<Timestamp>, rusqlite::Error> {
    match row.get::<_, Option<i64>>(column)? {
        Some(_) => time(row, column).map(Some),
        None => Ok(None),
    }
}

/// A value from its JSON text.
pub(crate) fn json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<T, rusqlite::Error> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

/// A value's JSON text.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// The sum of a column in two columns, as [`sum`] reads it: SQLite's own fails past 63 bits.
pub(crate) fn halves(column: &str) -> String {
    format!("coalesce(sum({column} >> 32), 0), coalesce(sum({column} & 4294967295), 0)")
}

/// A sum, at most SQLite's largest integer, from this column and the next.
pub(crate) fn sum(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let (high, low): (u64, u64) = (row.get(column)?, row.get(column.saturating_add(1))?);
    Ok(high.saturating_mul(1 << 32).saturating_add(low).min(i64::MAX.unsigned_abs()))
}

/// A value from its text.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}
