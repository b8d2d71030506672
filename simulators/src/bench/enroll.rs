//! Who is enrolled in a benchmark, and which limits are in force: by the service's own commands, as
//! an operator does it.

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};

use super::servers::Service;
use super::traffic::{PROBE_PROFILE, PROBES, WARD, sheet};
use crate::clock;

/// Readings may be so old and still count as live: what a benchmark sends at once reaches hours back.
const UPLOAD_INTERVAL: &str = "12h";
/// Since when devices are bound, before now.
const BOUND_BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// Each wearable is looked after by a silence rule for each vital.
const MEASURES: &str = "heart_rate=1s,spo2=1s,respiratory_rate=1s,pulse_rate=1s";

/// A ward of so many wearables, each on a patient of its own, watched by the profile for adults that
/// is shipped.
pub(super) async fn ward(service: &Service, devices: usize) -> Result<()> {
    let profile = service.command(words("profile show-default")).await?;
    put(service, "adult.toml", &profile, &["--everyone"]).await?;
    enroll(service, WARD, devices, &["--measures", MEASURES]).await
}

/// So many probes, at a site of their own with a limit that a single reading breaches.
pub(super) async fn probes(service: &Service, devices: usize) -> Result<()> {
    enroll(service, PROBES, devices, &[]).await?;
    put(service, "probe.toml", PROBE_PROFILE.as_bytes(), &["--site", PROBES]).await
}

async fn put(service: &Service, name: &str, profile: &[u8], owner: &[&str]) -> Result<()> {
    let path = service.file(name);
    std::fs::write(&path, profile).with_context(|| format!("writing {}", path.display()))?;
    let mut arguments = words(&format!("profile put {name} --grpc {}", service.url()));
    arguments.extend(owner.iter().map(|&word| word.to_owned()));
    service.command(arguments).await.map(drop)
}

async fn enroll(service: &Service, site: &str, devices: usize, options: &[&str]) -> Result<()> {
    let from = clock::now().checked_sub(BOUND_BEFORE).unwrap_or(Timestamp::MIN);
    let (name, sheet) = (format!("{site}.csv"), sheet(site, devices, from));
    std::fs::write(service.file(&name), sheet).context("writing a sheet of enrolments")?;
    let mut arguments = words(&format!(
        "enroll {name} --grpc {} --quiet --create-sites --time-zone UTC --upload-interval \
         {UPLOAD_INTERVAL}",
        service.url()
    ));
    arguments.extend(options.iter().map(|&word| word.to_owned()));
    service.command(arguments).await.map(drop)
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
