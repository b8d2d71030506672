//! The screen's state: the ward, who is chosen, what lies over it; and what keys do.
//!
//! Pure: keys and news in, what is to be asked of the service out. Whoever is chosen is held by id,
//! so that no row slips under a finger when the order changes; nothing but a key chooses another.

use std::time::Instant;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::News;
use super::dialog::{Dialog, Task};
use super::pages::{self, Page, Subject};
use super::rows::{Place, Row, has_row, rows};
use super::ward::{Change, Ward};
use super::words;
use super::work::{self, Answer, Ask, Refusal};
use crate::proto::v1;

/// As far as PageUp and PageDown go.
const PAGE_STEP: isize = 10;

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(super) struct App {
    /// What is watched, in words.
    pub(super) scope: String,
    pub(super) ward: Ward,
    chosen: Option<Place>,
    /// Of whom is chosen: this alert, while it is open; else the worst.
    alert: Option<String>,
    pub(super) page: Option<Page>,
    /// Whether what the page tells has changed since it was asked for.
    is_page_stale: bool,
    pub(super) over: Option<Over>,
    /// The last thing that was done.
    pub(super) notice: String,
    /// Why no vitals come.
    pub(super) vitals_cut: Option<String>,
}

/// What lies over the ward and wants an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Over {
    /// Something is about to be asked for.
    Dialog(Dialog),
    /// It was refused.
    Refused(work::Change, Refusal),
}

/// What a key leads to, outside of the screen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Intent {
    Leave,
    Ask(Ask),
}

impl App {
    pub(super) fn new(scope: String, now: Instant) -> Self {
        Self {
            scope,
            ward: Ward::new(now),
            chosen: None,
            alert: None,
            page: None,
            is_page_stale: false,
            over: None,
            notice: String::new(),
            vitals_cut: None,
        }
    }

    /// Who is chosen, and where they stand among the rows.
    pub(super) fn chosen(&self, rows: &[Row<'_>]) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        rows.iter().position(|row| row.place == *chosen)
    }

    /// The alert that keys are about: of the row that is chosen.
    pub(super) fn chosen_alert<'w>(&self, row: &Row<'w>) -> Option<&'w v1::Alert> {
        let picked = row.alerts.iter().find(|it| Some(&it.alert_id) == self.alert.as_ref());
        picked.or(row.alerts.first()).copied()
    }

    /// Takes news of the service.
    pub(super) fn take(&mut self, news: News, now: Instant) {
        match news {
            News::Opened => self.ward.liveness.opened(),
            News::Cut(why) => self.ward.liveness.cut(why),
            News::Alerts(message) => {
                if let Change::Alert(id) = self.ward.take(*message, now) {
                    self.is_page_stale |= self.page_subject() == Some(&Subject::Alert(id));
                }
                self.keep_chosen();
            }
            News::Vitals(message) => {
                self.vitals_cut = None;
                self.ward.take_vitals(*message, now);
            }
            News::VitalsCut(why) => self.vitals_cut = Some(why),
            News::Answer(answer) => self.answered(answer),
        }
    }

    fn page_subject(&self) -> Option<&Subject> {
        self.page.as_ref().map(|page| &page.subject)
    }

    /// Somebody is always chosen; once chosen, they stay so while they are there.
    fn keep_chosen(&mut self) {
        if !self.chosen.as_ref().is_some_and(|place| has_row(&self.ward, place)) {
            self.chosen = rows(&self.ward).first().map(|row| row.place.clone());
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Done(change) => {
                self.notice = format!("{} {}", change.what.done(), words::subject(&change.seen));
            }
            Answer::Refused(change, refusal) => self.refused(change, refusal),
            Answer::Story(story) => {
                let id = story.alert.as_ref().map(|alert| alert.alert_id.clone());
                self.fill(Subject::Alert(id.unwrap_or_default()), pages::story(&story));
            }
            Answer::Limits(limits) => {
                let patient = limits.patient_id.clone();
                self.fill(Subject::Limits(patient), pages::limits(&limits));
            }
            Answer::Untold(subject, why) => {
                self.fill(subject, vec![format!("this can't be told now: {why}")]);
            }
        }
    }

    /// Never over a dialog in which somebody types.
    fn refused(&mut self, change: work::Change, refusal: Refusal) {
        let subject = words::subject(&change.seen);
        self.notice = format!("NOT {} {subject}: {}", change.what.done(), refusal.words());
        if !matches!(self.over, Some(Over::Dialog(_))) {
            self.over = Some(Over::Refused(change, refusal));
        }
    }

    fn fill(&mut self, subject: Subject, lines: Vec<String>) {
        if let Some(page) = self.page.as_mut().filter(|page| page.subject == subject) {
            page.lines = lines;
            page.scroll(0);
        }
    }

    /// What is to be asked for because the open page has changed; once.
    pub(super) fn refresh(&mut self) -> Option<Ask> {
        if !std::mem::take(&mut self.is_page_stale) {
            return None;
        }
        match self.page_subject() {
            Some(Subject::Alert(id)) => Some(Ask::Story(id.clone())),
            _ => None,
        }
    }

    /// That nothing more can be asked for now.
    pub(super) fn busy(&mut self, ask: &Ask) {
        match ask {
            Ask::Change(_) => {
                self.notice = "NOT asked for: the service has not answered yet; try again".into();
            }
            Ask::Story(_) => self.is_page_stale = true,
            Ask::Limits(_) => {}
        }
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Intent> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Intent::Leave);
        }
        // A terminal tells a key that follows Esc in haste as one: nobody has meant it so.
        if key.modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        match self.over.take() {
            Some(Over::Dialog(dialog)) => self.key_in_dialog(dialog, key.code),
            // Any key takes it away, and does nothing else: it was meant for what lay below.
            Some(Over::Refused(..)) => None,
            None if self.page.is_some() => self.key_on_page(key.code),
            None => self.key_on_ward(key.code),
        }
    }

    fn key_in_dialog(&mut self, mut dialog: Dialog, key: KeyCode) -> Option<Intent> {
        match key {
            KeyCode::Esc => return None,
            KeyCode::Enter => {
                if let Some(change) = dialog.entered() {
                    let subject = words::subject(&change.seen);
                    self.notice = format!("asking: {} {subject}?", change.what.done());
                    return Some(Intent::Ask(Ask::Change(change)));
                }
            }
            KeyCode::Tab | KeyCode::Down => dialog.next(),
            KeyCode::Backspace => dialog.erased(),
            KeyCode::Char(character) => dialog.typed(character),
            _ => {}
        }
        self.over = Some(Over::Dialog(dialog));
        None
    }

    fn key_on_page(&mut self, key: KeyCode) -> Option<Intent> {
        let page = self.page.as_mut()?;
        match key {
            KeyCode::Down | KeyCode::Char('j') => page.scroll(1),
            KeyCode::Up | KeyCode::Char('k') => page.scroll(-1),
            KeyCode::PageDown => page.scroll(PAGE_STEP),
            KeyCode::PageUp => page.scroll(-PAGE_STEP),
            KeyCode::Home => page.scroll(isize::MIN),
            KeyCode::End => page.scroll(isize::MAX),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?') => self.page = None,
            KeyCode::Char('q') => return Some(Intent::Leave),
            KeyCode::Char(letter) => self.open_dialog(letter),
            _ => {}
        }
        None
    }

    fn key_on_ward(&mut self, key: KeyCode) -> Option<Intent> {
        match key {
            KeyCode::Down | KeyCode::Char('j') => self.choose(1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1),
            KeyCode::PageDown => self.choose(PAGE_STEP),
            KeyCode::PageUp => self.choose(-PAGE_STEP),
            KeyCode::Home => self.choose(isize::MIN),
            KeyCode::End => self.choose(isize::MAX),
            KeyCode::Tab => self.next_alert(),
            KeyCode::Enter => return self.open_story(),
            KeyCode::Char('l') => return self.open_limits(),
            KeyCode::Char('?') => self.page = Some(Page::keys()),
            KeyCode::Char('q') => return Some(Intent::Leave),
            KeyCode::Char(letter) => self.open_dialog(letter),
            _ => {}
        }
        None
    }

    fn choose(&mut self, by: isize) {
        let rows = rows(&self.ward);
        let Some(last) = rows.len().checked_sub(1) else { return };
        let from = self.chosen(&rows).unwrap_or(0);
        let place = rows[from.saturating_add_signed(by).min(last)].place.clone();
        self.chosen = Some(place);
        self.alert = None;
    }

    fn next_alert(&mut self) {
        let rows = rows(&self.ward);
        let Some(row) = self.chosen(&rows).map(|at| &rows[at]) else { return };
        let Some(now) = self.chosen_alert(row) else { return };
        let at = row.alerts.iter().position(|it| it.alert_id == now.alert_id).unwrap_or(0);
        let next = row.alerts[(at + 1) % row.alerts.len()].alert_id.clone();
        self.alert = Some(next);
    }

    /// The alert that keys are about now: that of the open page, else the chosen one.
    fn subject(&self) -> Option<v1::Alert> {
        match self.page_subject() {
            Some(Subject::Alert(id)) => self.ward.alert(id).cloned(),
            Some(_) => None,
            None => {
                let rows = rows(&self.ward);
                self.chosen_alert(&rows[self.chosen(&rows)?]).cloned()
            }
        }
    }

    fn open_dialog(&mut self, letter: char) {
        let task = match letter {
            'a' => Task::Acknowledge,
            'p' => Task::Pause,
            'r' => Task::Reset,
            'n' => Task::Note,
            _ => return,
        };
        match self.subject() {
            Some(alert) => self.over = Some(Over::Dialog(Dialog::new(task, alert))),
            None => self.notice = "there is no open alert here".to_owned(),
        }
    }

    fn open_story(&mut self) -> Option<Intent> {
        let alert = self.subject()?;
        let subject = Subject::Alert(alert.alert_id.clone());
        self.page = Some(Page::waiting(subject, words::subject(&alert)));
        self.is_page_stale = false;
        Some(Intent::Ask(Ask::Story(alert.alert_id)))
    }

    fn open_limits(&mut self) -> Option<Intent> {
        let Some(Place::Patient(patient)) = self.chosen.clone() else { return None };
        let title = format!("limits in force for {patient}");
        self.page = Some(Page::waiting(Subject::Limits(patient.clone()), title));
        Some(Intent::Ask(Ask::Limits(patient)))
    }
}

#[cfg(test)]
mod tests;
