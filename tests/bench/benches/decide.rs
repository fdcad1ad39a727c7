//! One decision in a fleet of 1,000 hosts, 20 regions, 80 sites, 50 schedules and 20 policies.
//! Budget: 10 µs (DESIGN section 10). What is picked once per change of the standing is measured
//! beside it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use daymark_protocol::decide::{Machine, Reach, StagedImage, Verdict, World, decide};
use daymark_protocol::id::{Digest, FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::time::{Now, WallTime};
use daymark_protocol::trust::{Freshness, Line, RootState, Standing, State, Version};
use serde_json::{Value, json};

const HOST: KeyId = KeyId([0; 32]);

/// 2026-06-16T02:30:00Z, within the nightly window.
fn now() -> Now {
    Now::reading(WallTime::from_seconds(1_781_577_000), 60_000)
}

fn put(standing: &mut Standing, kind: Kind, name: &str, target: Value, spec: Value) -> Digest {
    let digest = Digest::of(name.as_bytes());
    let spec: Spec = serde_json::from_value(json!({ "kind": kind.name(), "spec": spec }))
        .expect("the benchmark's own specs are well-formed");
    let number = || name.get(..2).map(|byte| u8::from_str_radix(byte, 16).unwrap_or(0) % 80);
    let site = if kind == Kind::Host { number() } else { None };
    let version = Version {
        target: serde_json::from_value(target).expect("a target"),
        site: site.map(|number| id(&format!("site-{number}"))),
        ..Version::saying(1, digest, Some(spec))
    };
    let line = Line { state: State::Counts, versions: vec![Arc::new(version)] };
    standing.lines.insert((kind, id(name)), line);
    digest
}

fn id(text: &str) -> ResourceId {
    text.parse().expect("an id")
}

fn profile(version: &str) -> Value {
    json!({
        "name": version, "type": "OS_TYPE_IMMUTABLE", "provider": "infra",
        "profileName": "microvisor", "osImageVersion": version,
        "indexDigest": Digest::of(version.as_bytes()), "indexBytes": 1000,
    })
}

fn fleet() -> Standing {
    let root = RootState {
        fleet: FleetId([1; 32]),
        version: 1,
        digest: Digest([1; 32]),
        issued: WallTime::EPOCH,
        expires: WallTime::MAX,
        freshness: Freshness::default(),
    };
    let mut standing = Standing { root: Some(root), ..Standing::default() };
    for number in 0..20_u32 {
        let parent = (number > 0).then(|| format!("region-{}", number % 4));
        let parent = parent.filter(|_| number >= 4);
        let spec = json!({ "name": "r", "parent": parent });
        put(&mut standing, Kind::Region, &format!("region-{number}"), json!(null), spec);
    }
    for number in 0..80_u32 {
        let spec = json!({
            "name": "s", "region": format!("region-{}", number % 20), "zone": "Europe/Berlin",
        });
        put(&mut standing, Kind::Site, &format!("site-{number}"), json!(null), spec);
    }
    for number in 0..1000_u32 {
        let mut key = [0; 32];
        key[0] = u8::try_from(number % 80).unwrap_or(0);
        key[28..].copy_from_slice(&(number / 80).to_be_bytes());
        let spec = json!({ "name": "h", "publicKey": "", "labels": { "line": "3" } });
        put(&mut standing, Kind::Host, &KeyId(key).to_string(), json!(null), spec);
    }
    for number in 0..50_u32 {
        // Five reach the host: its site's, its region's, two by label, one for everyone.
        let target = match number {
            0 => json!({ "all": true }),
            1 => json!({ "labels": { "line": "3" } }),
            2 => json!({ "region": "region-0", "labels": { "line": "3" } }),
            3 => json!({ "region": "region-0" }),
            _ => json!({ "site": format!("site-{}", number - 4) }),
        };
        let spec = json!({
            "name": "w", "scheduleStatus": "SCHEDULE_STATUS_OS_UPDATE", "durationSeconds": 7200,
            "cronMinutes": "0", "cronHours": format!("{}", 2 + number % 20),
            "cronDayMonth": "*", "cronMonth": "*", "cronDayWeek": "*",
            "zone": if number % 2 == 0 { "UTC" } else { "site" },
        });
        put(&mut standing, Kind::RepeatedSchedule, &format!("schedule-{number}"), target, spec);
    }
    let xmas = json!({
        "name": "xmas", "from": "2025-12-19T00:00:00Z", "to": "2026-01-07T00:00:00Z", "yearly": true,
    });
    put(&mut standing, Kind::Blackout, "blackout-1", json!({ "all": true }), xmas);
    for number in 0..20_u32 {
        let target = match number {
            0 => json!({ "all": true }),
            1 => json!({ "region": "region-0" }),
            _ => json!({ "site": format!("site-{}", number - 2) }),
        };
        let spec = json!({ "name": "latest", "updatePolicy": "LATEST", "spreadSeconds": 0 });
        put(&mut standing, Kind::OsUpdatePolicy, &format!("policy-{number}"), target, spec);
    }
    for version in ["3.0.1", "3.0.2", "3.0.3"] {
        let name = format!("os-{}", version.replace('.', "-"));
        let digest = put(&mut standing, Kind::OsProfile, &name, json!(null), profile(version));
        let os = json!({ "profile": "microvisor", "version": version, "digest": digest });
        let (target, spec) = (json!({ "all": true }), json!({ "os": os }));
        put(&mut standing, Kind::Promotion, &name, target, spec);
    }
    standing
}

fn machine() -> Machine {
    let staged = StagedImage { profile: Digest([0; 32]), index_digest: Digest::of(b"3.0.3") };
    Machine { staged: Some(staged), ..daymark_bench::machine("microvisor", "3.0.1") }
}

fn bench(c: &mut Criterion) {
    let (standing, machine) = (fleet(), machine());
    let reach = Reach::new(&standing, HOST);
    let world = World { reach: &reach, machine: &machine };
    let decision = decide(&world, &now());
    assert_eq!(decision.verdict, Verdict::Activate, "{decision:#?}");
    c.bench_function("decide/open window", |b| b.iter(|| decide(black_box(&world), &now())));
    let night = Now::reading(now().earliest.plus_ms(22 * 3_600_000), 60_000);
    c.bench_function("decide/outside windows", |b| b.iter(|| decide(black_box(&world), &night)));
    c.bench_function("reach/1000 hosts", |b| b.iter(|| Reach::new(black_box(&standing), HOST)));
}

criterion_group!(benches, bench);
criterion_main!(benches);
