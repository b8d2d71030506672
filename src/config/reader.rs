//! Takes keys out of a parsed file and the environment, and remembers where each stood.
//!
//! Asking for a key is what makes it known: a key that nobody has asked for by
//! [`Reader::finish`] is refused, and there is no second list of keys to keep in step. Nothing ends
//! at the first mistake; each is kept, and a default takes the value's place meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something that is wrong with the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `file:line:column`, or `environment variable NAME`.
    pub place: String,
    /// `section.key`, `[section]`, or empty when the text is not TOML.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.as_str() {
            "" => write!(f, "{}: {}", self.place, self.problem),
            subject => write!(f, "{}: {subject}: {}", self.place, self.problem),
        }
    }
}

/// Everything that is wrong with the configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// What begins the name of an environment variable of ours.
const VARIABLE_PREFIX: &str = "PULSEWARD_";
/// What stands between section and key in it; names without it are not about the configuration.
const VARIABLE_SEPARATOR: &str = "__";

/// `section` and `key`.
type Name = (String, String);

/// What a key is set to.
enum Value<'i> {
    InFile(Spanned<DeValue<'i>>),
    InVariable(OsString),
}

/// The unread keys, and what was wrong so far.
pub(super) struct Reader<'i> {
    unread: BTreeMap<Name, Value<'i>>,
    /// Where every key that is set stands, and every section.
    places: BTreeMap<Name, String>,
    /// What has been asked for.
    known: Vec<(&'static str, &'static str)>,
    violations: Vec<Violation>,
}

impl<'i> Reader<'i> {
    /// Reads a file's text and the environment.
    ///
    /// # Errors
    /// When the text is not TOML. What else is wrong comes with [`Reader::finish`].
    pub(super) fn new(
        file: &str,
        text: &'i str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Violations> {
        let mut reader = Self {
            unread: BTreeMap::new(),
            places: BTreeMap::new(),
            known: Vec::new(),
            violations: Vec::new(),
        };
        let place = |span: Range<usize>| place_in_file(file, text, span.start);
        reader.take_file(parse_toml(file, text)?, &place);
        reader.take_environment(environment);
        Ok(reader)
    }

    fn take_file(&mut self, sections: DeTable<'i>, place: &dyn Fn(Range<usize>) -> String) {
        for (name, content) in sections {
            let section_place = place(name.span());
            let section = name.into_inner().into_owned();
            match content.into_inner() {
                DeValue::Table(keys) => {
                    self.places.insert((section.clone(), String::new()), section_place);
                    self.take_section(&section, keys, place);
                }
                _ => self.violations.push(Violation {
                    place: section_place,
                    subject: section,
                    problem: "stands outside of a section, such as [mqtt]".to_owned(),
                }),
            }
        }
    }

    /// A table in a section is a section of its own, such as `mqtt.tls`.
    fn take_section(
        &mut self,
        section: &str,
        keys: DeTable<'i>,
        place: &dyn Fn(Range<usize>) -> String,
    ) {
        for (key, value) in keys {
            let key_place = place(key.span());
            if let DeValue::Table(_) = value.get_ref() {
                let DeValue::Table(keys) = value.into_inner() else { continue };
                let section = format!("{section}.{}", key.get_ref());
                self.places.insert((section.clone(), String::new()), key_place);
                self.take_section(&section, keys, place);
            } else {
                let name = (section.to_owned(), key.get_ref().to_string());
                self.places.insert(name.clone(), key_place);
                self.unread.insert(name, Value::InFile(value));
            }
        }
    }

    fn take_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        for (variable, value) in environment {
            let Some(variable) = variable.to_str() else { continue };
            let Some((section, key)) = variable
                .strip_prefix(VARIABLE_PREFIX)
                .and_then(|rest| rest.rsplit_once(VARIABLE_SEPARATOR))
            else {
                continue;
            };
            let section = section.replace(VARIABLE_SEPARATOR, ".");
            let name = (section.to_ascii_lowercase(), key.to_ascii_lowercase());
            self.places.insert(name.clone(), format!("environment variable {variable}"));
            self.unread.insert(name, Value::InVariable(value));
        }
    }

    /// The value of a key, or the default where it is not set.
    pub(super) fn or<T: DeserializeOwned>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
    ) -> T {
        self.optional(section, key).unwrap_or(default)
    }

    /// The value of a key, if it is set.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        section: &'static str,
        key: &'static str,
    ) -> Option<T> {
        self.known.push((section, key));
        let value = match self.unread.remove(&(section.to_owned(), key.to_owned()))? {
            Value::InFile(value) => from_toml(value),
            Value::InVariable(text) => from_variable(text),
        };
        value.map_err(|problem| self.refuse(section, key, problem)).ok()
    }

    /// Notes that the value of a key can't be.
    pub(super) fn refuse(
        &mut self,
        section: &'static str,
        key: &'static str,
        problem: impl Into<String>,
    ) {
        let place = self.places.get(&(section.to_owned(), key.to_owned()));
        self.violations.push(Violation {
            place: place.cloned().unwrap_or_else(|| "default".to_owned()),
            subject: format!("{section}.{key}"),
            problem: problem.into(),
        });
    }

    /// The keys that were asked for.
    #[cfg(test)]
    pub(super) fn known(&self) -> &[(&'static str, &'static str)] {
        &self.known
    }

    /// Refuses what nobody has asked for.
    ///
    /// # Errors
    /// Everything that was wrong.
    pub(super) fn finish(mut self) -> Result<(), Violations> {
        self.refuse_unknown_sections();
        self.refuse_unknown_keys();
        if self.violations.is_empty() { Ok(()) } else { Err(Violations(self.violations)) }
    }

    fn refuse_unknown_sections(&mut self) {
        for ((section, key), place) in &self.places {
            if key.is_empty() && !self.knows_section(section) {
                let sections = self.known.iter().map(|(section, _)| *section);
                self.violations.push(Violation {
                    place: place.clone(),
                    subject: format!("[{section}]"),
                    problem: format!("unknown section{}", hint(section, sections)),
                });
            }
        }
    }

    /// Keys of an unknown section in the file are covered by the section itself.
    fn refuse_unknown_keys(&mut self) {
        for (name, value) in &self.unread {
            let (section, key) = name;
            if self.knows_section(section) {
                self.violations.push(self.unknown(name, self.hint_for(section, key)));
            } else if let Value::InVariable(_) = value {
                let sections = self.known.iter().map(|(section, _)| *section);
                let hint = hint(section, sections);
                self.violations.push(self.unknown(name, format!(" in an unknown section{hint}")));
            }
        }
    }

    fn unknown(&self, name: &Name, hint: String) -> Violation {
        let (section, key) = name;
        Violation {
            place: self.places[name].clone(),
            subject: format!("{section}.{key}"),
            problem: format!("unknown key{hint}"),
        }
    }

    fn knows_section(&self, section: &str) -> bool {
        self.known.iter().any(|(known, _)| *known == section)
    }

    /// A key that another section has is more likely misplaced than misspelt.
    fn hint_for(&self, section: &str, key: &str) -> String {
        if let Some((elsewhere, _)) = self.known.iter().find(|(_, known)| *known == key) {
            return format!("; it belongs into [{elsewhere}]");
        }
        let here = self.known.iter().filter(|(known, _)| *known == section).map(|(_, key)| *key);
        hint(key, here)
    }
}

/// Unlike names are no help: "did you mean" is said from this likeness (of 0 to 1) on.
const LIKENESS_MIN: f64 = 0.5;

/// The known name most like `unknown`, or where none is, all of them.
pub(crate) fn hint(unknown: &str, known: impl Iterator<Item = &'static str>) -> String {
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    known.dedup();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(unknown, name);
    match known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(nearest) if likeness(nearest) >= LIKENESS_MIN => format!("; did you mean {nearest}?"),
        _ => format!("; known are {}", known.join(", ")),
    }
}

/// The tables of a TOML text, which errors call `file`.
pub(crate) fn parse_toml<'i>(file: &str, text: &'i str) -> Result<DeTable<'i>, Violations> {
    let (sections, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(sections.into_inner());
    }
    let violation = |error: toml::de::Error| Violation {
        place: place_in_file(file, text, error.span().unwrap_or_default().start),
        subject: String::new(),
        problem: error.message().to_owned(),
    };
    Err(Violations(errors.into_iter().map(violation).collect()))
}

/// A value of one of serde's kinds, or what is wrong with it.
pub(crate) fn from_toml<T: DeserializeOwned>(value: Spanned<DeValue<'_>>) -> Result<T, String> {
    T::deserialize(value.into_deserializer()).map_err(|error| error.message().to_owned())
}

/// A client id of `123` is a string though TOML would call it a number, so a text that does not
/// fit as TOML is tried as it stands.
fn from_variable<T: DeserializeOwned>(text: OsString) -> Result<T, String> {
    let text = text.into_string().map_err(|_| "is not UTF-8".to_owned())?;
    let as_text = || {
        T::deserialize(text.as_str().into_deserializer())
            .map_err(|error: serde::de::value::Error| error.to_string())
    };
    match DeValue::parse(&text) {
        Ok(value) => from_toml(value).or_else(|problem| as_text().map_err(|_| problem)),
        Err(_) => as_text(),
    }
}

/// Line and column count from 1; columns are characters.
pub(crate) fn place_in_file(file: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let line_from = before.rfind('\n').map_or(0, |newline| newline + 1);
    format!("{file}:{line}:{}", before[line_from..].chars().count() + 1)
}
