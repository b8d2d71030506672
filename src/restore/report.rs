//! What a restore tells: as of when the state is, what it can't know, and up to which number each
//! device's readings are stored.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::Error;
use crate::engine::State;
use crate::engine::projection::DeviceIntake;
use crate::journal;
use crate::position::JournalId;
use crate::store;
use crate::store::restore::{Counts, StoredCursor};

/// Devices that are listed on the terminal; all of them are in the file.
const LISTED_MAX: usize = 20;

/// What is about to be done.
pub(super) fn before(
    journal: &journal::Settings,
    store: &store::Settings,
    stored: StoredCursor,
    counts: Counts,
) -> String {
    let StoredCursor { cursor, received_at } = stored;
    let Counts { sites, patients, devices, open_alerts } = counts;
    format!(
        "From  {}: entry {} of journal {}, received {received_at}\n\
         Into  {}, as a new journal\n\
         With  {sites} sites, {patients} patients, {devices} devices with their numbers, \
         {open_alerts} open alerts\n\n\
         Lost is what was acknowledged after entry {} and was not stored: readings and status of \
         devices,\nwork on alerts, changes of the registry. Begun anew is what the database does \
         not hold: breaches that\nwere pending, histories of trends and baselines, the time until \
         an alert is passed on.\n",
        store.url,
        cursor.position,
        cursor.journal_id,
        journal.dir.display(),
        cursor.position,
    )
}

/// Up to where devices' readings are stored.
pub(super) fn devices(state: &State, file: Option<&Path>) -> String {
    let mut text = String::new();
    let numbered = || state.device_reports().filter(|it| it.highest_seq.is_some());
    let count = numbered().count();
    let others = state.device_reports().count() - count;
    if count > 0 {
        text += "\nReadings with numbers above these were not stored:\n";
        let names = ["site", "device", "boot", "last number", "missing below"];
        push_line(&mut text, names.map(str::to_owned));
        for device in numbered().take(LISTED_MAX) {
            push_line(&mut text, cells(&device));
        }
    }
    if count > LISTED_MAX {
        let hint = if file.is_some() { "" } else { ": --report FILE.csv lists all" };
        let _ = writeln!(text, "… and {} more{hint}", count - LISTED_MAX);
    }
    if others > 0 {
        let _ = writeln!(
            text,
            "{others} devices have no numbers stored: of what they sent nobody knows what is lost"
        );
    }
    if let Some(file) = file {
        let _ = writeln!(text, "All of them stand in {}", file.display());
    }
    text.push('\n');
    text
}

fn push_line(text: &mut String, [site, device, boot, number, missing]: [String; 5]) {
    let _ = writeln!(text, "  {site:<16} {device:<24} {boot:>20} {number:>12} {missing:>14}");
}

fn cells(device: &DeviceIntake<'_>) -> [String; 5] {
    [
        device.site.to_owned(),
        device.device.to_owned(),
        device.boot_id.to_string(),
        device.highest_seq.map(|number| number.to_string()).unwrap_or_default(),
        device.missing.to_string(),
    ]
}

/// The same of every device, one a line.
pub(super) fn write(state: &State, file: &Path) -> Result<(), Error> {
    let failed = |source| Error::Report { what: file.display().to_string(), source };
    write_lines(state, file).map_err(failed)
}

fn write_lines(state: &State, file: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    // Ids hold nothing that would have to be quoted.
    writeln!(
        out,
        "site_id,device_id,patient_id,boot_id,last_stored_number,missing_below,newest_measured_at"
    )?;
    for device in state.device_reports() {
        let [site, id, boot, number, missing] = cells(&device);
        let patient = device.patient.unwrap_or_default();
        let newest = device.newest_measured_at.map(|at| at.to_string()).unwrap_or_default();
        writeln!(out, "{site},{id},{patient},{boot},{number},{missing},{newest}")?;
    }
    out.flush()
}

/// What is left to do of a restore that was cut off.
pub(super) fn unfinished(journal: &journal::Settings, id: JournalId) -> String {
    format!(
        "{} holds journal {id}, rebuilt from where the database stands; only the database does not \
         know it yet.\nNothing was changed. Run it again with --yes to finish.\n",
        journal.dir.display()
    )
}

/// What was done, and what comes next.
pub(super) fn after(journal: &journal::Settings, id: JournalId) -> String {
    format!(
        "Restored: {} holds journal {id}, and the database is its own.\n\
         Start the service. One alert (pulseward.ingest-gap) says that messages may be lost, until \
         somebody resets it;\nclients that watch alerts begin with a new snapshot. As devices send \
         again, their reports\n(IngestService.GetDeviceReport) show as missing exactly what is \
         lost.\n",
        journal.dir.display()
    )
}
