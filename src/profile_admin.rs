//! `pulseward profile …`: checks profile files, shows the default one, and puts one in force.
//!
//! Putting is a call like any other: the service decides whether it may be. What would change is
//! shown first, and if the profile changes between showing and putting, nothing is put.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::config::Violations;
use crate::engine::profile::{OwnerKind, Profile};
use crate::grpc;
use crate::grpc_client::{self, Connection, Service};
use crate::profile_file::{self, summary};
use crate::proto::v1;
use crate::proto::v1::profile_owner::{Everyone, Owner};
use crate::proto::v1::profile_service_client::ProfileServiceClient;
use crate::repeat;
use crate::vitals::{PatientId, SiteId};

/// A call that is answered only once it is durable may wait for a slow disk.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What the service compares where no profile was seen.
const ETAG_OF_NONE: &str = "0";

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Say in words what each file's rules do, or everything that is wrong with them.
    Check {
        /// The profiles, TOML files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the default profile for adults, commented, as a file to begin with.
    ShowDefault,
    /// Replace an owner's profile by that of a file, and show what changes.
    Put(Put),
}

/// What is put, where, and for whom.
#[derive(Debug, Args)]
pub struct Put {
    /// The profile, a TOML file.
    pub file: PathBuf,
    /// For whom.
    #[command(flatten)]
    pub owner: OwnerOptions,
    /// The service.
    #[command(flatten)]
    pub service: Service,
    /// Only show what would change.
    #[arg(long)]
    pub dry_run: bool,
}

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct OwnerOptions {
    /// As this site's profile.
    #[arg(long, value_name = "SITE")]
    pub site: Option<SiteId>,
    /// As this patient's own profile.
    #[arg(long, value_name = "PATIENT")]
    pub patient: Option<PatientId>,
    /// As everyone's default.
    #[arg(long)]
    pub everyone: bool,
}

impl OwnerOptions {
    fn owner(&self) -> (OwnerKind, v1::ProfileOwner) {
        let (kind, owner) = match (&self.site, &self.patient) {
            (Some(site), _) => (OwnerKind::Site, Owner::SiteId(site.to_string())),
            (_, Some(patient)) => (OwnerKind::Patient, Owner::PatientId(patient.to_string())),
            (None, None) => (OwnerKind::Everyone, Owner::Everyone(Everyone {})),
        };
        (kind, v1::ProfileOwner { owner: Some(owner) })
    }
}

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("can't read the profile {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file says what can't be.
    #[error("{0}")]
    Invalid(Violations),
    /// The service can't be reached.
    #[error(transparent)]
    Connect(#[from] grpc_client::NotConnected),
    /// The service refused.
    #[error("{action}: {refusal}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// What it answered.
        refusal: String,
    },
}

/// The profile of a file in words.
///
/// # Errors
/// When it can't be read, or everything that is wrong with it.
pub fn check(file: &Path) -> Result<String, Error> {
    let profile = read(file, OwnerKind::Patient)?;
    let mut text = format!("{}: {} rules\n", file.display(), profile.rules.len());
    if profile.validate(OwnerKind::Everyone).is_err() {
        text.push_str("only as a patient's own profile: NEWS2 on SpO2 scale 2\n");
    }
    text.push_str(&summary::summary(&profile));
    Ok(text)
}

fn read(file: &Path, owner: OwnerKind) -> Result<Profile, Error> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| Error::Read { path: file.to_owned(), source })?;
    profile_file::parse(&file.display().to_string(), &text, owner).map_err(Error::Invalid)
}

/// Puts a profile, or only asks what that would change; says what changed.
///
/// Not cancel safe: a profile whose answer was not awaited may have been put.
///
/// # Errors
/// When the file is wrong, or the service is not there or refuses.
pub async fn put(task: &Put) -> Result<String, Error> {
    let (kind, owner) = task.owner.owner();
    let profile = read(&task.file, kind)?;
    let mut profiles = connect(&task.service).await?;
    let before = in_force(&mut profiles, &owner).await?;
    let mut text = changes(&before, &profile);
    if task.dry_run {
        text.push_str("nothing was put\n");
        return Ok(text);
    }
    let put = repeat::until_answered(async |request_id| {
        let request = v1::PutProfileRequest {
            owner: Some(owner.clone()),
            profile: Some(grpc::wire_profile(&profile)),
            etag: before.etag.clone(),
            request_id,
        };
        profiles.put_profile(request).await
    })
    .await;
    let put = put.map_err(|status| refused("putting the profile", &status))?.into_inner();
    writeln!(text, "version {} is in force", put.version).expect("a string takes any text");
    Ok(text)
}

async fn connect(service: &Service) -> Result<ProfileServiceClient<Connection>, Error> {
    Ok(ProfileServiceClient::new(service.connect(CALL_TIMEOUT).await?))
}

/// An owner's profile as it stands, and the etag that says so.
struct Before {
    /// `None` if the service can't tell.
    profile: Option<Profile>,
    /// Empty if the service can't tell: then whatever is there is replaced.
    etag: String,
}

async fn in_force(
    profiles: &mut ProfileServiceClient<Connection>,
    owner: &v1::ProfileOwner,
) -> Result<Before, Error> {
    let request = v1::GetProfileRequest { owner: Some(owner.clone()), version: 0 };
    match profiles.get_profile(request).await.map(tonic::Response::into_inner) {
        Ok(found) => {
            let profile = found.profile.as_ref().map(grpc::profile).transpose();
            let newer = |_| Error::Refused {
                action: "reading the profile in force",
                refusal: "it holds what this version of the program does not know".to_owned(),
            };
            Ok(Before { profile: profile.map_err(newer)?, etag: found.etag })
        }
        Err(status) if status.code() == Code::NotFound => {
            Ok(Before { profile: Some(Profile::default()), etag: ETAG_OF_NONE.to_owned() })
        }
        Err(status) if status.code() == Code::Unimplemented => {
            Ok(Before { profile: None, etag: String::new() })
        }
        Err(status) => Err(refused("reading the profile in force", &status)),
    }
}

fn changes(before: &Before, after: &Profile) -> String {
    let Some(before) = &before.profile else {
        let summary = summary::summary(after);
        return format!("this service does not say what is in force; this is to be:\n{summary}");
    };
    match summary::difference(before, after) {
        same if same.is_empty() => "no rule changes\n".to_owned(),
        changes => changes,
    }
}

fn refused(action: &'static str, status: &Status) -> Error {
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    let fields = violations.iter().flatten();
    let fields: String = fields.map(|it| format!("\n  {}: {}", it.field, it.description)).collect();
    let refusal = format!("{} ({:?}){fields}", status.message(), status.code());
    Error::Refused { action, refusal }
}

#[cfg(test)]
mod tests;
