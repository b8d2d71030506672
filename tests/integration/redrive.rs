//! Dead letters through the whole house: what a device published before anybody knew it is listed,
//! and goes through after enrolment, once, at the times at which it was measured. And what nurses
//! type in.

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use pulseward::proto::v1;
use pulseward::proto::v1::ingest_service_client::IngestServiceClient;
use pulseward::proto::v1::vitals_service_client::VitalsServiceClient;
use pulseward_sim::encode::{self, Encoding};
use pulseward_sim::enroll::Wearing;
use pulseward_sim::publish::Message;
use pulseward_sim::sample::{Batch, Sample, Vital};
use tonic::transport::{Channel, Endpoint};

use crate::support::house::House;
use crate::support::publishing::publish;
use crate::support::sql::Sql;
use crate::support::wait::{wait_for, wait_until};

const SITE: &str = "icu";
const DEVICE: &str = "monitor-01";
const PATIENT: &str = "patient-1";
/// Readings of a message.
const READINGS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unknown_device_sent_goes_through_after_enrolment_once_on_postgres() {
    goes_through_once(Sql::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_unknown_device_sent_goes_through_after_enrolment_once_on_sqlite() {
    goes_through_once(Sql::sqlite()).await;
}

async fn goes_through_once(sql: Sql) {
    let mut ward = Ward::start(sql).await;
    let messages = ward.messages();
    ward.publish(messages.clone()).await;
    let listed = ward.listed(messages.len()).await;
    for message in &listed {
        assert_eq!(message.reason(), v1::RejectReason::UnknownDevice, "{message:?}");
        assert_eq!((message.redriven_at, message.payload.len()), (None, 0));
    }
    ward.house.service.kill9();
    ward.house.service.restart().await;
    assert_eq!(ward.listed(messages.len()).await, listed, "after a crash");

    ward.enroll_device().await;
    let (one, other) = tokio::join!(ward.redrive(&listed), ward.redrive(&listed));
    let count = messages.len() * READINGS;
    assert_eq!(one.accepted as usize + other.accepted as usize, count, "{one:?} {other:?}");
    assert_eq!(one.skipped.len() + other.skipped.len(), messages.len(), "{one:?} {other:?}");
    ward.check_stored_once(count).await;

    ward.house.service.kill9();
    ward.house.service.restart().await;
    let again = ward.redrive(&listed).await;
    assert_eq!((again.accepted, again.duplicate, again.rejected.len()), (0, 0, 0));
    assert!(again.skipped.iter().all(|it| it.reason == "ALREADY_REDRIVEN"), "{again:?}");
    assert_eq!(again.skipped.len(), messages.len());
    wait_until("the store to say so too", async || {
        let page = ward.list().await.messages;
        page.len() == listed.len() && page.iter().all(|message| message.redriven_at.is_some())
    })
    .await;
    // The device never heard of it, and sends everything again, and one more.
    ward.publish(messages).await;
    ward.record_by_hand().await;
    ward.check_stored_once(count + 1).await;
}

/// A house with a site, a patient, and a device that nobody knows.
struct Ward {
    house: House,
    start: Timestamp,
}

impl Ward {
    async fn start(sql: Sql) -> Self {
        let house = House::start(sql).await;
        let mut enroller = house.enroller().await;
        enroller.site(SITE, "Intensive care").await.expect("site");
        enroller.patient(PATIENT, SITE).await.expect("patient");
        let whole = TimestampRound::new().smallest(Unit::Second);
        let now = Timestamp::now().round(whole).expect("in range");
        Self { house, start: now - SignedDuration::from_hours(1) }
    }

    /// Some messages of a device with numbers and as many of it without, in both encodings.
    fn messages(&self) -> Vec<Message> {
        let message = |number: u64| {
            let sample = |place: u64| Sample {
                measured_at: self.start
                    + SignedDuration::from_secs((number * 10 + place).cast_signed()),
                vital: Vital::HeartRate,
                value: 70.0,
            };
            let samples: Vec<_> = (0..READINGS as u64).map(sample).collect();
            let (boot_id, first_seq) = (number % 2, number * 10);
            let batch = Batch { device: DEVICE.into(), boot_id, first_seq, samples };
            let encoding = if number % 4 < 2 { Encoding::Protobuf } else { Encoding::Json };
            encode::message(SITE, batch, encoding, Timestamp::now())
        };
        (0..8).map(message).collect()
    }

    async fn publish(&self, messages: Vec<Message>) {
        publish(&self.house.broker.url(), messages).await;
    }

    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.house.grpc_url().await).expect("an address").connect_lazy()
    }

    async fn list(&self) -> v1::ListRejectedMessagesResponse {
        let request = v1::ListRejectedMessagesRequest {
            site_id: SITE.into(),
            device_id: DEVICE.into(),
            ..v1::ListRejectedMessagesRequest::default()
        };
        let mut client = IngestServiceClient::new(self.channel().await);
        client.list_rejected_messages(request).await.expect("a page").into_inner()
    }

    /// The refused messages, once so many are listed.
    async fn listed(&self, count: usize) -> Vec<v1::RejectedMessage> {
        wait_for("the refused messages to be listed", async || {
            let messages = self.list().await.messages;
            (messages.len() == count).then_some(messages)
        })
        .await
    }

    async fn enroll_device(&self) {
        let mut enroller = self.house.enroller().await;
        enroller.device(DEVICE, SITE).await.expect("device");
        let interval = SignedDuration::from_mins(1);
        let wearing = Wearing {
            device: DEVICE,
            patient: PATIENT,
            from: self.start - interval,
            upload_interval: interval,
            upload_interval_min: interval,
            measures_every: SignedDuration::from_secs(1),
        };
        enroller.bind(&wearing).await.expect("binding");
    }

    async fn redrive(
        &self,
        messages: &[v1::RejectedMessage],
    ) -> v1::RedriveRejectedMessagesResponse {
        let message_ids = messages.iter().map(|message| message.message_id.clone()).collect();
        let request = v1::RedriveRejectedMessagesRequest { message_ids, request_id: String::new() };
        let mut client = IngestServiceClient::new(self.channel().await);
        client.redrive_rejected_messages(request).await.expect("answered").into_inner()
    }

    /// A level of consciousness, as a nurse types it in.
    async fn record_by_hand(&self) {
        let at = Timestamp::now() - SignedDuration::from_mins(5);
        let measured_at =
            prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() };
        let reading = v1::Reading {
            measured: Some(v1::reading::Measured::MeasuredAt(measured_at)),
            vital: v1::Vital::Consciousness.into(),
            value: Some(v1::reading::Value::Consciousness(v1::Acvpu::Voice.into())),
            ..v1::Reading::default()
        };
        let request = v1::RecordReadingsRequest {
            patient_id: PATIENT.into(),
            readings: vec![reading],
            request_id: String::new(),
        };
        let mut client = VitalsServiceClient::new(self.channel().await);
        let answer = client.record_readings(request).await.expect("taken").into_inner();
        assert_eq!((answer.accepted, answer.duplicate, answer.rejected.len()), (1, 0, 0));
    }

    /// So many readings are stored: the device's, each once, at the times at which they were
    /// measured, and at most one by hand.
    async fn check_stored_once(&self, count: usize) {
        self.house.stored(count).await;
        let of = |device: &str, columns: &str| {
            format!(
                "SELECT {columns} FROM readings r JOIN devices d USING (device_key) \
                 WHERE device_id = '{device}' ORDER BY 1"
            )
        };
        let columns = format!("{}, quality", self.house.sql.micros("measured_at"));
        let rows = self.house.sql.rows(&of(DEVICE, &columns)).await;
        let expected = self.messages().into_iter().flat_map(|message| message.batch.samples);
        let late = "8".to_owned();
        let expected: Vec<_> = expected
            .map(|sample| vec![sample.measured_at.as_microsecond().to_string(), late.clone()])
            .collect();
        assert_eq!(rows, expected);
        let named = "SELECT patient_id, device_id, consciousness FROM readings_named \
                     WHERE vital = 'consciousness'";
        let by_hand = self.house.sql.rows(named).await;
        let expected = [vec![PATIENT.to_owned(), "by-hand".into(), "voice".into()]];
        assert_eq!(by_hand, expected[..count - rows.len()]);
    }
}
