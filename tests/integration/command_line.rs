//! The command line as a shell sees it: what is printed where, and the exit code.

use std::path::Path;
use std::process::{Command, Output};

fn pulseward(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pulseward")).args(arguments).output().expect("runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn check_config(content: &str) -> Output {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("temporary file");
    std::fs::write(file.path(), content).expect("written");
    pulseward(&["check-config", file.path().to_str().expect("plain name")])
}

#[test]
fn the_version_is_printed() {
    let output = pulseward(&["--version"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), concat!("pulseward ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn the_configuration_in_force_is_printed_without_secrets() {
    let output = check_config("[store]\nurl = \"postgres://u:s3cret@db/p\"\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("url = \"postgres://u:[hidden]@db/p\""), "{printed}");
    assert!(printed.contains("max_bytes = \"10GiB\""), "{printed}");
}

#[test]
fn a_wrong_configuration_is_told_on_standard_error_with_exit_code_2() {
    let output = check_config("[grpc]\nlisten = \"0.0.0.0:1\"\nlissen = 1\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(told.contains(".toml:2:1: grpc.listen: 0.0.0.0:1 can be reached"), "{told}");
    assert!(told.contains(".toml:3:1: grpc.lissen: unknown key; did you mean listen?"), "{told}");
}

#[test]
fn a_missing_configuration_or_password_is_named() {
    let output = pulseward(&["serve", "--config", "/nowhere/pulseward.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere/pulseward.toml"), "{output:?}");

    let output = check_config("[mqtt]\nusername = \"u\"\npassword_file = \"/nowhere/password\"\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/password"), "{output:?}");
}

#[test]
fn the_shipped_sample_is_valid() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pulseward.toml");
    let output = pulseward(&["check-config", sample.to_str().expect("plain name")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_default_profile_is_shown_as_a_file_that_checks_out() {
    let shown = pulseward(&["profile", "show-default"]);
    assert!(shown.status.success());
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), &shown.stdout).expect("written");
    let output = pulseward(&["profile", "check", file.path().to_str().expect("plain name")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\nspo2-low: spo2 below a limit"), "{output:?}");
}

#[test]
fn a_wrong_profile_is_told_by_line_and_rule_with_exit_code_1() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("temporary file");
    std::fs::write(file.path(), "[[rules]]\nid = \"hr\"\nkind = \"limt\"\n").expect("written");
    let output = pulseward(&["profile", "check", file.path().to_str().expect("plain name")]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let told = text(&output.stderr);
    let expected = ".toml:3:1: rules[hr].kind: \"limt\" is not known; did you mean limit?";
    assert!(told.contains(expected), "{told}");
}
