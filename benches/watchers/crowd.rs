//! The watchers: streams on connections of their own, or on shared ones; and what they are held
//! against, connections without gRPC.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use pulseward::clock::{Clock as _, SystemClock};
use pulseward::proto::v1;
use pulseward::proto::v1::alert_service_client::AlertServiceClient;
use pulseward::proto::v1::watch_alerts_response::{Message, event::Change};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

/// The smallest that HTTP/2 has, so that a client that does not read soon takes no more.
const WINDOW_BYTES: u32 = 65_535;
/// Until something is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came to those who read: how many events, and after how many microseconds each. It is
/// written where an event comes, so that nobody waits for anybody to read the next.
#[derive(Debug)]
struct Heard {
    events: usize,
    took: Histogram<u64>,
}

/// All of them, by what the other process tells.
pub(crate) async fn run(url: &str) -> Result<()> {
    let mut lines = lines();
    let mut crowd = Crowd::new(url);
    while let Some(line) = lines.recv().await {
        let words: Vec<_> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<usize>();
        match words[0] {
            "open" => crowd.open(number(1)?, number(2)?, number(3)?).await?,
            "bare" => crowd.listen_bare(words[1], number(2)?, number(3)?).await?,
            "told" => crowd.told = number(1)?,
            "heard" => crowd.heard(number(1)?).await?,
            "forget" => crowd.heard.send_modify(|heard| heard.took.reset()),
            "took" => {
                let took = crowd.heard.borrow().took.clone();
                let at = |quantile| took.value_at_quantile(quantile);
                println!("ok {} {} {} {}", took.len(), at(0.5), at(0.99), at(1.0));
                continue;
            }
            "wake" => {
                let (closed, others) = crowd.wake().await?;
                println!("ok {closed} {others}");
                continue;
            }
            _ => bail!("{line}"),
        }
        println!("ok");
    }
    Ok(())
}

/// What the other process tells, read by a thread that may wait; it ends with its input.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let told = std::io::stdin().lines().map_while(Result::ok);
        told.into_iter().try_for_each(|line| sender.blocking_send(line))
    });
    lines
}

struct Crowd {
    url: String,
    heard: Arc<watch::Sender<Heard>>,
    /// How many events had been told when each who reads began.
    began: Vec<usize>,
    /// How many have been told, as far as is known here.
    told: usize,
    awake: Arc<watch::Sender<bool>>,
    sleepers: JoinSet<Result<Status>>,
}

impl Crowd {
    fn new(url: &str) -> Self {
        let most = u64::try_from(PATIENCE.as_micros()).expect("two minutes in microseconds");
        let took = Histogram::new_with_max(most, 3).expect("three digits of two minutes");
        let heard = Arc::new(watch::Sender::new(Heard { events: 0, took }));
        let awake = Arc::new(watch::Sender::new(false));
        let (url, sleepers) = (url.to_owned(), JoinSet::new());
        Self { url, heard, began: Vec::new(), told: 0, awake, sleepers }
    }

    /// Streams of those who read, so many on each connection, and of those who never do, on
    /// connections of their own.
    async fn open(&mut self, awake: usize, asleep: usize, shared_by: usize) -> Result<()> {
        let mut left = awake;
        while left > 0 {
            let client = connect(&self.url, shared_by).await?;
            for _ in 0..left.min(shared_by) {
                let stream = live(client.clone()).await?;
                self.began.push(self.told);
                tokio::spawn(listen(stream, Arc::clone(&self.heard)));
            }
            left = left.saturating_sub(shared_by);
        }
        for _ in 0..asleep {
            let stream = live(connect(&self.url, 1).await?).await?;
            let mut awake = self.awake.subscribe();
            self.sleepers.spawn(async move {
                awake.wait_for(|awake| *awake).await?;
                tokio::time::timeout(PATIENCE, end_of(stream)).await.context("it goes on")
            });
        }
        Ok(())
    }

    /// Connections over which nothing but messages of this size comes, each with its time in front.
    async fn listen_bare(&mut self, address: &str, count: usize, bytes: usize) -> Result<()> {
        for _ in 0..count {
            let stream = TcpStream::connect(address).await?;
            self.began.push(self.told);
            tokio::spawn(listen_bare(stream, bytes, Arc::clone(&self.heard)));
        }
        Ok(())
    }

    async fn heard(&mut self, events: usize) -> Result<()> {
        self.told = events;
        let all: usize = self.began.iter().map(|began| events.saturating_sub(*began)).sum();
        let mut heard = self.heard.subscribe();
        let whole = heard.wait_for(|heard| heard.events >= all);
        tokio::time::timeout(PATIENCE, whole).await.context("events are missing")??;
        Ok(())
    }

    async fn wake(&mut self) -> Result<(usize, usize)> {
        self.awake.send_replace(true);
        let (mut closed, mut others) = (0, 0);
        while let Some(ended) = self.sleepers.join_next().await {
            let status = ended??;
            let info = status.get_details_error_info();
            let cursor = info.and_then(|info| info.metadata.get("cursor").cloned());
            let has_cursor = cursor.is_some_and(|cursor| !cursor.is_empty());
            if status.code() == Code::ResourceExhausted && has_cursor {
                closed += 1;
            } else {
                others += 1;
            }
        }
        Ok((closed, others))
    }
}

/// A connection that so many streams share.
async fn connect(url: &str, shared_by: usize) -> Result<AlertServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES * u32::try_from(shared_by)?)
        .tcp_nodelay(true);
    Ok(AlertServiceClient::new(endpoint.connect().await?))
}

/// A stream, once it is live.
async fn live(
    mut client: AlertServiceClient<Channel>,
) -> Result<Streaming<v1::WatchAlertsResponse>> {
    let mut stream = client.watch_alerts(v1::WatchAlertsRequest::default()).await?.into_inner();
    loop {
        let response = stream.message().await?.context("it never just stops")?;
        if let Some(Message::Live(_)) = response.message {
            return Ok(stream);
        }
    }
}

/// Notes every event, until the stream ends.
async fn listen(
    mut stream: Streaming<v1::WatchAlertsResponse>,
    heard: Arc<watch::Sender<Heard>>,
) -> Result<()> {
    while let Some(response) = stream.message().await? {
        let Some(Message::Event(event)) = response.message else { continue };
        let Some(Change::Alert(event)) = event.change else { continue };
        let began = event.determined_at.context("an event says when it was decided")?;
        let began = began.seconds * 1_000_000 + i64::from(began.nanos / 1000);
        note(&heard, began);
    }
    Ok(())
}

/// Notes every message, until the connection ends.
async fn listen_bare(
    mut stream: TcpStream,
    bytes: usize,
    heard: Arc<watch::Sender<Heard>>,
) -> Result<()> {
    let mut message = vec![0; bytes];
    loop {
        stream.read_exact(&mut message).await?;
        let began = message.first_chunk().context("a time is in front")?;
        note(&heard, i64::from_be_bytes(*began));
    }
}

/// Notes what began at this microsecond and came just now.
fn note(heard: &watch::Sender<Heard>, began_micros: i64) {
    let micros = u64::try_from(SystemClock.now().micros() - began_micros).unwrap_or(0);
    heard.send_modify(|heard| {
        heard.events += 1;
        heard.took.saturating_record(micros);
    });
}

/// How a stream ends.
async fn end_of(mut stream: Streaming<v1::WatchAlertsResponse>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok("it just stopped"),
            Err(status) => return status,
        }
    }
}
