//! EIM's limits, each at its last good and its first refused value.

use serde_json::{Value, json};

use super::{Kind, Spec};

/// Whether a good spec is still accepted once `field` is `value`.
fn accepts(kind: Kind, good: &Value, field: &str, value: &Value) -> bool {
    let mut spec = good.clone();
    spec[field] = value.clone();
    Spec::parse(kind, 1, &spec.to_string()).is_ok_and(|spec| spec.validate().is_ok())
}

/// Checks the two sides of each limit; a refusal must name the field.
fn limits(kind: Kind, good: &Value, cases: &[(&str, Value, Value)]) {
    let spec = Spec::parse(kind, 1, &good.to_string()).unwrap();
    assert_eq!(spec.validate(), Ok(()), "{kind}");
    for (field, last_good, first_refused) in cases {
        assert!(accepts(kind, good, field, last_good), "{kind} {field} {last_good}");
        assert!(!accepts(kind, good, field, first_refused), "{kind} {field} {first_refused}");
    }
}

fn long(letters: usize) -> Value {
    json!("n".repeat(letters))
}

#[test]
fn eim_limits_of_places_and_hosts() {
    let pairs = |n: usize| (0..n).map(|n| (n.to_string(), json!("v"))).collect::<Value>();
    limits(
        Kind::Region,
        &json!({ "name": "de" }),
        &[("name", long(50), long(51)), ("metadata", pairs(100), pairs(101))],
    );
    limits(
        Kind::Site,
        &json!({ "name": "berlin", "zone": "Europe/Berlin" }),
        &[
            ("name", json!("süd"), json!("")),
            ("lat", json!(-900_000_000), json!(-900_000_001)),
            ("lng", json!(1_800_000_000), json!(1_800_000_001)),
            ("zone", json!("UTC"), json!("Europe/Berln")),
        ],
    );
    limits(
        Kind::Host,
        &json!({ "name": "press-07", "publicKey": "0a".repeat(32) }),
        &[
            ("name", json!("aZ0-_./: "), json!("süd")),
            ("name", long(50), long(51)),
            ("publicKey", json!("ff".repeat(32)), json!("FF".repeat(32))),
            (
                "baseline",
                json!({ "profile": "p", "version": "3.0.1" }),
                json!({ "profile": "p", "version": "3.0" }),
            ),
        ],
    );
}

#[test]
fn eim_limits_of_schedules() {
    let status = "SCHEDULE_STATUS_OS_UPDATE";
    limits(
        Kind::SingleSchedule,
        &json!({ "name": "w", "scheduleStatus": status, "startSeconds": 1000, "endSeconds": 2000 }),
        &[
            ("name", json!("ü".repeat(50)), long(51)),
            ("startSeconds", json!(1), json!(0)),
            ("startSeconds", json!(1999), json!(2000)),
            ("endSeconds", json!(0), json!(1000)),
            ("endSeconds", json!(4_294_967_295_u64), json!(4_294_967_296_u64)),
        ],
    );
    limits(
        Kind::RepeatedSchedule,
        &json!({
            "name": "w", "scheduleStatus": status, "durationSeconds": 60, "cronMinutes": "0",
            "cronHours": "2", "cronDayMonth": "*", "cronMonth": "*", "cronDayWeek": "0",
            "zone": "site",
        }),
        &[
            ("durationSeconds", json!(1), json!(0)),
            ("durationSeconds", json!(86_400), json!(86_401)),
            ("zone", json!("America/New_York"), json!("")),
        ],
    );
    limits(
        Kind::Blackout,
        &json!({ "name": "x", "from": "2027-12-01T00:00:00Z", "to": "2028-01-01T00:00:00Z" }),
        &[("to", json!("2027-12-01T00:00:01Z"), json!("2027-12-01T00:00:00Z"))],
    );
    limits(
        Kind::Blackout,
        &json!({
            "name": "x", "from": "2027-12-01T00:00:00Z", "to": "2028-01-01T00:00:00Z",
            "yearly": true,
        }),
        &[("to", json!("2028-12-01T00:00:00Z"), json!("2028-12-02T00:00:01Z"))],
    );
}

#[test]
fn eim_limits_of_policies() {
    let digest = "00".repeat(32);
    let os = json!({ "profile": "p", "version": "3.0.1", "digest": digest });
    let target = json!({ "name": "p", "updatePolicy": "TARGET", "updatePackages": "curl" });
    let sources = |count: usize, bytes: usize| json!(vec!["x".repeat(bytes); count]);
    limits(
        Kind::OsUpdatePolicy,
        &target,
        &[
            ("name", long(50), json!("ü".repeat(26))),
            ("description", long(200), long(201)),
            ("updatePackages", long(500_000), long(500_001)),
            ("updateSources", sources(100, 1), sources(101, 1)),
            ("updateSources", sources(1, 10_000), sources(1, 10_001)),
            ("updateKernelCommand", long(500), long(501)),
            ("updateKernelCommand", json!("a=b,c/d.e-f_g h"), json!("a;b")),
            ("promotion", json!("manual"), json!("automatic")),
        ],
    );
    let latest = json!({ "name": "p", "updatePolicy": "LATEST", "versions": "~3.0.1" });
    limits(
        Kind::OsUpdatePolicy,
        &latest,
        &[("versions", json!("3.0.20260602.2200"), json!("~3.0"))],
    );
    let mut automatic = latest;
    automatic["promotion"] = json!("automatic");
    automatic["soakSeconds"] = json!(60);
    limits(Kind::OsUpdatePolicy, &automatic, &[("versions", json!("~3.0.1"), Value::Null)]);
    limits(Kind::OsUpdatePolicy, &automatic, &[("soakSeconds", json!(0), Value::Null)]);
    limits(
        Kind::Promotion,
        &json!({ "os": os }),
        &[("os", os, json!({ "profile": "", "version": "3.0.1", "digest": digest }))],
    );
    limits(
        Kind::CustomConfig,
        &json!({ "name": "proxy", "config": "#cloud-config" }),
        &[
            ("name", json!("a-1"), json!("1-a")),
            ("name", long(40), long(41)),
            ("config", long(16_384), long(16_385)),
            ("config", json!("c"), json!("")),
            ("description", long(256), long(257)),
        ],
    );
}

#[test]
fn limits_of_profiles_and_resumes() {
    let digest = "00".repeat(32);
    limits(
        Kind::OsProfile,
        &json!({
            "name": "Edge", "type": "OS_TYPE_IMMUTABLE", "provider": "OS_PROVIDER_KIND_INFRA",
            "profileName": "edge", "osImageVersion": "3.0.20260602.2200",
            "indexDigest": digest, "indexBytes": 1000,
        }),
        &[
            ("osImageVersion", json!("22.04.5"), json!("22.04")),
            ("provider", json!("OS_PROVIDER_KIND_LENOVO"), json!("OS_PROVIDER_KIND_UNSPECIFIED")),
            ("minimumVersion", json!("3.0.0"), json!("3")),
            ("indexBytes", json!(1), Value::Null),
            (
                "parts",
                json!({ "rootfs": { "bytes": 1, "sha256": digest } }),
                json!({ "../x": { "bytes": 1, "sha256": digest } }),
            ),
        ],
    );
    let halts = |count: usize| json!(vec![digest.clone(); count]);
    limits(
        Kind::Resume,
        &json!({ "name": "go on", "halts": [digest] }),
        &[("halts", halts(65), halts(66)), ("halts", halts(1), halts(0))],
    );
}

#[test]
fn a_refusal_is_one_sentence_that_names_the_field_and_the_fix() {
    let spec = json!({
        "name": "w", "scheduleStatus": "SCHEDULE_STATUS_OS_UPDATE", "durationSeconds": 60,
        "cronMinutes": "0", "cronHours": "2-3", "cronDayMonth": "*", "cronMonth": "*",
        "cronDayWeek": "*",
    });
    let spec = Spec::parse(Kind::RepeatedSchedule, 1, &spec.to_string()).unwrap();
    assert_eq!(
        spec.validate().unwrap_err().to_string(),
        "cronHours is \"2-3\": write * or plain numbers from 0 to 23 with commas between"
    );
}

#[test]
fn s3_a_newer_schema_or_an_unknown_field_is_unreadable() {
    assert!(Spec::parse(Kind::Hold, 2, r#"{"name":"h"}"#).is_err());
    assert!(Spec::parse(Kind::Hold, 1, r#"{"name":"h","more":1}"#).is_err());
    assert_eq!(Spec::parse(Kind::Hold, 1, r#"{"name":"h"}"#).unwrap().kind(), Kind::Hold);
}
