//! Every version of a profile that was ever put can be read again, of each scope.

use std::time::Duration;

use pulseward::engine::output::{Output, ProfileRow, RegistryChange};
use pulseward::engine::profile::{Profile, Rule, RuleKind, Scope};
use pulseward::store::{HistoryError, open_history};
use pulseward::vitals::{PatientKey, RuleId, SiteKey};

use super::on_both;
use super::stand::{Running, Source, Store, noon, registry};

const SCOPES: [Scope; 4] = [
    Scope::Default,
    Scope::Site(SiteKey(0)),
    Scope::Patient(PatientKey(0)),
    Scope::Patient(PatientKey(1)),
];

fn put(scope: Scope, version: u32) -> ProfileRow {
    let rule = format!("rule-{version}");
    let rule = Rule::new(RuleId::new(&rule).expect("an id"), RuleKind::Off);
    ProfileRow {
        scope,
        version,
        profile: Profile { rules: vec![rule] },
        put_at: noon().plus(Duration::from_secs(u64::from(version))),
        put_by: format!("nora {version}"),
    }
}

on_both! {
    async fn every_version_of_a_profile_is_read_as_it_was_put(store: Store) {
        let mut source = Source::new();
        let mut running = Running::start(store.settings(), &source.journal);
        let change = |row| Output::Registry(Box::new(RegistryChange::Profile(row)));
        let mut entries = vec![registry()];
        for version in 1..=3 {
            let rows = SCOPES[..3].iter().map(|scope| put(*scope, version));
            entries.push(rows.map(change).collect());
        }
        running.stored(source.commit(entries)).await;
        let history = open_history(&store.settings());
        for scope in &SCOPES[..3] {
            for version in 1..=3 {
                let found = history.profile(*scope, version).await;
                assert_eq!(found, Ok(put(*scope, version)));
            }
            let found = history.profile(*scope, 4).await;
            assert_eq!(found, Err(HistoryError::UnknownProfile));
        }
        let of_nobody = history.profile(SCOPES[3], 1).await;
        assert_eq!(of_nobody, Err(HistoryError::UnknownProfile));
    }
}
