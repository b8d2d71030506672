//! What sheets say, and what is wrong with those that say nothing.

use super::*;

const HEADER: &str = "site,patient_id,device_id,from\n";

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().expect("a time")
}

fn read(bytes: &[u8], defaults: &Defaults) -> Result<Vec<Entry>, Vec<String>> {
    let parsed = parse("ward.csv", bytes, defaults, now());
    parsed.map_err(|Violations(list)| list.iter().map(ToString::to_string).collect())
}

/// The entries as `line site patient device from` each.
fn entries(text: &str) -> Vec<String> {
    let entries = read(text.as_bytes(), &Defaults::default()).expect("nothing is wrong");
    let told = |entry: &Entry| {
        let patient = entry.patient.as_ref().map_or("-", |id| id.as_str());
        let from = entry.from.map_or("now".to_owned(), |from| from.to_string());
        format!("{} {} {patient} {} {from}", entry.line, entry.site, entry.device)
    };
    entries.iter().map(told).collect()
}

fn check_wrong(text: &str, expected: &[&str]) {
    let wrong = read(text.as_bytes(), &Defaults::default()).expect_err("something is wrong");
    assert_eq!(wrong, expected, "{text}");
}

#[test]
fn each_line_says_who_wears_what_where_and_since_when() {
    let text = format!("{HEADER}north,p-1,d-1,2026-01-31T08:00:00+01:00\nnorth,p-2,d-2,\n");
    assert_eq!(entries(&text), ["2 north p-1 d-1 2026-01-31T07:00:00Z", "3 north p-2 d-2 now"]);
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    assert_eq!(entries("Device ID,site,Patient-Id\nd,s,p\n"), ["2 s p d now"]);
}

#[test]
fn what_spreadsheets_write_is_read() {
    let expected = ["2 s p d now"];
    for text in [
        "site,patient_id,device_id\ns,p,d\n",
        "\u{feff}site,patient_id,device_id\r\ns,p,d\r\n",
        "site;patient_id;device_id\ns;p;d",
        "site\tpatient_id\tdevice_id\rs\tp\td\r",
        "\"site\",\"patient_id\",\"device_id\"\n \"s\" , p ,d\n,,\n , ,\n",
    ] {
        let read = read(text.as_bytes(), &Defaults::default());
        if text.contains(" \"s\" ") {
            // A quote that does not begin its field is a character like others.
            assert!(read.is_err(), "{text:?}");
        } else {
            assert_eq!(entries(text), expected, "{text:?}");
        }
    }
    assert_eq!(entries("site,patient_id,device_id\n\"s\", p ,d\n,,\n , ,\n"), expected);
}

#[test]
fn blank_lines_and_comments_are_passed_over_and_counted() {
    let text =
        "# the night round\n\nsite,patient_id,device_id\n\n# bed 1\r\ns,p,d\n#s,p,e\ns,p,f\n";
    assert_eq!(entries(text), ["6 s p d now", "8 s p f now"]);
}

#[test]
fn a_field_over_several_lines_moves_the_lines_behind_it() {
    let text = "site,patient_id,device_id,measures\ns,p,d,\"heart_rate=1s;\nspo2=1s\"\ns,q,e,\n";
    assert_eq!(entries(text), ["2 s p d now", "4 s q e now"]);
}

#[test]
fn a_line_has_its_own_schedule_or_the_one_that_holds_for_all() {
    let defaults = Defaults {
        schedule: Schedule {
            upload_interval: Duration::from_secs(60),
            expected_intervals: vec![(Vital::HeartRate, Duration::from_secs(1))],
        },
        allow_unbound: false,
    };
    let text = "site,patient_id,device_id,upload_interval,measures\n\
                s,p,d,,\n\
                s,p,e,15 min,spo2=1s; heart_rate = 2s\n\
                s,p,f,,\"weight=24h,steps=1h\"\n";
    let entries = read(text.as_bytes(), &defaults).expect("nothing is wrong");
    assert_eq!(entries[0].schedule, defaults.schedule);
    let seconds = |vital, seconds| (vital, Duration::from_secs(seconds));
    let own = Schedule {
        upload_interval: Duration::from_secs(900),
        expected_intervals: vec![seconds(Vital::Spo2, 1), seconds(Vital::HeartRate, 2)],
    };
    assert_eq!(entries[1].schedule, own);
    let daily = vec![seconds(Vital::Weight, 86_400), seconds(Vital::Steps, 3_600)];
    assert_eq!(entries[2].schedule.expected_intervals, daily);
}

#[test]
fn a_device_without_a_patient_is_enrolled_only_where_that_is_meant() {
    let text = format!("{HEADER}s,,gateway-1,\n");
    let told = "ward.csv:2:3: patient_id: empty; with --allow-unbound the device alone is \
                enrolled, as for a gateway";
    check_wrong(&text, &[told]);
    let defaults = Defaults { allow_unbound: true, ..Defaults::default() };
    let entries = read(text.as_bytes(), &defaults).expect("it is meant");
    assert_eq!(entries[0].patient, None);
    let from = format!("{HEADER}s,,gateway-1,2026-01-31T08:00:00Z\n");
    let wrong = read(from.as_bytes(), &defaults).expect_err("nobody wears it");
    let told = "ward.csv:2:14: from: says how a patient wears the device, but there is no \
                patient_id";
    assert_eq!(wrong, [told]);
}

#[test]
fn a_file_that_is_no_sheet_says_so() {
    let names = "ward.csv:1:1: the first line names the columns: site, patient_id, device_id, from";
    check_wrong("s,p,d\n", &[names]);
    check_wrong("", &["ward.csv:1:1: nothing in it; its first line names the columns"]);
    check_wrong(
        "\n# nothing\n",
        &["ward.csv:1:1: nothing in it; its first line names the columns"],
    );
    check_wrong(HEADER, &["ward.csv:1:1: no line but the one that names the columns"]);
    let wrong = read(b"site,patient_id\ns,\xe9", &Defaults::default()).expect_err("not UTF-8");
    assert_eq!(wrong, ["ward.csv:2:3: not UTF-8; save it as CSV in UTF-8"]);
}

#[test]
fn a_wrong_column_is_named_with_the_nearest_known_one() {
    check_wrong(
        "site, patient,device_id,site,form\n",
        &[
            "ward.csv:1:7: patient: unknown column; did you mean patient_id?",
            "ward.csv:1:25: site: a second column of this name",
            "ward.csv:1:30: form: unknown column; did you mean from?",
            "ward.csv:1:1: patient_id: there is no such column",
        ],
    );
}

#[test]
fn everything_wrong_with_a_file_is_told_at_once_with_its_place() {
    let text = "site,patient_id,device_id,from,upload_interval,measures\n\
                s,p q,,2026-01-31 08:00,90,hart_rate=1s\n\
                \"s\",p,d/1,2026-02-01T12:00:01Z,9000h,heart_rate\n\
                s,p\n\
                s,p,d,,,heart_rate=0s\n\
                s,p,d,,,spo2=1s;spo2=2s\n";
    check_wrong(
        text,
        &[
            "ward.csv:2:3: patient_id: \"p q\" is not an id: 1 to 64 of A-Z a-z 0-9 . _ -",
            "ward.csv:2:7: device_id: empty",
            "ward.csv:2:8: from: \"2026-01-31 08:00\" is not an RFC 3339 time with an offset, \
             such as 2026-01-31T08:15:00Z",
            "ward.csv:2:25: upload_interval: \"90\" is not a duration, such as \"30s\", \"5m\" or \
             \"24h\"",
            "ward.csv:2:28: measures: \"hart_rate\" is no vital; did you mean heart_rate?",
            "ward.csv:3:7: device_id: \"d/1\" is not an id: 1 to 64 of A-Z a-z 0-9 . _ -",
            "ward.csv:3:11: from: 2026-02-01T12:00:01Z is over 24 h ahead",
            "ward.csv:3:32: upload_interval: longer than 365 days",
            "ward.csv:3:38: measures: \"heart_rate\" is not like heart_rate=1s",
            "ward.csv:4:1: 2 fields, where the first line names 6",
            "ward.csv:5:9: measures: heart_rate every 0 s; leave out what the device does not \
             measure",
            "ward.csv:6:9: measures: spo2 a second time",
        ],
    );
}

#[test]
fn lines_that_contradict_each_other_name_each_other() {
    let text = format!("{HEADER}s,p,d,\ns,p,e,\n\ns,q,d,\nt,p,f,\n");
    check_wrong(
        &text,
        &[
            "ward.csv:5:5: device_id: d stands on line 2, too",
            "ward.csv:6:1: site: p is at site s on line 2",
        ],
    );
}

#[test]
fn a_quote_that_is_never_closed_is_suspected() {
    let told = "ward.csv:2:5: device_id: runs over several lines; is a quote not closed?";
    check_wrong("site,patient_id,device_id\ns,p,\"d\ns,q,e\n", &[told]);
}

proptest::proptest! {
    /// Whatever a file holds, it is entries or mistakes.
    #[test]
    fn no_file_makes_it_panic(bytes: Vec<u8>) {
        drop(read(&bytes, &Defaults::default()));
    }

    #[test]
    fn no_sheet_makes_it_panic(text in "(site,patient_id,device_id\n)?[sp\"#,;=\r\n é]{0,60}") {
        drop(read(text.as_bytes(), &Defaults::default()));
    }
}
