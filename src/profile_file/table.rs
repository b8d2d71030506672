//! Takes keys out of the tables of a parsed file, and remembers where each stood.
//!
//! Asking for a key is what makes it known: a key that nobody has asked for is refused with the
//! nearest one that was. Nothing ends at the first mistake.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{Violation, from_toml, hint, place_in_file};

/// A value with its place in the text.
pub(super) type Item<'i> = Spanned<DeValue<'i>>;

/// The text, where its keys stand, and what was wrong with it so far.
pub(super) struct Source<'t> {
    file: &'t str,
    text: &'t str,
    violations: Vec<Violation>,
    /// Byte offsets of keys and tables by their path.
    places: BTreeMap<String, usize>,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, violations: Vec::new(), places: BTreeMap::new() }
    }

    /// Notes what is wrong with `path`, at its place or that of the nearest table around it.
    pub(super) fn refuse(&mut self, path: &str, problem: impl Into<String>) {
        let around = std::iter::successors(Some(path), |path| {
            path.rfind(['.', '[']).map(|end| &path[..end])
        });
        let offset = around.into_iter().find_map(|path| self.places.get(path));
        self.violations.push(Violation {
            place: place_in_file(self.file, self.text, offset.copied().unwrap_or(0)),
            subject: path.to_owned(),
            problem: problem.into(),
        });
    }

    pub(super) fn violations(self) -> Vec<Violation> {
        self.violations
    }
}

/// A table that is being read.
pub(super) struct Table<'s, 't, 'i> {
    source: &'s mut Source<'t>,
    path: String,
    entries: BTreeMap<String, (usize, Item<'i>)>,
    known: Vec<&'static str>,
}

impl<'s, 't, 'i> Table<'s, 't, 'i> {
    /// Reads the table at `path` as a whole: what `read` has not asked for is refused.
    pub(super) fn read<T>(
        source: &'s mut Source<'t>,
        path: String,
        table: DeTable<'i>,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let entry = |(key, value): (Spanned<_>, _)| {
            let at = key.span().start;
            let name: std::borrow::Cow<'_, str> = key.into_inner();
            (name.into_owned(), (at, value))
        };
        let entries = table.into_iter().map(entry).collect();
        let mut table = Self { source, path, entries, known: Vec::new() };
        let found = read(&mut table);
        table.refuse_unknown();
        found
    }

    fn refuse_unknown(&mut self) {
        for (key, (at, _)) in std::mem::take(&mut self.entries) {
            let path = self.key(&key);
            self.source.places.insert(path.clone(), at);
            let hint = hint(&key, self.known.iter().copied());
            self.source.refuse(&path, format!("unknown key{hint}"));
        }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Goes by another path from now on, such as one that names the rule by its id.
    pub(super) fn rename(&mut self, path: String) {
        for key in ["".to_owned()].into_iter().chain(self.known.iter().map(|it| format!(".{it}"))) {
            if let Some(at) = self.source.places.get(&format!("{}{key}", self.path)).copied() {
                self.source.places.insert(format!("{path}{key}"), at);
            }
        }
        self.path = path;
    }

    /// Gives up on the keys that were not asked for: what they mean cannot be known.
    pub(super) fn ignore_the_rest(&mut self) {
        self.entries.clear();
    }

    pub(super) fn refuse<T>(&mut self, key: &str, problem: impl Into<String>) -> Option<T> {
        let path = self.key(key);
        self.source.refuse(&path, problem);
        None
    }

    fn take(&mut self, key: &'static str) -> Option<Item<'i>> {
        self.known.push(key);
        let (at, value) = self.entries.remove(key)?;
        self.source.places.insert(self.key(key), at);
        Some(value)
    }

    /// The outer `None`: wrong, and noted; the inner one: not there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Item<'i>) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.take(key).map(read) {
            None => Some(None),
            Some(Ok(value)) => Some(Some(value)),
            Some(Err(problem)) => self.refuse(key, problem),
        }
    }

    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Item<'i>) -> Result<T, String>,
    ) -> Option<T> {
        match self.optional(key, read)? {
            Some(value) => Some(value),
            None => self.refuse(key, "required"),
        }
    }

    /// The value, or what its absence means.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Item<'i>) -> Result<T, String>,
        otherwise: T,
    ) -> Option<T> {
        Some(self.optional(key, read)?.unwrap_or(otherwise))
    }

    /// The table in `key`, if there is one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_, 't, 'i>) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(item) = self.take(key) else { return Some(None) };
        let path = self.key(key);
        self.inner(path, item, read).map(Some)
    }

    /// All tables in the list `key`; none if it is not there. Every one is tried.
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Table<'_, 't, 'i>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(item) = self.take(key) else { return Some(Vec::new()) };
        let DeValue::Array(items) = item.into_inner() else {
            return self.refuse(key, "not a list of tables");
        };
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{}[{index}]", self.key(key));
            self.source.places.insert(path.clone(), item.span().start);
            found.push(self.inner(path, item, &read));
        }
        found.into_iter().collect()
    }

    fn inner<T>(
        &mut self,
        path: String,
        item: Item<'i>,
        read: impl FnOnce(&mut Table<'_, 't, 'i>) -> Option<T>,
    ) -> Option<T> {
        match item.into_inner() {
            DeValue::Table(table) => Table::read(self.source, path, table, read),
            _ => {
                self.source.refuse(&path, "not a table");
                None
            }
        }
    }
}

/// A value of one of serde's plain kinds.
pub(super) fn plain<T: DeserializeOwned>(item: Item<'_>) -> Result<T, String> {
    from_toml(item)
}

/// A value that goes by a name.
pub(super) fn named<T>(
    names: impl Iterator<Item = &'static str>,
    find: impl FnOnce(&str) -> Option<T>,
) -> impl FnOnce(Item<'_>) -> Result<T, String> {
    move |item| {
        let name: String = from_toml(item)?;
        find(&name).ok_or_else(|| format!("{name:?} is not known{}", hint(&name, names)))
    }
}
