//! The door against the whole contract: each call is served or says that it is not, and tools can
//! ask what there is.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1 as reflection;

use super::fakes::open;
use super::{erasure, lists};
use crate::proto;
use crate::store::{AlertsPage, AuditPage, RejectedPage};

/// What is served so far.
const SERVED: &[&str] = &[
    "AlertService/AcknowledgeAlert",
    "AlertService/AddAlertNote",
    "AlertService/AssignAlert",
    "AlertService/GetAlarmBurden",
    "AlertService/GetAlert",
    "AlertService/ListAlerts",
    "AlertService/PauseAlert",
    "AlertService/ResetAlert",
    "AlertService/WatchAlerts",
    "AuditService/ListAuditEvents",
    "IngestService/GetDeviceReport",
    "IngestService/ListRejectedMessages",
    "IngestService/RedriveRejectedMessages",
    "ProfileService/GetEffectiveProfile",
    "ProfileService/GetProfile",
    "ProfileService/PutProfile",
    "RegistryService/BindDevice",
    "RegistryService/CreateDevice",
    "RegistryService/CreatePatient",
    "RegistryService/CreateSite",
    "RegistryService/ErasePatient",
    "RegistryService/GetDevice",
    "RegistryService/GetErasure",
    "RegistryService/GetPatient",
    "RegistryService/GetSite",
    "RegistryService/ListBindings",
    "RegistryService/ListDevices",
    "RegistryService/ListPatients",
    "RegistryService/ListSites",
    "RegistryService/PausePatient",
    "RegistryService/ReplaceDevice",
    "RegistryService/TransferPatient",
    "RegistryService/UnbindDevice",
    "RegistryService/UpdatePatient",
    "VitalsService/AggregateReadings",
    "VitalsService/GetLatestVitals",
    "VitalsService/ListReadings",
    "VitalsService/RecordReadings",
    "VitalsService/WatchVitals",
];

/// Every call of the contract, by its name.
pub(super) fn methods() -> Vec<(String, MethodDescriptorProto)> {
    let descriptors = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("descriptors");
    let services = descriptors.file.into_iter().flat_map(|file| file.service);
    services
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| {
                let path = format!("{name}/{}", method.name());
                (path, method)
            })
        })
        .collect()
}

/// Calls with an empty request, whatever the message.
pub(super) async fn call(channel: &Channel, name: &str, streaming: bool) -> Result<(), Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("connected");
    let path: PathAndQuery = format!("/pulseward.v1.{name}").parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    if streaming {
        client.server_streaming(Request::new(()), path, codec).await.map(|_| ())
    } else {
        client.unary(Request::new(()), path, codec).await.map(|_| ())
    }
}

#[tokio::test]
async fn every_call_is_served_or_says_that_it_is_not() {
    let door = open().await;
    door.rejected.answer(Ok(RejectedPage { messages: vec![], next_page_token: None }));
    door.audit.answer(Ok(AuditPage { events: vec![], next_page_token: None }));
    door.listed.answer(Ok(AlertsPage { alerts: vec![], next_page_token: None }));
    door.erasures.answer(Ok(erasure::done()));
    lists::answer_empty_pages(&door);
    let mut served = BTreeSet::new();
    for (name, method) in methods() {
        let status = call(&door.channel, &name, method.server_streaming()).await;
        // An empty request is wrong for most calls, and right where all of something is asked for.
        match status.map_err(|status| status.code()) {
            Ok(()) | Err(Code::InvalidArgument) => served.insert(name),
            Err(code) => {
                assert_eq!(code, Code::Unimplemented, "{name}");
                false
            }
        };
    }
    assert_eq!(served, SERVED.iter().map(|name| (*name).to_owned()).collect());
    door.close().await;
}

#[tokio::test]
async fn a_service_that_does_not_exist_is_unimplemented() {
    let door = open().await;
    let status = call(&door.channel, "NurseService/Call", false).await.expect_err("no service");
    assert_eq!(status.code(), Code::Unimplemented);
    door.close().await;
}

#[tokio::test]
async fn reflection_lists_every_service() {
    let door = open().await;
    let request = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(reflection::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut client =
        reflection::server_reflection_client::ServerReflectionClient::new(door.channel.clone());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.expect("served").into_inner().next().await.expect("one answer");
    let Some(reflection::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.expect("no error").message_response
    else {
        panic!("a list of services")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "pulseward.v1.AlertService",
            "pulseward.v1.AuditService",
            "pulseward.v1.IngestService",
            "pulseward.v1.ProfileService",
            "pulseward.v1.RegistryService",
            "pulseward.v1.VitalsService",
        ]
    );
    door.close().await;
}
