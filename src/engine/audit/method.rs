//! The calls that are audited, by the names that they have on the wire.

use serde::{Deserialize, Serialize};

use crate::engine::input::{Action, AlertAction};

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident of $service:ident,)*) => {
        /// A call of the contract. New ones go to the end: the journal keeps their numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Method {
            $(
                #[doc = concat!("`", stringify!($service), "/", stringify!($method), "`")]
                $method,
            )*
        }

        impl Method {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$method,)*];

            /// Its full name, such as `pulseward.v1.VitalsService/ListReadings`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$method => concat!(
                        "pulseward.v1.", stringify!($service), "/", stringify!($method)
                    ),)*
                }
            }
        }
    };
}

methods! {
    WatchAlerts of AlertService,
    ListAlerts of AlertService,
    GetAlert of AlertService,
    AcknowledgeAlert of AlertService,
    PauseAlert of AlertService,
    ResetAlert of AlertService,
    AssignAlert of AlertService,
    AddAlertNote of AlertService,
    WatchVitals of VitalsService,
    GetLatestVitals of VitalsService,
    ListReadings of VitalsService,
    AggregateReadings of VitalsService,
    RecordReadings of VitalsService,
    CreateSite of RegistryService,
    GetSite of RegistryService,
    ListSites of RegistryService,
    CreatePatient of RegistryService,
    UpdatePatient of RegistryService,
    GetPatient of RegistryService,
    ListPatients of RegistryService,
    CreateDevice of RegistryService,
    GetDevice of RegistryService,
    ListDevices of RegistryService,
    BindDevice of RegistryService,
    UnbindDevice of RegistryService,
    ListBindings of RegistryService,
    ReplaceDevice of RegistryService,
    TransferPatient of RegistryService,
    PausePatient of RegistryService,
    GetEffectiveProfile of ProfileService,
    GetProfile of ProfileService,
    PutProfile of ProfileService,
    ListRejectedMessages of IngestService,
    RedriveRejectedMessages of IngestService,
    GetDeviceReport of IngestService,
    ListAuditEvents of AuditService,
    ErasePatient of RegistryService,
    GetErasure of RegistryService,
    GetAlarmBurden of AlertService,
}

impl Method {
    /// The call of this full name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.name() == name)
    }

    /// The call that asks for a change.
    #[must_use]
    pub const fn of(action: &Action) -> Self {
        match action {
            Action::CreateSite { .. } => Self::CreateSite,
            Action::CreatePatient { .. } => Self::CreatePatient,
            Action::CreateDevice { .. } => Self::CreateDevice,
            Action::BindDevice(_) => Self::BindDevice,
            Action::UnbindDevice { .. } => Self::UnbindDevice,
            Action::UpdatePatient { .. } => Self::UpdatePatient,
            Action::ReplaceDevice(_) => Self::ReplaceDevice,
            Action::TransferPatient { .. } => Self::TransferPatient,
            Action::PausePatient { .. } => Self::PausePatient,
            Action::WorkOnAlert { action, .. } => match action {
                AlertAction::Acknowledge { .. } => Self::AcknowledgeAlert,
                AlertAction::Pause { .. } => Self::PauseAlert,
                AlertAction::Reset { .. } => Self::ResetAlert,
                AlertAction::Assign { .. } => Self::AssignAlert,
                AlertAction::AddNote { .. } => Self::AddAlertNote,
            },
            Action::PutProfile { .. } => Self::PutProfile,
            Action::Redrive(_) => Self::RedriveRejectedMessages,
            Action::RecordReadings { .. } => Self::RecordReadings,
            Action::ErasePatient { .. } => Self::ErasePatient,
        }
    }
}
