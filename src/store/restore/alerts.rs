//! Alerts that are not over, from their rows.

use super::Take;
use crate::engine::restore::AlertStanding;
use crate::store::alerts::{ALERT, alert, alert_columns};
use crate::store::ledger::{Cells, Ledger, LedgerError, Query, Type, joined};
use crate::vitals::Priority;

/// An alert, and the number of the highest priority that it has had.
const STANDING: [Type; ALERT.len() + 1] = joined(ALERT, &[Type::Int]);

/// In the order in which they were raised. The highest priority that one has reached stands in its
/// events: it may have fallen since.
pub(super) fn open_alerts(
    ledger: &mut dyn Ledger,
    take: Take<'_, AlertStanding>,
) -> Result<(), LedgerError> {
    let query = Query {
        sql: concat!(
            "SELECT ",
            alert_columns!("a.site_id"),
            ",
                     (SELECT CAST(max(CASE e.priority WHEN 'high' THEN 3 WHEN 'medium' THEN 2
                                                      ELSE 1 END) AS bigint)
                      FROM @alert_events e WHERE e.alert_id = a.alert_id)
              FROM @alerts a LEFT JOIN @patients p ON p.patient_key = a.patient_key
              WHERE NOT a.is_over AND NOT a.retrospective
              ORDER BY a.raised_at, a.alert_id"
        ),
        types: &STANDING,
        values: Vec::new(),
    };
    ledger.read(&query, &mut |mut row| take(standing(&mut row)?))
}

fn standing(row: &mut Cells) -> Result<AlertStanding, LedgerError> {
    let alert = alert(row)?;
    let highest = match row.int_or_null()? {
        Some(3) => Priority::High,
        Some(2) => Priority::Medium,
        _ => alert.priority,
    };
    Ok(AlertStanding { highest: highest.max(alert.priority), alert })
}
