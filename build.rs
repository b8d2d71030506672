//! Generates the messages and services of `proto/pulseward/v1` without a system protoc, the
//! descriptor set from which the server answers reflection, and the table of the ward page's files.
//!
//! The files are what lies in `page/dist`, which is committed: nothing here builds the page, and no
//! Node is needed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

const PROTO_ROOT: &str = "proto";
const PACKAGE_DIR: &str = "pulseward/v1";
const PAGE_ROOT: &str = "page/dist";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    // With everything that is in it, also what will be.
    println!("cargo:rerun-if-changed={PAGE_ROOT}");
    let descriptors = protox::compile(protos()?, [PROTO_ROOT])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("pulseward.v1.binpb"), descriptors.encode_to_vec())?;
    // A call that no service of ours overrides answers UNIMPLEMENTED.
    tonic_prost_build::configure().generate_default_stubs(true).compile_fds(descriptors)?;
    fs::write(out_dir.join("page.rs"), page_table()?)?;
    Ok(())
}

/// The page's files by name, as Rust: each path is relative to this package, so that where it was
/// built does not show.
fn page_table() -> Result<String, Box<dyn Error>> {
    let mut names = Vec::new();
    list(Path::new(PAGE_ROOT), "", &mut names)
        .map_err(|error| format!("reading {PAGE_ROOT}, the ward page as it was built: {error}"))?;
    names.sort();
    let rows = names.iter().map(|name| {
        let path = format!("/{PAGE_ROOT}/{name}");
        format!(
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),\n"
        )
    });
    Ok(format!("const FILES: &[(&str, &[u8])] = &[\n{}];\n", rows.collect::<String>()))
}

/// Everything below a directory. What begins with a dot is the system's, not the page's.
fn list(dir: &Path, prefix: &str, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type()?.is_dir() {
            _ if name.starts_with('.') => {}
            true => list(&entry.path(), &format!("{prefix}{name}/"), names)?,
            false => names.push(format!("{prefix}{name}")),
        }
    }
    Ok(())
}

/// Every proto file of the package, in an order that does not depend on the file system.
fn protos() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(PROTO_ROOT).join(PACKAGE_DIR))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(Path::new(PACKAGE_DIR).join(path.file_name().expect("a file has a name")));
        }
    }
    found.sort();
    Ok(found)
}
