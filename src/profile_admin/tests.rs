//! Putting profiles at a service that remembers one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response};

use super::*;
use crate::proto::v1::profile_service_server::{ProfileService, ProfileServiceServer};

/// Holds a profile for whoever asks, unless it is of a version that does not say what it holds.
#[derive(Clone, Default)]
struct Fake {
    held: Arc<Mutex<Option<v1::ProfileVersion>>>,
    silent: bool,
}

#[tonic::async_trait]
impl ProfileService for Fake {
    async fn get_profile(
        &self,
        _: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::ProfileVersion>, Status> {
        if self.silent {
            return Err(Status::unimplemented("not served"));
        }
        let held = self.held.lock().unwrap().clone();
        held.map(Response::new).ok_or_else(|| Status::not_found("no profile"))
    }

    async fn put_profile(
        &self,
        request: Request<v1::PutProfileRequest>,
    ) -> Result<Response<v1::ProfileVersion>, Status> {
        let v1::PutProfileRequest { owner, profile, etag, .. } = request.into_inner();
        let mut held = self.held.lock().unwrap();
        let version = held.as_ref().map_or(0, |held| held.version);
        if !etag.is_empty() && etag != version.to_string() {
            return Err(Status::aborted("changed"));
        }
        let version = version + 1;
        let etag = version.to_string();
        let put = v1::ProfileVersion { owner, version, profile, etag, ..<_>::default() };
        *held = Some(put.clone());
        Ok(Response::new(put))
    }
}

async fn serve(fake: Fake) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = Server::builder().add_service(ProfileServiceServer::new(fake));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), text).expect("written");
    file
}

async fn put_at(address: SocketAddr, text: &str, dry_run: bool) -> Result<String, Error> {
    let file = file(text);
    let owner = OwnerOptions {
        site: Some("north".parse().expect("an id")),
        patient: None,
        everyone: false,
    };
    let service = Service::at(format!("http://{address}"));
    put(&Put { file: file.path().to_owned(), owner, service, dry_run }).await
}

const OFF: &str = "[[rules]]\nid = \"hr\"\nkind = \"off\"\n";

#[tokio::test]
async fn putting_shows_what_changes_and_which_version_is_in_force() {
    let fake = Fake::default();
    let address = serve(fake.clone()).await;
    let first = put_at(address, OFF, false).await.expect("put");
    assert_eq!(first, "+ hr: off\nversion 1 is in force\n");
    let again = put_at(address, OFF, false).await.expect("put");
    assert_eq!(again, "no rule changes\nversion 2 is in force\n");
    let other = put_at(address, &OFF.replace("hr", "rr"), true).await.expect("shown");
    assert_eq!(other, "- hr: off\n+ rr: off\nnothing was put\n");
    let held = fake.held.lock().unwrap().clone().expect("put");
    let owner = Some(v1::ProfileOwner { owner: Some(Owner::SiteId("north".into())) });
    assert_eq!((held.version, held.owner), (2, owner));
}

#[tokio::test]
async fn a_service_that_does_not_say_what_it_holds_is_put_to_all_the_same() {
    let address = serve(Fake { silent: true, ..Fake::default() }).await;
    let put = put_at(address, OFF, false).await.expect("put");
    assert!(put.starts_with("this service does not say what is in force"), "{put}");
    assert!(put.ends_with("version 1 is in force\n"), "{put}");
}

#[tokio::test]
async fn a_wrong_profile_reaches_nobody_and_a_dead_service_is_named() {
    let fake = Fake::default();
    let address = serve(fake.clone()).await;
    let wrong = put_at(address, "[[rules]]\nid = \"hr\"\n", false).await.expect_err("wrong");
    assert!(wrong.to_string().contains(":1:1: rules[hr].kind: required"), "{wrong}");
    assert_eq!(*fake.held.lock().unwrap(), None);
    let dead = put_at(SocketAddr::from(([127, 0, 0, 1], 1)), OFF, false).await;
    assert!(dead.expect_err("nobody").to_string().contains("127.0.0.1:1"));
}

#[test]
fn a_file_is_shown_in_words() {
    let file = file(OFF);
    let words = check(file.path()).expect("valid");
    assert_eq!(words, format!("{}: 1 rules\nhr: off\n", file.path().display()));
}
