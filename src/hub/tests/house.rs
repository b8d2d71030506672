//! A hub on a real journal, what is journaled for it, and what its watchers are told in words.

use super::*;

pub(crate) struct House {
    pub(crate) journal: Journal,
    pub(crate) writer: Writer,
    pub(crate) position: Position,
    pub(crate) hub: Handle,
    pub(crate) ingest_connected: watch::Receiver<bool>,
    pub(crate) running: tokio::task::JoinHandle<Result<(), journal::Error>>,
    _dir: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let opened = journal::open(&Settings::new(dir.path().join("journal"))).unwrap();
        let (hub, handle) = Hub::new(
            &opened.journal,
            Position::START,
            Snapshot::default(),
            Arc::default(),
            Arc::new(SystemClock),
        )
        .unwrap();
        let ingest_connected = hub.ingest_connected();
        let running = tokio::spawn(hub.run());
        let (journal, writer) = (opened.journal, opened.writer);
        let (position, hub) = (Position::START, handle);
        Self { journal, writer, position, hub, ingest_connected, running, _dir: dir }
    }

    /// Journals one entry with these events.
    pub(crate) fn journal(&mut self, events: &[(u8, Phase, Priority, Option<Priority>)]) {
        self.say(events.iter().map(|event| tell(event_of(*event))).collect());
    }

    /// Journals one entry with these outputs.
    pub(crate) fn say(&mut self, outputs: Vec<Output>) {
        let publish = Publish {
            topic: "t".to_owned(),
            payload: Bytes::new(),
            encoding: None,
            correlation: None,
            retained: false,
        };
        self.commit(Event::Publish(publish), outputs);
    }

    pub(crate) fn commit(&mut self, event: Event, outputs: Vec<Output>) {
        self.position = self.position.next();
        let input = Input { received_at: now(), event };
        let entry = Entry { position: self.position, input, outputs };
        self.writer.commit(vec![Record::new(Arc::new(entry))]).unwrap();
    }

    /// The way in for watchers.
    pub(crate) fn handle(&self) -> Handle {
        self.hub.clone()
    }

    pub(crate) fn watch(&self, filter: Filter, after: Option<OutputId>) -> Watch {
        self.hub.watch(filter, after).unwrap()
    }
}

/// A hub that does not run, on an empty journal, for tests of what stands before it.
pub(crate) fn idle() -> Handle {
    let dir = TempDir::new().unwrap();
    let opened = journal::open(&Settings::new(dir.path().join("journal"))).unwrap();
    let clock = Arc::new(SystemClock);
    Hub::new(&opened.journal, Position::START, Snapshot::default(), Arc::default(), clock)
        .unwrap()
        .1
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_000_000)
}

pub(crate) fn event_of(
    (patient, phase, priority, priority_before): (u8, Phase, Priority, Option<Priority>),
) -> AlertEvent {
    let quantity = Quantity::whole(100);
    let is_over = matches!(phase, Phase::End | Phase::Close);
    let alert = Alert {
        id: AlertId(Uuid::from_u128(u128::from(patient))),
        kind: AlertKind::Physiological,
        patient: Some(patient_of(patient)),
        patient_key: Some(PatientKey(u32::from(patient))),
        site: Some(site_of(patient)),
        device: Some(DeviceId::new("d").unwrap()),
        rule: RuleId::new("hr").unwrap(),
        rule_version: 1,
        scope: Scope::Default,
        vital: Some(Vital::HeartRate),
        limit: Some(quantity),
        score: None,
        priority,
        condition: if is_over { Condition::Inactive } else { Condition::Active },
        signal: if is_over { Signal::Off } else { Signal::On },
        onset: now(),
        raised_at: now(),
        ended_at: None,
        retrospective: false,
        delayed: false,
        unconfirmed: false,
        escalation_level: 0,
        assignee: None,
        covered: 0,
        revision: 1,
        risen_in: 1,
    };
    AlertEvent {
        phase,
        determined_at: now(),
        trigger: Trigger::Timer,
        priority_before,
        actor: None,
        note: None,
        alert,
    }
}

pub(crate) fn tell(event: AlertEvent) -> Output {
    Output::Alert(Box::new(event))
}

/// An alert that no patient has: of a gateway, or of the service itself.
pub(crate) fn technical(phase: Phase, site: Option<SiteId>) -> Output {
    let AlertEvent { alert, .. } = event_of(start(0));
    let id = AlertId(Uuid::from_u128(if site.is_some() { 1000 } else { 1001 }));
    let event = event_of((0, phase, Priority::Medium, None));
    let (condition, signal) = (event.alert.condition, event.alert.signal);
    let alert = Alert {
        id,
        kind: AlertKind::Technical,
        patient: None,
        patient_key: None,
        site,
        vital: None,
        limit: None,
        condition,
        signal,
        ..alert
    };
    tell(AlertEvent { alert, ..event })
}

pub(crate) fn monitoring(number: u8, state: MonitoringState) -> MonitoringChange {
    MonitoringChange {
        patient: patient_of(number),
        patient_key: PatientKey(u32::from(number)),
        site: site_of(number),
        state,
        since: now(),
        moved_from: None,
    }
}

pub(crate) fn watch_over(number: u8, state: MonitoringState) -> Output {
    Output::Monitoring(Box::new(monitoring(number, state)))
}

/// `patient` is `None` for an erasure that is told again to who has forgotten whose it was.
pub(crate) fn erased(number: u8, patient: Option<PatientId>) -> Output {
    let key = PatientKey(u32::from(number));
    Output::Erased(Box::new(Erased {
        patient,
        site: site_of(number),
        tombstone: PatientRow {
            key,
            id: PatientId::erased(key),
            site: SiteKey(0),
            created_at: now(),
            eligibility: Eligibility::default(),
            paused_until: None,
        },
        requested_by: "anna".to_owned(),
        worn: Vec::new(),
    }))
}

pub(crate) fn patient_of(number: u8) -> PatientId {
    PatientId::new(&format!("p{number}")).unwrap()
}

pub(crate) fn site_of(number: u8) -> SiteId {
    SiteId::new(if number < 100 { "north" } else { "south" }).unwrap()
}

pub(crate) fn everything() -> Filter {
    Filter::everything(Sites::All)
}

pub(crate) const START: Phase = Phase::Start;
pub(crate) const END: Phase = Phase::End;

pub(crate) fn start(patient: u8) -> (u8, Phase, Priority, Option<Priority>) {
    (patient, START, Priority::Medium, None)
}

pub(crate) fn end(patient: u8) -> (u8, Phase, Priority, Option<Priority>) {
    (patient, END, Priority::Medium, Some(Priority::Medium))
}

/// Whom an alert is about, in a word.
pub(crate) fn subject(alert: &Alert) -> String {
    match (&alert.patient, &alert.site) {
        (Some(patient), _) => patient.to_string(),
        (None, Some(site)) => format!("gateway@{site}"),
        (None, None) => "service".to_owned(),
    }
}

pub(crate) fn watched(change: &MonitoringChange) -> String {
    format!("{}:{}", change.patient, change.state.name())
}

pub(crate) fn word(event: &EventRef) -> String {
    match &event.change {
        Change::Alert(event) => format!("{} {}", event.phase.name(), subject(&event.alert)),
        Change::Monitoring(change) => watched(change),
        Change::Left(left) => format!("left {}", left.patient),
    }
}

/// Reads updates up to and including the `count`-th event, in short words.
pub(crate) async fn told(watch: &mut Watch, count: usize) -> (Vec<String>, OutputId) {
    let mut words = Vec::new();
    let mut events = 0;
    let mut after = OutputId::default();
    while events < count {
        let next = tokio::time::timeout(Duration::from_secs(10), watch.next());
        match next.await.expect("an update is due").unwrap().expect("the hub runs") {
            Update::Snapshot { standing, .. } => {
                let alerts = standing.alerts.iter().map(|alert| subject(alert));
                let patients = standing.patients.iter().map(|change| watched(change));
                let stands: Vec<_> = alerts.chain(patients).collect();
                words.push(format!("[{}]", stands.join(" ")));
            }
            Update::Live { last } => {
                after = last;
                words.push("live".to_owned());
                events += usize::from(count == 1 && words.len() > 1 && words[0].starts_with('['));
            }
            Update::Event(event) => {
                after = event.id;
                events += 1;
                words.push(word(&event));
            }
            Update::Heartbeat(_) => {}
        }
    }
    (words, after)
}
