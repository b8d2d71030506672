//! Owns the terminal: draws, reads keys, and puts it back, however this ends.
//!
//! Thin: what is drawn and what keys do stands elsewhere. The terminal is put back when the screen is
//! dropped, and by a hook before a panic is printed, so that it can be read.

use std::collections::BTreeSet;
use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{MissedTickBehavior, interval};

use super::app::{App, Intent};
use super::draw::draw;
use super::work::Ask;
use super::{Ends, Error};
use crate::clock::{Clock as _, SystemClock};

/// News are drawn no oftener than this: sooner than anybody would notice.
const FRAME: Duration = Duration::from_millis(100);
/// Ages grow, and NOT LIVE shows, without any news.
const REDRAW_EVERY: Duration = Duration::from_millis(500);

/// Whether the terminal is ours now. It is put back once: a second time would write over what was
/// said meanwhile.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// A terminal that is ours. Dropping it puts it back.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(put_back_before_panics);
        let opened = Self::take();
        if opened.is_err() {
            // It may have come half of the way.
            put_back();
        }
        opened
    }

    fn take() -> io::Result<Self> {
        IS_OURS.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(Self { terminal: DefaultTerminal::new(CrosstermBackend::new(io::stdout()))? })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        put_back();
    }
}

fn put_back() {
    if IS_OURS.swap(false, Ordering::SeqCst) {
        ratatui::restore();
    }
}

/// Whatever thread breaks down, what it says is to be read.
fn put_back_before_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        put_back();
        before(panic);
    }));
}

/// Shows the ward until somebody leaves or `stop` completes.
pub(super) async fn run(
    ends: &mut Ends,
    scope: String,
    stop: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let mut shown = Shown::open(scope)?;
    let mut keys = EventStream::new();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            Some(news) = ends.news.recv() => {
                shown.app.take(news, Instant::now());
                shown.is_stale = true;
            }
            event = keys.next() => {
                let event = event.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                if shown.event(&event.map_err(Error::Terminal)?, ends)? == Next::Leave {
                    return Ok(());
                }
            }
            _ = frames.tick() => shown.frame(ends)?,
            error = Ends::broken(&mut ends.tasks) => return Err(error),
            stopped = &mut stop => return stopped,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Next {
    GoOn,
    Leave,
}

/// The screen with what it shows.
struct Shown {
    screen: Screen,
    app: App,
    /// Whether something has changed since it was drawn.
    is_stale: bool,
    drawn: Instant,
}

impl Shown {
    fn open(scope: String) -> Result<Self, Error> {
        let now = Instant::now();
        let screen = Screen::open().map_err(Error::Terminal)?;
        let mut shown = Self { screen, app: App::new(scope, now), is_stale: true, drawn: now };
        shown.draw()?;
        Ok(shown)
    }

    fn draw(&mut self) -> Result<(), Error> {
        let (app, now) = (&self.app, Instant::now());
        self.screen.terminal.draw(|frame| draw(frame, app, now)).map_err(Error::Terminal)?;
        (self.is_stale, self.drawn) = (false, now);
        Ok(())
    }

    fn event(&mut self, event: &Event, ends: &Ends) -> Result<Next, Error> {
        if let Event::Key(key) = event
            && key.kind != KeyEventKind::Release
        {
            match self.app.key(*key) {
                Some(Intent::Leave) => return Ok(Next::Leave),
                Some(Intent::Ask(ask)) => self.ask(ask, ends),
                None => {}
            }
        }
        self.draw()?;
        Ok(Next::GoOn)
    }

    fn ask(&mut self, ask: Ask, ends: &Ends) {
        if let Err(TrySendError::Full(ask) | TrySendError::Closed(ask)) = ends.asks.try_send(ask) {
            self.app.busy(&ask);
        }
    }

    fn frame(&mut self, ends: &Ends) -> Result<(), Error> {
        self.app.ward.liveness.look(Instant::now(), SystemClock.now());
        if let Some(ask) = self.app.refresh() {
            self.ask(ask, ends);
        }
        if self.app.ward.liveness.is_present() {
            let sites: BTreeSet<String> = self.app.ward.sites();
            ends.name_sites(sites);
        }
        if self.is_stale || self.drawn.elapsed() >= REDRAW_EVERY {
            self.draw()?;
        }
        Ok(())
    }
}
