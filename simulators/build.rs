//! Generates the messages and clients of the service's contract, `../proto/pulseward/v1`, without a
//! system protoc. The protos are all that the simulators share with the service.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const PROTO_ROOT: &str = "../proto";
const PACKAGE_DIR: &str = "pulseward/v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(protos()?, [PROTO_ROOT])?;
    // Servers are for our own tests alone, which stand a small fake in the service's place.
    tonic_prost_build::configure()
        .server_mod_attribute(".", "#[cfg(test)]")
        .generate_default_stubs(true)
        .compile_fds(descriptors)?;
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
