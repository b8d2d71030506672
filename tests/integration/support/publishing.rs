//! Gateways at work: messages on their way to the broker, by the simulators' publisher.

use std::time::Duration;

use pulseward_sim::publish::{self, Message, Progress, Publisher, Settings};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Passing tests wait for no broker that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A publisher that sends message after message, in order, as far as it may.
#[derive(Debug)]
pub(crate) struct Publishing {
    allowed: watch::Sender<usize>,
    /// What hands over the messages, if not the caller does.
    feeding: Option<JoinHandle<()>>,
    acknowledged: watch::Receiver<usize>,
    task: JoinHandle<Result<(), publish::Error>>,
}

impl Publishing {
    /// Begins; nothing is sent before [`Publishing::allow`].
    pub(crate) fn start(broker_url: &str, messages: Vec<Message>) -> Self {
        Self::start_paced(broker_url, messages, Duration::ZERO)
    }

    /// The same, with a pause between any two messages.
    pub(crate) fn start_paced(broker_url: &str, messages: Vec<Message>, pause: Duration) -> Self {
        let (allowed, may) = watch::channel(0);
        let (sender, taken) = mpsc::channel(1);
        let publishing = Self::of(broker_url, taken);
        let feeding = tokio::spawn(feed(messages, pause, sender, may));
        Self { allowed, feeding: Some(feeding), ..publishing }
    }

    /// Sends what comes, until its sender is dropped.
    pub(crate) fn of(broker_url: &str, messages: mpsc::Receiver<Message>) -> Self {
        let (count, acknowledged) = watch::channel(0);
        let settings = Settings {
            broker: broker_url.parse().expect("a broker"),
            client_id: "monitors".to_owned(),
            patience: PATIENCE,
        };
        let publisher = Publisher::new(settings, messages, move |progress| {
            if let Progress::Acknowledged { heard, .. } = progress {
                assert!(heard, "the service's subscription stands while the service is away");
                count.send_modify(|count| *count += 1);
            }
        });
        let task = tokio::spawn(publisher.run());
        Self { allowed: watch::Sender::new(usize::MAX), feeding: None, acknowledged, task }
    }

    /// Lets it send the first `count` messages, but waits for none.
    pub(crate) fn allow(&self, count: usize) {
        self.allowed.send_replace(count);
    }

    /// How many messages the broker has taken by now.
    pub(crate) fn count(&self) -> usize {
        *self.acknowledged.borrow()
    }

    /// Waits until the broker has taken the first `count` messages.
    pub(crate) async fn acknowledged(&mut self, count: usize) {
        let taken = self.acknowledged.wait_for(|acknowledged| *acknowledged >= count);
        let taken = tokio::time::timeout(PATIENCE, taken).await;
        taken.expect("the broker takes messages").expect("the publisher runs");
    }

    /// Lets it send all, and waits until the broker has them.
    pub(crate) async fn finish(self) {
        self.allow(usize::MAX);
        let published = async {
            if let Some(feeding) = self.feeding {
                feeding.await.expect("no panic");
            }
            self.task.await
        };
        let published = tokio::time::timeout(PATIENCE, published).await;
        published.expect("the broker takes messages").expect("no panic").expect("all published");
    }
}

/// Publishes messages and waits until the broker has them.
pub(crate) async fn publish(broker_url: &str, messages: Vec<Message>) {
    Publishing::start(broker_url, messages).finish().await;
}

async fn feed(
    messages: Vec<Message>,
    pause: Duration,
    sender: mpsc::Sender<Message>,
    mut may: watch::Receiver<usize>,
) {
    for (number, message) in messages.into_iter().enumerate() {
        if may.wait_for(|allowed| *allowed > number).await.is_err() {
            return;
        }
        if sender.send(message).await.is_err() {
            return;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
