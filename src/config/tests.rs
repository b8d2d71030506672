//! What the configuration takes, what it refuses, and how it says so.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::*;

const SAMPLE: &str = include_str!("../../docs/pulseward.toml");

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, Violations> {
    Config::parse("ward.toml", text, variables(environment))
}

fn check_refused(text: &str, environment: &[(&str, &str)], expected: &[&str]) {
    let violations = read(text, environment).expect_err("must be refused").to_string();
    assert_eq!(violations.lines().collect::<Vec<_>>(), expected);
}

/// Every key that the reader knows, as `section.key`.
fn known_keys() -> BTreeSet<String> {
    let mut reader = Reader::new("nothing", "", []).expect("an empty text is TOML");
    Config::read(&mut reader);
    reader.known().iter().map(|(section, key)| format!("{section}.{key}")).collect()
}

/// The sample with its commented keys taken in.
fn whole_sample() -> String {
    let is_key = |line: &str| {
        line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase)
    };
    let lines = SAMPLE.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_shows_the_defaults() {
    assert_eq!(read(SAMPLE, &[]), Ok(Config::default()));
}

#[test]
fn the_sample_shows_every_key_and_no_other() {
    let shown: toml::Table = whole_sample().parse().expect("TOML");
    assert_eq!(keys_of("", &shown).into_iter().collect::<BTreeSet<_>>(), known_keys());
}

/// The keys of a section and of the sections in it, as `section.key`.
fn keys_of(section: &str, table: &toml::Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        match value.as_table() {
            Some(inner) => keys.extend(keys_of(&format!("{section}{key}."), inner)),
            None => keys.push(format!("{section}{key}")),
        }
    }
    keys
}

#[test]
fn the_commented_keys_of_the_sample_are_valid_once_they_are_wanted() {
    let mut sample = whole_sample();
    if !cfg!(feature = "otlp") {
        sample = sample.replace("\nendpoint", "\n#endpoint");
    }
    let wanted = [
        ("PULSEWARD_STORE__URL", "postgres://pulseward@127.0.0.1/pulseward?sslmode=verify-full"),
        ("PULSEWARD_MQTT__URL", "mqtts://broker.ward.example"),
    ];
    let config = read(&sample, &wanted).expect("valid");
    assert!(config.mqtt.tls.pair().is_some() && config.grpc.tls.pair().is_some());
    assert!(config.http.tls.pair().is_some() && config.store.tls.pair().is_some());
    assert_eq!(config.auth.certificates.len(), 1);
    assert_eq!(config.mqtt.username.as_deref(), Some("pulseward"));
    assert!(config.store.password_file.is_some());
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let config = read("[mqtt]\nsession_expiry = \"90m\"\n[log]\nlevel = \"warn\"", &[]);
    let config = config.expect("valid");
    assert_eq!(read(&config.to_string(), &[]), Ok(config));
}

#[test]
fn what_is_printed_holds_no_password() {
    let config = read("[store]\nurl = \"postgres://u:s3cret@db/p\"", &[]).expect("valid");
    assert!(config.to_string().contains("postgres://u:[hidden]@db/p"), "{config}");
    assert!(!format!("{config} {config:?}").contains("s3cret"));
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_known_one() {
    check_refused(
        "[mqtt]\nurl = \"mqtt://h\"\n  recieve_maximum = 7\n",
        &[],
        &["ward.toml:3:3: mqtt.recieve_maximum: unknown key; did you mean receive_maximum?"],
    );
    check_refused(
        "[http]\nzzz = 1\n",
        &[],
        &["ward.toml:2:1: http.zzz: unknown key; known are allow_plaintext, listen, ward_page"],
    );
    check_refused(
        "mqtt.max_bytes = '1GiB'\n",
        &[],
        &["ward.toml:1:6: mqtt.max_bytes: unknown key; it belongs into [journal]"],
    );
}

#[test]
fn an_unknown_section_is_refused_once_with_the_nearest_known_one() {
    check_refused(
        "[jurnal]\ndir = \"x\"\nmax_bytes = 1\n",
        &[],
        &["ward.toml:1:2: [jurnal]: unknown section; did you mean journal?"],
    );
    check_refused(
        "listen = 1\n",
        &[],
        &["ward.toml:1:1: listen: stands outside of a section, such as [mqtt]"],
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    check_refused(
        "[grpc]\nlisten = \"0.0.0.0:50051\"\n[journal]\nmax_bytes = \"10GB\"\n[log]\nformat = 3\n",
        &[("PULSEWARD_MQTT__RECEIVE_MAXIMUM", "0")],
        &[
            "environment variable PULSEWARD_MQTT__RECEIVE_MAXIMUM: mqtt.receive_maximum: invalid \
             value: integer `0`, expected a nonzero u16",
            "ward.toml:4:1: journal.max_bytes: \"10GB\" is not a size, such as \"64MiB\" or \
             \"10GiB\" (units: B, KiB, MiB, GiB, TiB)",
            "ward.toml:6:1: log.format: wanted string or table",
            "ward.toml:2:1: grpc.listen: 0.0.0.0:50051 can be reached from other machines, and \
             without [grpc.tls] whoever is between reads patients' data and callers' tokens; set \
             certificate and key there, or allow_plaintext = true where a proxy before it speaks \
             TLS",
            "ward.toml:2:1: grpc.listen: 0.0.0.0:50051 can be reached from other machines, and \
             auth.mode = \"none\" lets whoever reaches it read and change everything; set \
             auth.mode = \"jwt\" or \"certificates\", or listen on loopback, such as \
             127.0.0.1:50051",
        ],
    );
}

#[test]
fn a_text_that_is_not_toml_is_refused_with_its_place() {
    let violations = read("[mqtt]\nurl = \nclient_id = \"x\n", &[]).expect_err("not TOML");
    let places: Vec<_> = violations.0.iter().map(|violation| violation.place.as_str()).collect();
    assert_eq!(places, ["ward.toml:2:7", "ward.toml:3:15"], "{violations}");
}

#[test]
fn a_variable_overrides_the_file() {
    let config = read(
        "[mqtt]\nclient_id = \"from-file\"\nreceive_maximum = 7\n",
        &[
            ("PULSEWARD_MQTT__CLIENT_ID", "123"),
            ("PULSEWARD_MQTT__SESSION_EXPIRY", "30s"),
            ("PULSEWARD_JOURNAL__DIR", "\"/quoted path\""),
            ("PULSEWARD_STORE__URL", "postgres://u@h:5432/db"),
            ("PULSEWARD_HTTP__LISTEN", "[::1]:0"),
            ("PULSEWARD_TEST_POSTGRES_URL", "not ours"),
            ("PATH", "/bin"),
        ],
    )
    .expect("valid");
    assert_eq!(config.mqtt.client_id, "123");
    assert_eq!(config.mqtt.receive_maximum.get(), 7);
    assert_eq!(config.mqtt.session_expiry, Period(Duration::from_secs(30)));
    assert_eq!(config.journal.dir, Path::new("/quoted path"));
    assert_eq!(config.store.url.reveal().expose(), "postgres://u@h:5432/db");
    assert!(config.http.listen.is_ipv6());
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    check_refused(
        "",
        &[
            ("PULSEWARD_STOER__URL", "x"),
            ("PULSEWARD_STORE__ULR", "x"),
            ("PULSEWARD_LOG__LEVEL", "loud"),
        ],
        &[
            "environment variable PULSEWARD_LOG__LEVEL: log.level: unknown variant `loud`, \
             expected one of `error`, `warn`, `info`, `debug`, `trace`",
            "environment variable PULSEWARD_STOER__URL: stoer.url: unknown key in an unknown \
             section; did you mean store?",
            "environment variable PULSEWARD_STORE__ULR: store.ulr: unknown key; did you mean url?",
        ],
    );
}

#[test]
fn without_authentication_only_loopback_is_listened_on() {
    for refused in ["0.0.0.0:1", "[::]:1", "192.168.1.7:1"] {
        assert!(read(&format!("[grpc]\nlisten = \"{refused}\""), &[]).is_err(), "{refused}");
    }
    for accepted in ["127.0.0.1:1", "127.8.8.8:0", "[::1]:1"] {
        assert!(read(&format!("[grpc]\nlisten = \"{accepted}\""), &[]).is_ok(), "{accepted}");
    }
    let tokens = "[auth]\nmode = \"jwt\"\nissuer = \"i\"\naudience = \"a\"\n\
                  jwks = \"https://id.example/keys\"\n";
    let behind_a_proxy = "[grpc]\nlisten = \"0.0.0.0:1\"\nallow_plaintext = true\n";
    assert!(read(&format!("{behind_a_proxy}{tokens}"), &[]).is_ok(), "callers are known");
    assert!(read(behind_a_proxy, &[]).is_err(), "a proxy knows nobody for us");
    let certificates = "[auth]\nmode = \"certificates\"\n";
    let nobody = "auth.certificates: auth.mode = \"certificates\" needs it: who may call";
    check_refused(certificates, &[], &[&format!("default: {nobody}")]);
}

#[test]
fn tokens_are_believed_only_where_it_is_said_whose_for_whom_and_by_which_keys() {
    check_refused(
        "[auth]\nmode = \"jwt\"\naudience = \"\"\njwks_ca_file = \"x\"\n",
        &[],
        &[
            "default: auth.issuer: auth.mode = \"jwt\" needs it: who makes the tokens, as their \
             claim iss says it",
            "ward.toml:3:1: auth.audience: auth.mode = \"jwt\" needs it: whom they are made for, \
             as their claim aud says it",
            "ward.toml:2:1: auth.mode: \"jwt\" needs keys: set auth.jwks or auth.hs256_secret_file",
            "ward.toml:4:1: auth.jwks_ca_file: needs auth.jwks to be an address, https://…",
        ],
    );
}

#[test]
fn limits_that_are_none_are_refused() {
    check_refused(
        "[grpc]\ncalls_burst_max = 0\nweb_origins = [\"*\"]\n\
         [auth]\nleeway = \"1h\"\njwks_refresh = \"1s\"\nrole_claim = \"\"\n",
        &[],
        &[
            "ward.toml:3:1: grpc.web_origins: lets every web page call; list those that may",
            "ward.toml:2:1: grpc.calls_burst_max: must be 1 to 1000000",
            "ward.toml:6:1: auth.jwks_refresh: must be 10s to 24h",
            "ward.toml:5:1: auth.leeway: must be 5m or less",
            "ward.toml:7:1: auth.role_claim: a claim has a name",
        ],
    );
}

#[test]
fn half_a_login_is_refused() {
    check_refused(
        "[mqtt]\nusername = \"u\"\n[store]\npassword_file = \"f\"\n",
        &[],
        &[
            "ward.toml:2:1: mqtt.username: needs password_file beside it",
            "ward.toml:4:1: store.password_file: an SQLite file has no password",
        ],
    );
}

#[test]
fn limits_that_can_not_be_kept_are_refused() {
    check_refused(
        "[mqtt]\nclient_id = \"\"\nsession_expiry = \"0s\"\n[journal]\ndir = \"\"\nmax_bytes = \"1MiB\"\n\
         checkpoint_bytes = \"1KiB\"",
        &[],
        &[
            "ward.toml:2:1: mqtt.client_id: a session needs a name",
            "ward.toml:3:1: mqtt.session_expiry: must be 1 s to 2^32 - 1 s (136 years)",
            "ward.toml:5:1: journal.dir: the journal needs a directory",
            "ward.toml:6:1: journal.max_bytes: must be 1GiB or more",
            "ward.toml:7:1: journal.checkpoint_bytes: must be 1MiB to a quarter of max_bytes, \
             256MiB",
        ],
    );
}

#[test]
fn bounds_of_what_is_taken_are_bounded_themselves() {
    check_refused(
        "[ingest]\npayload_bytes_max = \"17MiB\"\nbatch_readings_max = 0\nreading_age_max = \"23h\"",
        &[],
        &[
            "ward.toml:2:1: ingest.payload_bytes_max: must be 1KiB to 16MiB",
            "ward.toml:3:1: ingest.batch_readings_max: must be 1 to 200000",
            "ward.toml:4:1: ingest.reading_age_max: is shorter than mqtt.session_expiry, so that \
             what the broker keeps for us while we are away would be refused for its age",
        ],
    );
    check_refused(
        "[ingest]\nbatch_readings_max = 10_000_000_000\nreading_age_max = \"90000h\"",
        &[],
        &[
            "ward.toml:2:1: ingest.batch_readings_max: invalid value: integer `10000000000`, \
             expected u32",
            "ward.toml:3:1: ingest.reading_age_max: must be 10 years or less",
        ],
    );
}

#[test]
fn what_is_taken_is_kept_long_enough_to_be_found() {
    let least = "must be 768h or longer: ingest.reading_age_max lets readings of 720h in, and two \
                 days more are for an outage of the database";
    check_refused(
        "[store]\nreadings_retention = \"767h\"\nbuckets_retention = \"30m\"",
        &[],
        &[
            &format!("ward.toml:2:1: store.readings_retention: {least}"),
            &format!("ward.toml:3:1: store.buckets_retention: {least}"),
            "ward.toml:3:1: store.buckets_retention: is shorter than store.readings_retention, so \
             that readings would be kept whose buckets are gone",
        ],
    );
    check_refused(
        "[store]\nrejected_retention = \"23h\"\ncolumnstore_after = \"0s\"",
        &[],
        &[
            "ward.toml:2:1: store.rejected_retention: must be 24h or longer",
            "ward.toml:3:1: store.columnstore_after: must be 24h or longer",
        ],
    );
    let kept = "[store]\nreadings_retention = \"768h\"\nbuckets_retention = \"768h\"";
    let store = read(kept, &[]).expect("valid").store;
    assert_eq!(store.readings_retention, store.buckets_retention);
}

#[test]
fn a_password_is_read_from_its_file_when_it_is_needed() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), "s3:cret\n").expect("written");
    let path = file.path().to_str().expect("plain name");
    let config = read(
        "[mqtt]\nusername = \"u\"\n[store]\nurl = \"postgres://u@db/p\"\n",
        &[("PULSEWARD_MQTT__PASSWORD_FILE", path), ("PULSEWARD_STORE__PASSWORD_FILE", path)],
    )
    .expect("valid");
    let password = config.mqtt.password().expect("readable").expect("configured");
    assert_eq!(password.expose(), "s3:cret");
    let password = config.store.password().expect("readable").expect("configured");
    assert_eq!(password.expose(), "s3:cret");
    drop(file);
    assert!(matches!(config.mqtt.password(), Err(SecretError::Read { .. })));
}

#[test]
fn what_other_machines_reach_is_encrypted_or_said_not_to_be() {
    let check = |text: &str| match read(text, &[]) {
        Ok(_) => String::new(),
        Err(violations) => violations.to_string(),
    };
    let without = check("[grpc]\nlisten = \"0.0.0.0:50051\"\n");
    assert!(without.contains("set certificate and key there, or allow_plaintext"), "{without}");
    for allowed in ["allow_plaintext = true", "tls = { certificate = \"c\", key = \"k\" }"] {
        let told = check(&format!("[grpc]\nlisten = \"0.0.0.0:50051\"\n{allowed}\n"));
        assert!(!told.contains("allow_plaintext"), "{told}");
    }
    for door in ["grpc", "http"] {
        let both =
            format!("[{door}]\nallow_plaintext=true\n[{door}.tls]\ncertificate='c'\nkey='k'\n");
        let told = check(&both);
        assert!(told.contains(&format!("contradicts [{door}.tls]")), "{told}");
    }
    // Health may be told to everybody; the ward page is not served then.
    assert_eq!(check("[http]\nlisten = \"0.0.0.0:8080\"\n"), "");
}

#[test]
fn a_certificate_without_its_key_is_refused_and_tls_settings_of_a_plain_url() {
    check_refused(
        "[mqtt.tls]\ncertificate = \"c\"\n[grpc.tls]\nkey = \"k\"\nclient_ca = \"ca\"\n\
         [http.tls]\nkey = \"k\"\n[store.tls]\nkey = \"k\"\n",
        &[],
        &[
            "ward.toml:2:1: mqtt.tls.certificate: needs key beside it",
            "ward.toml:2:1: mqtt.tls.certificate: is of no use while mqtt.url begins with mqtt://",
            "ward.toml:9:1: store.tls.key: needs certificate beside it",
            "ward.toml:9:1: store.tls.key: is of no use without ?sslmode=verify-full behind a \
             postgres:// store.url",
            "ward.toml:4:1: grpc.tls.key: needs certificate beside it",
            "ward.toml:5:1: grpc.tls.client_ca: needs certificate and key beside it",
            "ward.toml:7:1: http.tls.key: needs certificate beside it",
        ],
    );
}

#[test]
fn sections_in_sections_are_read_and_overridden_and_checked_like_others() {
    let variable = [("PULSEWARD_MQTT__TLS__CA", "/other.pem")];
    let text = "[mqtt]\nurl = \"mqtts://h\"\ntls.server_name = \"broker\"\n";
    let config = read(text, &variable).expect("valid");
    assert_eq!(config.mqtt.tls.ca.as_deref(), Some(Path::new("/other.pem")));
    assert_eq!(config.mqtt.tls.server_name.as_deref(), Some("broker"));
    assert_eq!(read(&config.to_string(), &[]), Ok(config));
    check_refused(
        "[grpc.tls]\ncertificat = 1\n[mqtt.tsl]\nca = \"x\"\n",
        &[],
        &[
            "ward.toml:3:7: [mqtt.tsl]: unknown section; did you mean mqtt.tls?",
            "ward.toml:2:1: grpc.tls.certificat: unknown key; did you mean certificate?",
        ],
    );
}

#[test]
fn callers_by_certificate_are_named_exactly_and_once() {
    let callers = |callers: &str| {
        let tls = "[grpc.tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n";
        read(&format!("{tls}[auth]\ncertificates = [{callers}]\n"), &[]).map_or_else(
            |violations| violations.to_string(),
            |it| it.auth.certificates.len().to_string(),
        )
    };
    let dash = "{ san = \"DNS:dash.ward\", role = \"viewer\", sites = [\"ward-7\"] }";
    assert_eq!(callers(dash), "1");
    assert!(callers(&format!("{dash}, {dash}")).contains("stands here twice"));
    for (wrong, expected) in [
        ("{ san = \"dash\", role = \"viewer\", sites = [\"*\"] }", "no name in a certificate"),
        ("{ san = \"DNS:d\", role = \"boss\", sites = [\"*\"] }", "\"boss\" is none of"),
        ("{ san = \"DNS:d\", role = \"viewer\", sites = [] }", "sites must be"),
        ("{ san = \"DNS:d\", role = \"viewer\", sites = [\"*\"] }", "admin and auditor only"),
        ("{ san = \"DNS:d\", role = \"viewer\", sites = [\"*\"], rank = 1 }", "unknown field"),
    ] {
        assert!(callers(wrong).contains(expected), "{}", callers(wrong));
    }
    let orphan = read(&format!("[auth]\ncertificates = [{dash}]\n"), &[]).expect_err("no CA");
    assert!(orphan.to_string().contains("needs grpc.tls.client_ca"), "{orphan}");
}

#[test]
fn traces_go_to_a_collector_that_can_be_reached_and_no_more_than_all_of_them() {
    let refused = |keys: &str, expected: &str| {
        check_refused(&format!("[traces]\n{keys}"), &[], &[&format!("ward.toml:2:1: {expected}")]);
    };
    refused("sample_ratio = 1.5", "traces.sample_ratio: must be 0 to 1");
    refused("sample_ratio = nan", "traces.sample_ratio: must be 0 to 1");
    let tls = "traces.endpoint: is not http://host:port; TLS is not spoken to a collector";
    refused("endpoint = \"https://otlp.example\"", tls);
    let path = "traces.endpoint: is more than http://host:port";
    refused("endpoint = \"http://127.0.0.1:4318/v1/traces\"", path);
    let port = "traces.endpoint: names no host with a port, such as http://127.0.0.1:4317";
    refused("endpoint = \"http://collector\"", port);
}

#[test]
fn traces_are_refused_by_a_program_that_has_none_built_in() {
    let read = read("[traces]\nendpoint = \"http://127.0.0.1:4317\"", &[]);
    if cfg!(feature = "otlp") {
        assert!(read.expect("valid").traces.endpoint.is_some());
    } else {
        let told = read.expect_err("must be refused").to_string();
        assert!(
            told.starts_with("ward.toml:2:1: traces.endpoint") && told.contains("--features otlp"),
            "{told}"
        );
    }
}
