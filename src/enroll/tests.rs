//! Enrolling at a service that remembers, is slow, and may go away.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::*;
use crate::proto::v1;
use crate::proto::v1::registry_service_server::{RegistryService, RegistryServiceServer};

/// Calls that change something, in the order in which they came.
#[derive(Clone, Default)]
struct Fake {
    changes: Arc<Mutex<Vec<String>>>,
    /// Lookups of patients that are under way, and the most that ever were.
    under_way: Arc<(AtomicUsize, AtomicUsize)>,
    /// After so many changes it is gone.
    changes_max: Option<usize>,
}

impl Fake {
    fn change(&self, what: String) -> Result<(), Status> {
        let mut changes = self.changes.lock().unwrap();
        if self.changes_max.is_some_and(|max| changes.len() >= max) {
            return Err(Status::unavailable("stopping"));
        }
        changes.push(what);
        Ok(())
    }

    fn has(&self, what: &str) -> bool {
        self.changes.lock().unwrap().iter().any(|change| change == what)
    }
}

#[tonic::async_trait]
impl RegistryService for Fake {
    async fn get_site(&self, _: Request<v1::GetSiteRequest>) -> Result<Response<v1::Site>, Status> {
        Ok(Response::new(v1::Site::default()))
    }

    async fn get_patient(
        &self,
        request: Request<v1::GetPatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        let (now, most) = &*self.under_way;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        let patient_id = request.into_inner().patient_id;
        if !self.has(&format!("patient {patient_id}")) {
            return Err(Status::not_found("nobody"));
        }
        let site_id = "s".to_owned();
        Ok(Response::new(v1::Patient { patient_id, site_id, ..v1::Patient::default() }))
    }

    async fn get_device(
        &self,
        _: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        Err(Status::not_found("nothing"))
    }

    async fn create_patient(
        &self,
        request: Request<v1::CreatePatientRequest>,
    ) -> Result<Response<v1::Patient>, Status> {
        self.change(format!("patient {}", request.into_inner().patient_id))?;
        Ok(Response::new(v1::Patient::default()))
    }

    async fn create_device(
        &self,
        request: Request<v1::CreateDeviceRequest>,
    ) -> Result<Response<v1::Device>, Status> {
        self.change(format!("device {}", request.into_inner().device_id))?;
        Ok(Response::new(v1::Device::default()))
    }

    async fn bind_device(
        &self,
        request: Request<v1::BindDeviceRequest>,
    ) -> Result<Response<v1::Binding>, Status> {
        self.change(format!("bind {}", request.into_inner().device_id))?;
        Ok(Response::new(v1::Binding::default()))
    }
}

async fn serve(fake: Fake) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = Server::builder().add_service(RegistryServiceServer::new(fake));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("http://{address}")
}

/// What was told, but the last line, and how many lines failed.
async fn enroll(fake: Fake, lines: &str) -> (Vec<String>, usize) {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), format!("site,patient_id,device_id\n{lines}")).expect("written");
    let options = Options {
        file: file.path().to_owned(),
        service: Service::at(serve(fake).await),
        dry_run: false,
        report: None,
        quiet: false,
        upload_interval: Period(Duration::ZERO),
        measures: vec!["heart_rate=1s".parse().expect("a measure")],
        allow_unbound: false,
        create_sites: false,
        time_zone: None,
    };
    let mut told = Vec::new();
    let tally = run(&options, &mut told).await.expect("it is there");
    let told = String::from_utf8(told).expect("text");
    let prefix = format!("{}:", file.path().display());
    let mut told: Vec<_> = told.lines().map(|line| line.replace(&prefix, "")).collect();
    told.pop();
    (told, tally.failed())
}

#[tokio::test]
async fn a_patients_lines_keep_their_order_and_are_told_in_the_order_of_the_sheet() {
    let fake = Fake::default();
    let (told, failed) = enroll(fake.clone(), "s,p,d1\ns,q,d2\ns,p,d3\n").await;
    let expected = [
        "2: enrolled: device d1 on patient p; new: patient, device",
        "3: enrolled: device d2 on patient q; new: patient, device",
        "4: enrolled: device d3 on patient p; new: device",
    ];
    assert_eq!((told, failed), (expected.map(str::to_owned).to_vec(), 0));
    let changes = fake.changes.lock().unwrap().clone();
    let of_p = changes.iter().filter(|it| !it.ends_with('q') && !it.ends_with("d2"));
    let expected = ["patient p", "device d1", "bind d1", "device d3", "bind d3"];
    assert_eq!(of_p.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn many_patients_are_under_way_and_not_more_than_the_bound() {
    let fake = Fake::default();
    let lines: String = (0..PATIENTS_IN_FLIGHT_MAX * 4).map(|n| format!("s,p{n},d{n}\n")).collect();
    assert_eq!(enroll(fake.clone(), &lines).await.1, 0);
    let most = fake.under_way.1.load(Ordering::SeqCst);
    assert!((PATIENTS_IN_FLIGHT_MAX / 2..=PATIENTS_IN_FLIGHT_MAX).contains(&most), "{most}");
}

#[tokio::test]
async fn a_service_that_goes_away_is_not_asked_again_and_every_line_says_so() {
    let fake = Fake { changes_max: Some(4), ..Fake::default() };
    let (told, failed) = enroll(fake.clone(), "s,p,d1\ns,p,d2\ns,p,d3\n").await;
    let expected = [
        "2: enrolled: device d1 on patient p; new: patient, device",
        "3: unknown: stopping (Unavailable); enroll again to see; done before that: new: device",
        "4: unknown: not tried, because the service no longer answers",
    ];
    assert_eq!((told, failed), (expected.map(str::to_owned).to_vec(), 2));
    assert_eq!(fake.changes.lock().unwrap().len(), 4);
}
