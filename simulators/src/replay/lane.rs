//! One connection of a replay: waits until each of its messages is due, and publishes it.

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::plan::Planned;
use crate::encode::Encoding;
use crate::publish::{self, Message, Progress, Publisher};
use crate::{clock, encode};

/// Messages encoded ahead of the connection: a few, so that it never waits for an encoding.
const AHEAD_MAX: usize = 16;

/// How a lane turns batches into messages, and from when on due times count.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) site: String,
    pub(super) encoding: Encoding,
    pub(super) began: Instant,
}

/// Sends all that is planned, or, once `stop` is true, what has been taken until then. Returns
/// when it is acknowledged.
pub(super) async fn run(
    planned: Vec<Planned>,
    settings: Settings,
    connection: publish::Settings,
    observe: impl FnMut(Progress<'_>),
    stop: watch::Receiver<bool>,
) -> Result<(), publish::Error> {
    let (messages, taken) = mpsc::channel(AHEAD_MAX);
    let publisher = Publisher::new(connection, taken, observe);
    let ((), published) = tokio::join!(feed(planned, settings, messages, stop), publisher.run());
    published
}

/// Ends early when the publisher is gone, whose error is then the lane's.
async fn feed(
    planned: Vec<Planned>,
    settings: Settings,
    messages: mpsc::Sender<Message>,
    mut stop: watch::Receiver<bool>,
) {
    let send_all = async {
        for Planned { due, batch } in planned {
            sleep_until(settings.began + due).await;
            let sent_at: Timestamp = clock::now();
            let message = encode::message(&settings.site, batch, settings.encoding, sent_at);
            if messages.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = send_all => {}
        () = messages.closed() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
