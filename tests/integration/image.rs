//! What the images are built from, on a machine that builds none: `.dockerignore` lets through every
//! file that the sources, the build scripts and the `Dockerfile` read, and nothing that is secret.

use std::path::{Component, Path, PathBuf};

/// Whose sources are compiled into the images, with their build scripts.
const PACKAGES: [&str; 2] = ["", "simulators"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of `.dockerignore`: what each names, and whether it lets that through.
struct Ignored(Vec<(Vec<String>, bool)>);

impl Ignored {
    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rule = |line: &str| {
            let pattern = line.strip_prefix('!').unwrap_or(line);
            (pattern.split('/').map(str::to_owned).collect(), line.starts_with('!'))
        };
        Self(lines.map(rule).collect())
    }

    /// The last line that names it, or a directory above it, decides.
    fn lets_through(&self, path: &Path) -> bool {
        let parts: Vec<_> = path.iter().map(|part| part.to_str().expect("a plain name")).collect();
        let names = |pattern: &[String]| (1..=parts.len()).any(|end| fits(pattern, &parts[..end]));
        let decides = self.0.iter().rev().find(|(pattern, _)| names(pattern));
        decides.is_none_or(|(_, is_let_through)| *is_let_through)
    }
}

fn fits(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((any, rest)), _) if any == "**" => (0..=path.len()).any(|at| fits(rest, &path[at..])),
        (Some((one, pattern)), Some((name, path))) => fits_name(one, name) && fits(pattern, path),
        _ => false,
    }
}

fn fits_name(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            let is_long_enough = name.len() >= start.len() + end.len();
            is_long_enough && name.starts_with(start) && name.ends_with(end)
        }
    }
}

/// Without `..`, from the root of the repository.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(normal.pop(), "{} is outside", path.display()),
            part => normal.push(part),
        }
    }
    normal
}

/// Every source of a directory, but for those that hold tests alone.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(directory)).expect("a directory") {
        let path = directory.join(entry.expect("an entry").file_name());
        if path.ends_with("tests") || path.ends_with("tests.rs") {
            continue;
        }
        if root().join(&path).is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found
}

/// The texts in quotes behind each `mark`.
fn quoted_behind<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    let behind = text.match_indices(mark).map(|(at, _)| &text[at + mark.len()..]);
    behind.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

/// What the compiler reads beside the sources: of each path, who reads it. Unit tests stand last in
/// their file, and are not compiled.
fn included() -> Vec<(PathBuf, PathBuf)> {
    let mut read = Vec::new();
    for source in PACKAGES.iter().flat_map(|package| sources(&Path::new(package).join("src"))) {
        let text = text(&source);
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().expect("a piece");
        for mark in ["include_str!(", "include_bytes!(", "include!(", "include_dir!("] {
            for path in quoted_behind(code, mark) {
                let directory = source.parent().expect("a file stands somewhere");
                read.push((normal(&directory.join(path)), source.clone()));
            }
        }
    }
    read
}

/// What a build script names that is there.
fn built() -> Vec<(PathBuf, PathBuf)> {
    let mut read = Vec::new();
    for package in PACKAGES.map(Path::new) {
        let script = package.join("build.rs");
        for named in text(&script).split('"').skip(1).step_by(2) {
            let path = package.join(named);
            if !named.is_empty() && root().join(&path).exists() {
                read.push((normal(&path), script.clone()));
            }
        }
    }
    read
}

/// What the manifest names as a target: Cargo builds nothing where one of them is missing.
fn declared() -> Vec<(PathBuf, PathBuf)> {
    let manifest: toml::Table = toml::from_str(&text("Cargo.toml")).expect("TOML");
    let benches = manifest["bench"].as_array().expect("benchmarks").iter();
    let names = benches.map(|bench| bench["name"].as_str().expect("a name"));
    let main = |name| (Path::new("benches").join(name).join("main.rs"), "Cargo.toml".into());
    names.map(main).collect()
}

/// What the `Dockerfile` copies out of the repository.
fn copied() -> Vec<(PathBuf, PathBuf)> {
    let text = text("Dockerfile");
    let copies = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let sources = copies.filter_map(|it| it.split(' ').next()).filter(|it| !it.starts_with("--"));
    let sources = sources.filter(|it| *it != ".");
    sources.map(|path| (PathBuf::from(path), PathBuf::from("Dockerfile"))).collect()
}

#[test]
fn what_the_build_reads_is_let_through() {
    let ignored = Ignored::parse(&text(".dockerignore"));
    let (included, built, copied) = (included(), built(), copied());
    assert!(included.len() > 20 && built.len() >= 2 && !copied.is_empty(), "the files were found");
    let manifests = ["Cargo.toml", "Cargo.lock", "simulators/Cargo.toml", "src/main.rs"];
    let manifests = manifests.map(|path| (PathBuf::from(path), PathBuf::from("cargo")));
    let read = included.into_iter().chain(built).chain(copied).chain(declared());
    for (path, reader) in read.chain(manifests) {
        assert!(root().join(&path).exists(), "{} is not there", path.display());
        let is_let_through = ignored.lets_through(&path);
        let (path, reader) = (path.display(), reader.display());
        assert!(is_let_through, ".dockerignore keeps {path} out, which {reader} reads");
    }
}

#[test]
fn nothing_secret_and_nothing_that_was_built_is_let_through() {
    let ignored = Ignored::parse(&text(".dockerignore"));
    let kept_out = [
        "deploy/secrets/admin_token",
        "deploy/make-secrets",
        "pulseward-data/readings.sqlite",
        "target/release/pulseward",
        "simulators/target/debug/x",
        "src/some.log",
        ".git/config",
    ];
    for path in kept_out {
        assert!(!ignored.lets_through(Path::new(path)), "{path}");
    }
}

#[test]
fn the_last_line_that_names_a_file_or_a_directory_above_it_decides() {
    let ignored = Ignored::parse("# all\n*\n!src\n!docs/one.toml\n**/*.log\n\n**/target\n");
    for (path, expected) in [
        ("src/main.rs", true),
        ("docs/one.toml", true),
        ("docs/two.toml", false),
        ("src/deep/x.log", false),
        ("src/target/x", false),
        ("README.md", false),
    ] {
        assert_eq!(ignored.lets_through(Path::new(path)), expected, "{path}");
    }
}
