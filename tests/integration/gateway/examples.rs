//! The page's examples, run as printed: what they publish is stored, and they are told so.

use prost::Message as _;
use pulseward::proto::v1::DeviceStatus;
use serde_json::Value;

use super::bench::{Bench, Workplace};
use super::blocks::Page;
use crate::support::mosquitto::{Mosquitto, Settings};
use crate::support::sql::sqlite_rows;
use crate::support::wait::wait_until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_is_answered_as_printed() {
    let device = "watch-0042";
    let bench = Bench::start(&[device]).await;
    let commands = bench.page.block("run: listen") + &bench.page.block("run: publish");
    let printed = bench.dir.run(device, &commands);
    assert_eq!(
        correlated_verdict(&printed),
        correlated_verdict(&bench.page.printed_by("run: publish"))
    );
    bench.until_stored(device, &["spo2 96.0 % -"]).await;
    let refused = bench.house.sql.rows("SELECT reason FROM rejected_messages").await;
    assert_eq!(refused, [["unknown_unit"]]);
}

/// Correlation data and verdict, without the details, which may change.
fn correlated_verdict(line: &str) -> (String, Value) {
    let (correlation, verdict) = line.trim().split_once(' ').expect("two columns");
    let mut verdict: Value = serde_json::from_str(verdict).expect("JSON");
    for rejected in verdict["rejected"].as_array_mut().expect("a list") {
        let detail = rejected.as_object_mut().and_then(|it| it.remove("detail"));
        assert!(detail.is_some_and(|it| it != ""), "{line}");
    }
    (correlation.to_owned(), verdict)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_says_whether_anybody_listens() {
    let device = "watch-0042";
    let bench = Bench::start(&[device]).await;
    let commands = bench.page.block("run: is-heard");
    assert_eq!(bench.dir.run(device, &commands), "RC:0\n");
    let alone = Mosquitto::start_with(Settings { shipped: true, ..Settings::default() });
    assert_eq!(Workplace::new(&Page::read(), alone.port()).run(device, &commands), "RC:16\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_program_in_python_publishes_json() {
    let device = "watch-0042";
    let bench = Bench::start(&[device]).await;
    let printed = bench.dir.run(device, &bench.page.block("run: publish-python"));
    let verdict: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(verdict["accepted"], 3, "{verdict}");
    bench
        .until_stored(
            device,
            &["blood_glucose 99.0858 mg/dL -", "heart_rate 72.0 /min -", "spo2 - % sensor_off"],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_in_python_ends_when_everything_is_settled() {
    let device = "watch-0043";
    let bench = Bench::start(&[device]).await;
    let commands =
        bench.page.block("run: generate-python") + &bench.page.block("run: gateway-python");
    let mut example = bench.dir.start(device, &commands);
    assert!(example.wait().success(), "{}", example.said());
    assert_eq!(settled(&example.said()), (3, 0), "{}", example.said());
    assert_eq!(settled(&bench.page.printed_by("run: gateway-python")), (3, 0));
    bench
        .until_stored(
            device,
            &["body_temperature 37.0 Cel -", "heart_rate - /min sensor_off", "spo2 97.0 % -"],
        )
        .await;
    check_status(&bench, device, 1);
}

/// How many readings `gateway.py` said were accepted, and duplicates.
fn settled(said: &str) -> (u32, u32) {
    let count = |line: &str, what: &str| -> u32 {
        let before = line.split(what).next().expect("at least one part").trim_end();
        before.rsplit(' ').next().and_then(|it| it.parse().ok()).expect("a number")
    };
    let lines = said.lines().filter(|line| line.starts_with("batch "));
    lines.fold((0, 0), |(accepted, duplicate), line| {
        (accepted + count(line, "accepted"), duplicate + count(line, "duplicate"))
    })
}

/// What the broker has retained of a device is that it has left, in this start.
fn check_status(bench: &Bench, device: &str, boot_id: u64) {
    let hear = format!(
        "mosquitto_sub -V 5 -h $MQTT_HOST -p $MQTT_PORT -q 1 -C 1 -W 30 -F %x \
         -t pulseward/v1/$SITE/{device}/status"
    );
    let printed = bench.dir.run(device, &hear);
    let hex = printed.trim().as_bytes().chunks(2);
    let bytes: Vec<u8> = hex
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("hex"))
        .collect();
    let status = DeviceStatus::decode(&*bytes).expect("a DeviceStatus");
    assert_eq!((status.online, status.boot_id, &*status.firmware), (false, boot_id, "example 1.0"));
    assert!(status.at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_in_python_loses_nothing_when_it_is_killed_and_the_service_is_away() {
    let device = "watch-0043";
    let mut bench = Bench::start(&[device]).await;
    bench.dir.run(device, &bench.page.block("run: generate-python"));
    bench.house.service.kill9();

    let mut gateway = bench.dir.start(device, "exec python3 gateway.py");
    gateway.tell("spo2 97\nspo2 96\nheart_rate 71\n");
    let buffer = bench.dir.path("watch-0043.buffer");
    let count = "SELECT count(*) FROM readings";
    let received = format!("Received PUBLISH from {device}");
    wait_until("the gateway to have published, and kept everything", async || {
        let log = bench.house.broker.log();
        let readings = log.lines().filter(|line| line.contains(&received));
        readings.filter(|line| line.contains("/readings'")).count() > 0
            && sqlite_rows(&buffer, count) == [["3"]]
    })
    .await;
    gateway.kill();
    bench.house.service.restart().await;

    let mut gateway = bench.dir.start(device, "exec python3 gateway.py");
    gateway.tell("heart_rate 72\n");
    assert!(gateway.wait().success(), "{}", gateway.said());
    let (accepted, duplicate) = settled(&gateway.said());
    assert_eq!(accepted + duplicate, 4, "{}", gateway.said());
    let expected =
        ["heart_rate 71.0 /min -", "heart_rate 72.0 /min -", "spo2 96.0 % -", "spo2 97.0 % -"];
    bench.until_stored(device, &expected).await;
    assert_eq!(sqlite_rows(&buffer, count), [["0"]]);
    check_status(&bench, device, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_in_c_is_told_what_is_printed() {
    let device = "watch-0044";
    let bench = Bench::start(&[device]).await;
    bench.dir.run(device, &bench.page.block("run: build-c"));
    let printed = bench.dir.run(device, &bench.page.block("run: gateway-c"));
    assert_eq!(printed, bench.page.printed_by("run: gateway-c"));
    let once = [
        "body_temperature 37.0 Cel -",
        "diastolic_pressure 79.0 mm[Hg] -",
        "heart_rate 72.0 /min -",
        "spo2 - % sensor_off",
        "systolic_pressure 121.0 mm[Hg] -",
    ];
    bench.until_stored(device, &once).await;
    check_status(&bench, device, 1);

    // The next start has the next number, so that its readings are no duplicates.
    let again = bench.dir.run(device, &bench.page.block("run: gateway-c"));
    assert_eq!(again, printed.replace("1/0+5", "2/0+5"));
    check_status(&bench, device, 2);
    check_bounds(&bench);
}

/// What the page says of the structures that nanopb makes of the `.options`.
fn check_bounds(bench: &Bench) {
    let read = |file: &str| {
        let path = bench.dir.path("build/pulseward/v1").join(file);
        std::fs::read_to_string(path).expect("nanopb's header")
    };
    let headers = read("reading.pb.h") + &read("device.pb.h");
    for member in [
        "char unit[32];",
        "quality[8];",
        "pb_callback_t readings;",
        "char gateway[65];",
        "char firmware[65];",
        "char detail[200];",
        "pb_callback_t rejected;",
    ] {
        assert!(headers.contains(member), "nanopb makes no {member}");
    }
    for (message, said) in [
        ("Reading", "A `Reading` takes at most {} bytes"),
        ("DeviceStatus", "a `DeviceStatus` {},"),
        ("Rejected", "a `Rejected` {}."),
    ] {
        let define = format!("#define pulseward_v1_{message}_size ");
        let line = headers.lines().find_map(|line| line.strip_prefix(&define));
        let size = line.expect("nanopb knows the size").trim();
        assert!(bench.page.text().contains(&said.replace("{}", size)), "{message}: {size} bytes");
    }
}
