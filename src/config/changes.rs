//! What two configurations have different, by key: what a reload changes, and what it leaves.

use std::collections::BTreeMap;

use super::{Config, Violations};

/// By `section.key`, each key that is set.
type Keys = BTreeMap<String, toml::Value>;

impl Config {
    /// The keys that `other` has different, added or not at all, as `section.key`, in order.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let (mine, theirs) = (self.keys(), other.keys());
        let mut changed: Vec<_> = mine
            .keys()
            .chain(theirs.keys())
            .filter(|key| mine.get(*key) != theirs.get(*key))
            .collect();
        // Printed, it shows no password, so that another one does not show either.
        let address = "store.url".to_owned();
        if self.store.url != other.store.url {
            changed.push(&address);
        }
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().cloned().collect()
    }

    /// Whether its parts agree with each other, for one that was put together of others.
    ///
    /// # Errors
    /// Everything that does not; each stands at a place in what [`Config`] prints as.
    pub fn check_anew(&self) -> Result<(), Violations> {
        Self::parse("what would be in force", &self.to_string(), []).map(drop)
    }

    fn keys(&self) -> Keys {
        let mut keys = Keys::new();
        if let Ok(toml::Value::Table(sections)) = toml::Value::try_from(self) {
            flatten("", sections, &mut keys);
        }
        keys
    }
}

fn flatten(prefix: &str, table: toml::Table, keys: &mut Keys) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{name}."), inner, keys),
            value => drop(keys.insert(format!("{prefix}{name}"), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse("test", text, []).expect("valid")
    }

    #[test]
    fn changes_are_named_by_section_and_key() {
        let before = config("[mqtt]\nclient_id = \"a\"\n[store]\nreadings_retention = \"9000h\"\n");
        let after = config("[mqtt]\nclient_id = \"b\"\n[log]\nlevel = \"debug\"\n[mqtt.tls]\n");
        let changed = ["log.level", "mqtt.client_id", "store.readings_retention"];
        assert_eq!(before.changes(&after), changed);
        assert_eq!(after.changes(&before), changed);
        assert_eq!(before.changes(&before.clone()), [""; 0]);
    }

    #[test]
    fn keys_of_sections_in_sections_and_lists_are_told_apart() {
        let before = config("");
        let origins = config("[grpc]\nweb_origins = [\"https://ward.example\"]\n");
        assert_eq!(before.changes(&origins), ["grpc.web_origins"]);
        let tls = "[mqtt]\nurl = \"mqtts://broker\"\n[mqtt.tls]\nca = \"ca.pem\"\n";
        assert_eq!(before.changes(&config(tls)), ["mqtt.tls.ca", "mqtt.url"]);
    }

    #[test]
    fn another_password_is_a_change_though_it_is_never_shown() {
        let with = |password: &str| {
            config(&format!("[store]\nurl = \"postgres://ward:{password}@db/ward\"\n"))
        };
        assert_eq!(with("one").changes(&with("two")), ["store.url"]);
    }

    #[test]
    fn parts_that_do_not_agree_are_found_in_what_was_put_together() {
        let mut config = config("");
        assert_eq!(config.check_anew(), Ok(()));
        config.ingest.reading_age_max = "1h".parse().expect("a period");
        let found = config.check_anew().expect_err("the broker keeps messages for longer");
        assert!(found.to_string().contains("ingest.reading_age_max"), "{found}");
    }
}
