//! Generates the messages and services of `proto/pulseward/v1` without a system protoc, and the
//! descriptor set from which the server answers reflection.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

const PROTO_ROOT: &str = "proto";
const PACKAGE_DIR: &str = "pulseward/v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(protos()?, [PROTO_ROOT])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("pulseward.v1.binpb"), descriptors.encode_to_vec())?;
    // A call that no service of ours overrides answers UNIMPLEMENTED.
    tonic_prost_build::configure().generate_default_stubs(true).compile_fds(descriptors)?;
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
