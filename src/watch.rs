//! `pulseward watch`: the live ward in a terminal, and as plain lines where there is none.
//!
//! A gRPC client like any other: it asks for nothing that the contract does not offer to everyone,
//! as whoever its token says. It promises to miss no alert event (a cut stream is taken up after the
//! last cursor, or from a new snapshot), to say NOT LIVE within 25 s of the last sign of life, and
//! never to answer an alert that has escalated unseen. It puts the terminal back however it ends. It
//! keeps nothing, logs nothing, and makes no sound: it is no risk control.
//!
//! What is shown (`ward`, `rows`, `liveness`, `vitals`), what keys do (`app`, `dialog`, `pages`) and
//! how it looks (`draw`) are pure; around them `follow` holds the streams open, `work` asks for what
//! keys ask for, and `screen` owns the terminal.

mod app;
mod dialog;
mod draw;
mod follow;
mod liveness;
mod pages;
mod plain;
mod rows;
mod screen;
mod vitals;
mod ward;
mod words;
mod work;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use futures_util::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tonic::Status;

use self::follow::Scope;
use self::work::{Answer, Ask};
use crate::grpc_client::{self, Service};
use crate::proto::v1;
use crate::vitals::{PatientId, SiteId};

/// Messages that wait to be shown. Beyond, the streams wait: the service leaves out vitals, and cuts
/// a stream of alerts, which is then resumed.
const NEWS_AHEAD_MAX: usize = 256;
/// Things asked for and not answered. Beyond, keys are refused: nobody means so many.
const ASKED_MAX: usize = 8;
/// What was asked for when somebody leaves may still take so long.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// What is watched, and where.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// Only patients of this site; may be given several times.
    #[arg(long = "site", value_name = "SITE")]
    pub sites: Vec<SiteId>,
    /// Only this patient; may be given several times.
    #[arg(long = "patient", value_name = "PATIENT")]
    pub patients: Vec<PatientId>,
    /// Lines, one for each event, also on a terminal.
    #[arg(long)]
    pub plain: bool,
    /// The service.
    #[command(flatten)]
    pub service: Service,
    /// Where its ward page is, to be named on the screen; known to who runs the service, too.
    #[arg(skip)]
    pub ward_page: Option<String>,
}

/// Why nothing is watched any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service can't be reached.
    #[error(transparent)]
    Connect(#[from] grpc_client::NotConnected),
    /// The service refused.
    #[error("{action}: {} ({:?})", .status.message(), .status.code())]
    Refused {
        /// What was asked.
        action: &'static str,
        /// What it answered.
        status: Box<Status>,
    },
    /// The terminal can't be drawn on or read from.
    #[error("using the terminal; --plain needs none")]
    Terminal(#[source] io::Error),
    /// Nobody takes the lines.
    #[error("printing")]
    Print(#[source] io::Error),
    /// The system does not let us listen for signals.
    #[error("listening for signals")]
    Signals(#[source] io::Error),
    /// A task of ours broke down.
    #[error("watching broke down")]
    Broke(#[source] JoinError),
}

/// What tasks tell the screen.
#[derive(Debug)]
enum News {
    /// A stream of alerts was opened.
    Opened,
    /// It told something.
    Alerts(Box<v1::watch_alerts_response::Message>),
    /// It was cut; why.
    Cut(String),
    /// The stream of vitals told something.
    Vitals(Box<v1::watch_vitals_response::Message>),
    /// It was cut; why.
    VitalsCut(String),
    /// The service answered.
    Answer(Answer),
}

/// The ends of the tasks that talk to the service.
struct Ends {
    news: mpsc::Receiver<News>,
    asks: mpsc::Sender<Ask>,
    /// Whose vitals are to be streamed.
    sites: watch::Sender<BTreeSet<String>>,
    /// None ends by itself but with an error.
    tasks: JoinSet<Result<(), Error>>,
}

/// Watches until somebody leaves, the system asks the process to end, or `stop` completes: on the
/// terminal, if standard input and output are one, else in lines on standard output.
///
/// # Errors
/// [`Error`]. A service that goes away after it was there once is waited for.
pub async fn run(options: &Options, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let on_screen = !options.plain && io::stdout().is_terminal() && io::stdin().is_terminal();
    let mut ends = Ends::open(options, on_screen);
    let stop = async {
        tokio::select! {
            asked = asked_to_end() => asked,
            () = stop => Ok(()),
        }
    };
    if on_screen {
        screen::run(&mut ends, options.scope_in_words(), stop).await?;
    } else {
        plain::run(&mut ends, io::stdout(), stop).await?;
    }
    ends.close().await
}

/// Completes when the system asks the process to end. Cancel safe.
async fn asked_to_end() -> Result<(), Error> {
    let listen = |kind| signal(kind).map_err(Error::Signals);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

impl Options {
    fn scope(&self) -> Scope {
        Scope {
            sites: self.sites.iter().map(ToString::to_string).collect(),
            patients: self.patients.iter().map(ToString::to_string).collect(),
        }
    }

    fn scope_in_words(&self) -> String {
        let Scope { sites, patients } = self.scope();
        let names = [sites, patients].concat();
        let whom = if names.is_empty() { "all sites".to_owned() } else { names.join(", ") };
        let page = self.ward_page.as_ref().map(|url| format!(", ward page {url}"));
        format!("{whom} at {}{}", self.service.url, page.unwrap_or_default())
    }
}

impl Ends {
    /// Lines tell of alerts only: nobody is asked for vitals that nobody sees.
    fn open(options: &Options, on_screen: bool) -> Self {
        let (telling, news) = mpsc::channel(NEWS_AHEAD_MAX);
        let (asks, asked) = mpsc::channel(ASKED_MAX);
        let (sites, named) = watch::channel(BTreeSet::new());
        let (service, scope) = (options.service.clone(), options.scope());
        let mut tasks = JoinSet::new();
        tasks.spawn(follow::Alerts::new(service.clone(), scope.clone(), telling.clone()).run());
        if on_screen {
            let vitals = follow::vitals(service.clone(), scope, named, telling.clone());
            tasks.spawn(vitals.map(Ok));
            tasks.spawn(work::run(service, asked, telling).map(Ok));
        }
        Self { news, asks, sites, tasks }
    }

    /// Names those sites, if that is news.
    fn name_sites(&self, sites: BTreeSet<String>) {
        self.sites.send_if_modified(|held| {
            let is_news = *held != sites;
            *held = sites;
            is_news
        });
    }

    /// The error that ended a task. Cancel safe.
    async fn broken(tasks: &mut JoinSet<Result<(), Error>>) -> Error {
        loop {
            match tasks.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(broken)) => return Error::Broke(broken),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Ends all tasks. What was asked for by then is still done, if it does not take too long.
    async fn close(self) -> Result<(), Error> {
        let Self { news, asks, sites, mut tasks } = self;
        drop((news, asks, sites));
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                ended.map_err(Error::Broke)??;
            }
            Ok(())
        };
        tokio::time::timeout(LEAVE_PATIENCE, all).await.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
