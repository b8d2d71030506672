//! The documents, as far as a program can tell whether they are true: every link leads somewhere, and
//! every command of ours in them is one that the program understands.
//!
//! What the commands do is tried by the tests of each document; here they only have to parse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use pulseward::cli::Arguments;
use pulseward::config::Config;

/// Each document with its text, by its path from the root of the repository.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut paths = vec![PathBuf::from("README.md")];
    let mut directories = vec![PathBuf::from("docs")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("read") {
            let path = entry.expect("read").path();
            if path.is_dir() && !path.ends_with("node_modules") {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                paths.push(path);
            }
        }
    }
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("read"));
    paths.into_iter().map(read).collect()
}

/// The lines of a document outside of code blocks, or inside of them.
fn lines(text: &str, inside: bool) -> Vec<&str> {
    let mut is_inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_inside = !is_inside;
        } else if is_inside == inside {
            lines.push(line);
        }
    }
    lines
}

/// Where `[text](target)` leads, each in a line.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in lines(text, false) {
        for (start, _) in line.match_indices("](") {
            let rest = &line[start + 2..];
            targets.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    targets
}

/// The anchors that a page's headings make: small letters, hyphens for spaces, no punctuation.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text, false).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|it| it.is_alphanumeric() || "-_".contains(*it)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut broken = Vec::new();
    for (path, text) in &documents {
        for link in links(text).into_iter().filter(|link| !link.contains("://")) {
            if let Err(why) = follow(path, &link, &documents) {
                broken.push(format!("{}: {link}: {why}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(documents.len() > 10, "the documents were found");
}

fn follow(from: &Path, link: &str, documents: &BTreeMap<PathBuf, String>) -> Result<(), String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let directory = from.parent().expect("a file stands somewhere");
    let path = if file.is_empty() { from.to_owned() } else { directory.join(file) };
    let path = normal(&path);
    if !path.exists() {
        return Err("no such file".to_owned());
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = documents.get(&path).ok_or("only documents have headings")?;
    if anchors(text).contains(anchor) { Ok(()) } else { Err("no such heading".to_owned()) }
}

/// Without `..`, so that it is found among the others.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            normal.pop();
        } else {
            normal.push(part);
        }
    }
    normal
}

/// How our program is called in documents.
const CALLS: [&str; 3] = ["pulseward ", "cargo run --release -- ", "sudo -u pulseward pulseward "];

/// The commands of ours in a document's code blocks, each in words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = lines(text, true).join("\n").replace("\\\n", " ");
    let calls = joined.lines().filter_map(|line| {
        let line = line.trim();
        CALLS.iter().find_map(|call| line.strip_prefix(call))
    });
    calls.map(words).collect()
}

/// As a shell would take it apart, up to where another command or a comment begins.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in command.split_whitespace() {
        if ["|", "&&", ";", ">", "<", "2>"].contains(&word) || word.starts_with('#') {
            break;
        }
        if word.ends_with('…') {
            // A value that is too long to be printed: its option is left out with it.
            words.pop();
            continue;
        }
        words.push(word.trim_matches(['"', '\'']).to_owned());
    }
    words
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_understands() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (path, text) in documents() {
        for command in commands(&text) {
            count += 1;
            let words = std::iter::once("pulseward").chain(command.iter().map(String::as_str));
            if let Err(error) = Arguments::try_parse_from(words) {
                let why = error.to_string();
                let why = why.lines().next().unwrap_or_default();
                wrong.push(format!("{}: pulseward {}: {why}", path.display(), command.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 10, "{count} commands were found");
}

/// The values of a key of a systemd unit, in order.
fn values<'t>(unit: &'t str, key: &str) -> Vec<&'t str> {
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.collect()
}

/// What `docs/operations.md` says under this mark: the commands, and what they add to the unit.
fn once<'t>(page: &'t str, mark: &str) -> (&'t str, &'t str) {
    let (_, rest) = page.split_once(&format!("<!-- unit: {mark} -->\n```sh\n")).expect("a block");
    let (block, _) = rest.split_once("```").expect("a block ends");
    let (_, rest) = block.split_once("<<'UNIT'\n").expect("a drop-in");
    let (added, _) = rest.split_once("\nUNIT\n").expect("a drop-in ends");
    (block, added)
}

#[test]
fn what_is_done_once_is_done_by_the_unit_that_is_shipped() {
    let unit = std::fs::read_to_string("deploy/pulseward.service").expect("read");
    let page = std::fs::read_to_string("docs/operations.md").expect("read");
    let serve = values(&unit, "ExecStart");
    let (program, options) = serve[0].split_once(" serve ").expect("it serves");
    for (mark, command) in [("accept-gap", " serve "), ("restore", " restore ")] {
        let (block, added) = once(&page, mark);
        assert!(block.contains("/run/systemd/system/pulseward.service.d/once.conf"), "{mark}");
        // Without the first, empty one there would be two commands.
        let ["", called] = values(added, "ExecStart")[..] else { panic!("{mark}: {added}") };
        let words = called.strip_prefix(program).expect("the program of the unit");
        assert!(called.contains(command) && called.contains(options), "{mark}: {called}");
        for words in [words.to_owned(), words.replace(" --report", " --yes --report")] {
            let words = std::iter::once("pulseward").chain(words.split_whitespace());
            Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{mark}: {error}"));
        }
        for kept in ["User", "LoadCredential", "StateDirectory", "WorkingDirectory"] {
            assert!(values(added, kept).is_empty(), "{mark} changes {kept}");
        }
    }
    let (block, _) = once(&page, "restore");
    let (directory, journal) = (values(&unit, "StateDirectory"), Config::default().journal.dir);
    let journal = Path::new("/var/lib").join(directory[0]).join(journal);
    assert!(block.contains(&format!("sudo mv {0} {0}.lost", journal.display())), "{block}");
}

#[test]
fn what_is_linked_or_called_wrongly_is_noticed() {
    let documents = BTreeMap::from([(PathBuf::from("README.md"), "# A page, here\n".to_owned())]);
    let from = Path::new("README.md");
    assert_eq!(follow(from, "#a-page-here", &documents), Ok(()));
    assert!(follow(from, "#nowhere", &documents).is_err());
    assert!(follow(from, "docs/nowhere.md", &documents).is_err());
    let text = "```sh\npulseward restore --config x.toml \\\n    --from-shop  # wrong\n```\n";
    let called = commands(text);
    assert_eq!(called, [["restore", "--config", "x.toml", "--from-shop"]]);
    assert!(Arguments::try_parse_from(["pulseward", "restore", "--from-shop"]).is_err());
}
