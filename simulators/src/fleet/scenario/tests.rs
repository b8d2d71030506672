//! Scenario files: what is wrong is named, what is left out has its default, and the page for testers
//! has every key.

use super::*;

fn check_wrong(text: &str, expected: &str) {
    let scenario = Scenario::parse("ward.toml", text).and_then(Scenario::resolve);
    let error = scenario.expect_err(text).to_string();
    assert!(error.contains(expected), "{text:?}: {error}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
    check_wrong("devcies = 3", "ward.toml:1:1: devcies: unknown key; did you mean devices?");
    check_wrong(
        "seed = 1\n[gateways]\n  uplod_interval = \"1m\"",
        "ward.toml:3:3: gateways.uplod_interval: unknown key; did you mean upload_interval?",
    );
    check_wrong(
        "[[episode]]\nkind = \"fever\"\n[[episode]]\nkind = \"fever\"\npatient = 1",
        "ward.toml:5:1: episode.patient: unknown key; did you mean patients?",
    );
    check_wrong(
        "[faults]\nstorm = 1",
        "ward.toml:2:1: faults.storm: unknown key; did you mean storms?",
    );
    check_wrong("[limits]\nxyz = 1", "known are delay, max_gap, clear_delay, silence");
}

#[test]
fn a_value_that_is_none_is_refused_with_its_place() {
    check_wrong("devices = \"ten\"", "ward.toml:1:11: invalid type: string \"ten\"");
    check_wrong("site = \"a\"\nduration = 60", "ward.toml:2:12: ");
    check_wrong("[[fault]]\nat = \"1s\"\nkind = \"earthquake\"", "ward.toml:3:8: unknown variant");
    check_wrong("devices = ", "ward.toml:1:11: ");
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    check_wrong("site = \"a/b\"", "site: 1 to 48 of");
    check_wrong("devices = 0", "devices: 1 to");
    check_wrong("devices = 10\nrate = 1e9", "take more devices or a lower rate");
    check_wrong("duration = \"0s\"", "duration: longer than 0 s");
    check_wrong("speed = 0", "speed: 0.1 to 1000");
    check_wrong("[faults]\nstorms = 2", "faults.storms: a rate is 0 to 1");
    check_wrong("[limits]\nmax_gap = \"100ms\"", "not shorter than a round");
    check_wrong(
        "[gateways]\nupload_interval = \"1m\"\n[[fault]]\nkind = \"backfill\"\nat = \"1s\"\n\
         for = \"10m\"",
        "might be live or late",
    );
}

/// A text that sets every key.
const EVERYTHING: &str = r#"
site = "icu"
devices = 4
rate = 17.6
duration = "3m"
speed = 2.0
seed = 9
connections = 2
watchers = 3
encoding = "json"
measuring = { every = "2s", slow_rounds = 5, hour = 3.5 }
gateways = { batch = "4s", upload_interval = "1h", buffer_mib = 64, patience = "1m" }
limits = { delay = "3s", max_gap = "4s", clear_delay = "1s", silence = "40s" }
episode = [{ kind = "fever", patients = 0.5, at = "10s", for = "30s", near_miss = true }]
faults = { duplicates = 0.5 }
fault = [{ kind = "storms", at = "20s", for = "1s", rate = 0.5 }]
"#;

#[test]
fn every_key_of_a_scenario_can_be_set_in_its_file() {
    let scenario = Scenario::parse("all.toml", EVERYTHING).expect("good");
    let (set, usual) = (scenario.clone(), Scenario::default());
    let (set, usual) = (serde_json::to_value(set), serde_json::to_value(usual));
    let (set, usual) = (set.expect("plain"), usual.expect("plain"));
    let flat = |value: &serde_json::Value| -> Vec<(String, serde_json::Value)> {
        let tables = value.as_object().expect("a table");
        let keys = tables.iter().flat_map(|(name, value)| match value.as_object() {
            Some(table) => {
                table.iter().map(|(key, it)| (format!("{name}.{key}"), it.clone())).collect()
            }
            None => vec![(name.clone(), value.clone())],
        });
        keys.collect()
    };
    let usual = flat(&usual);
    for (key, value) in flat(&set) {
        let same = usual.iter().find(|(other, _)| *other == key);
        assert!(same.is_none_or(|(_, usual)| *usual != value), "{key} is set to its default");
    }
    let again = serde_json::from_value(serde_json::to_value(&scenario).expect("plain"));
    assert_eq!(scenario, again.expect("the record's scenario is one"));
}

#[test]
fn a_rate_makes_the_interval_of_measuring() {
    let scenario = Scenario { devices: 100, rate: Some(440.0), ..Scenario::default() };
    assert_eq!(scenario.every(), SignedDuration::from_secs(1));
    assert_eq!(Scenario { rate: Some(44.0), ..scenario }.every(), SignedDuration::from_secs(10));
}

#[test]
fn a_fleet_that_is_faster_than_life_is_live_all_the_same() {
    let fast =
        Scenario { speed: 60.0, duration: SignedDuration::from_hours(6), ..Scenario::default() };
    let resolved = fast.resolve().expect("good");
    assert!(resolved.gateways.upload_interval > SignedDuration::from_hours(6));
}

#[test]
fn faults_are_taken_from_a_list() {
    let mut scenario = Scenario::default();
    scenario.take_faults("duplicates=0.25, storms").expect("good");
    let expected = [(FaultKind::Duplicates, 0.25), (FaultKind::Storms, 0.02)];
    assert_eq!(scenario.rates, BTreeMap::from(expected));
    scenario.take_faults("all").expect("good");
    assert_eq!(scenario.rates.len(), FaultKind::ALL.len());
    for (list, why) in [
        ("duplicate=0.1", "\"duplicate\" is no fault; did you mean duplicates?"),
        ("storms=2", "storms: a rate is 0 to 1, as in storms=0.01"),
        ("storms=x", "storms: a rate is 0 to 1"),
    ] {
        let error = scenario.take_faults(list).expect_err(list).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn the_examples_are_scenarios() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(directory).expect("there");
    let mut count = 0;
    for file in files {
        let path = file.expect("there").path();
        let scenario = Scenario::read(&path).and_then(Scenario::resolve);
        scenario.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn the_documentation_names_every_key_fault_and_episode() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulators.md");
    let page = std::fs::read_to_string(page).expect("there");
    let keys = reader::KEYS.iter().flat_map(|(_, keys)| *keys).copied();
    let faults = FaultKind::ALL.into_iter().map(FaultKind::name);
    let episodes = EpisodeKind::ALL.into_iter().map(EpisodeKind::name);
    for name in keys.chain(faults).chain(episodes) {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/simulators.md");
    }
}
