//! A fleet of one host in which every gate passes, to be changed by the tests.

use serde_json::{Value, json};
use std::sync::Arc;

use crate::decide::{
    Activity, Decision, Gate, Installed, InstalledSource, Machine, PlatformKind, Reach,
    StagedImage, World, decide,
};
use crate::id::{Digest, FleetId, KeyId, ResourceId};
use crate::resource::{Kind, OsType, Spec, Target};
use crate::time::{Now, WallTime};
use crate::trust::{Freshness, HaltLine, Line, RootState, Standing, State, Version};

pub(super) const HOST: KeyId = KeyId([0xAB; 32]);

/// Half past two, in the middle of the nightly window from two to four.
pub(super) const NOW: &str = "2026-06-16T02:30:00Z";

/// The second image version, which is promoted and staged.
pub(super) const SECOND: &str = "3.0.20240820.2000";

#[derive(Clone)]
pub(super) struct Fleet {
    pub(super) standing: Standing,
    pub(super) machine: Machine,
}

pub(super) fn at(text: &str) -> WallTime {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

pub(super) fn now() -> Now {
    Now::reading(at(NOW), 0)
}

pub(super) fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

pub(super) fn index_of(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

/// A valid version of a resource, for all of the fleet.
pub(super) fn version(kind: Kind, number: u64, target: Value, spec: Value) -> Version {
    let spec: Option<Spec> = (!spec.is_null())
        .then(|| serde_json::from_value(json!({ "kind": kind.name(), "spec": spec })).unwrap());
    let digest = Digest::of(format!("{kind} {number} {target} {spec:?}").as_bytes());
    Version {
        issued: at("2026-06-01T00:00:00Z"),
        target: serde_json::from_value::<Option<Target>>(target).unwrap(),
        ..Version::saying(number, digest, spec)
    }
}

pub(super) fn profile_spec(profile: &str, image: &str) -> Value {
    json!({
        "name": format!("{profile}@{image}"), "type": "OS_TYPE_IMMUTABLE", "provider": "infra",
        "architecture": "x86_64", "profileName": profile, "osImageVersion": image,
        "indexDigest": index_of(image), "indexBytes": 1000,
    })
}

impl Fleet {
    /// Everything passes: the host runs the first version, the second is promoted and staged.
    pub(super) fn ready() -> Self {
        let mut fleet = Self { standing: Standing::default(), machine: machine() };
        fleet.standing.root = Some(RootState {
            fleet: FleetId([1; 32]),
            version: 1,
            digest: Digest([1; 32]),
            issued: at("2026-01-01T00:00:00Z"),
            expires: at("2030-01-01T00:00:00Z"),
            freshness: Freshness::default(),
        });
        fleet.put(Kind::Region, "region-a", json!(null), json!({ "name": "a" }));
        fleet.put(Kind::Site, "site-a", json!(null), json!({ "name": "a", "region": "region-a" }));
        let host = json!({ "name": "press-1", "publicKey": "", "labels": { "line": "3" } });
        let host_id = HOST.to_string();
        fleet.put(Kind::Host, &host_id, json!(null), host).site = Some(id("site-a"));
        let first = "3.0.20240720.2000";
        fleet.put(Kind::OsProfile, "os-1", json!(null), profile_spec("microvisor", first));
        fleet.put(Kind::OsProfile, "os-2", json!(null), profile_spec("microvisor", SECOND));
        let digest = fleet.digest_of(Kind::OsProfile, "os-2");
        fleet.promote("promotion-2", "microvisor", SECOND, digest);
        let nightly = json!({
            "name": "nightly", "scheduleStatus": "SCHEDULE_STATUS_OS_UPDATE",
            "durationSeconds": 7200, "cronMinutes": "0", "cronHours": "2",
            "cronDayMonth": "*", "cronMonth": "*", "cronDayWeek": "*",
        });
        fleet.put(Kind::RepeatedSchedule, "nightly", json!({ "site": "site-a" }), nightly);
        fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "site": "site-a" }), latest());
        fleet
    }

    /// Adds the only version of an id.
    pub(super) fn put(
        &mut self,
        kind: Kind,
        name: &str,
        target: Value,
        spec: Value,
    ) -> &mut Version {
        let line =
            Line { state: State::Counts, versions: vec![Arc::new(version(kind, 1, target, spec))] };
        self.standing.lines.insert((kind, id(name)), line);
        Arc::make_mut(&mut self.line(kind, name).versions[0])
    }

    /// Adds a version above those that an id has.
    pub(super) fn supersede(
        &mut self,
        kind: Kind,
        name: &str,
        target: Value,
        spec: Value,
    ) -> &mut Version {
        let line = self.line(kind, name);
        let number = line.versions[0].version + 1;
        line.versions.insert(0, Arc::new(version(kind, number, target, spec)));
        Arc::make_mut(&mut line.versions[0])
    }

    pub(super) fn line(&mut self, kind: Kind, name: &str) -> &mut Line {
        self.standing.lines.get_mut(&(kind, id(name))).unwrap()
    }

    pub(super) fn newest(&mut self, kind: Kind, name: &str) -> &mut Version {
        Arc::make_mut(&mut self.line(kind, name).versions[0])
    }

    pub(super) fn forget(&mut self, kind: Kind, name: &str) {
        self.standing.lines.remove(&(kind, id(name))).unwrap();
    }

    pub(super) fn make_unknown(&mut self, kind: Kind, name: &str) {
        self.line(kind, name).state = State::Unknown("two differ".into());
    }

    pub(super) fn digest_of(&mut self, kind: Kind, name: &str) -> Digest {
        self.newest(kind, name).digest
    }

    pub(super) fn promote(&mut self, name: &str, profile: &str, image: &str, digest: Digest) {
        let os = json!({ "profile": profile, "version": image, "digest": digest });
        self.put(Kind::Promotion, name, json!({ "all": true }), json!({ "os": os }));
    }

    pub(super) fn halt(&mut self, target: Value, spec: Value) -> &mut HaltLine {
        let halt = HaltLine {
            id: id("halt-a"),
            version: Arc::new(version(Kind::Halt, 1, target, spec)),
            flood: None,
            lifted_until: None,
        };
        self.standing.halts.push(halt);
        self.standing.halts.last_mut().unwrap()
    }

    pub(super) fn decide(&self) -> Decision {
        self.decide_at(&now())
    }

    pub(super) fn decide_at(&self, now: &Now) -> Decision {
        let reach = Reach::new(&self.standing, HOST);
        decide(&World { reach: &reach, machine: &self.machine }, now)
    }
}

pub(super) fn latest() -> Value {
    json!({ "name": "latest", "updatePolicy": "LATEST", "spreadSeconds": 0 })
}

/// A policy for one image.
pub(super) fn target_of(profile: &str, image: &str, digest: Digest) -> Value {
    json!({
        "name": "target", "updatePolicy": "TARGET", "spreadSeconds": 0,
        "targetOs": { "profile": profile, "version": image, "digest": digest },
    })
}

pub(super) fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

pub(super) fn blackout(from: &str, to: &str) -> Value {
    json!({ "name": "closed", "from": from, "to": to })
}

/// The gates that fail.
pub(super) fn failing(decision: &Decision) -> Vec<Gate> {
    decision.gates.iter().filter(|answer| !answer.pass).map(|answer| answer.gate).collect()
}

/// The word that a gate answers with; empty if it is absent.
pub(super) fn word(decision: &Decision, gate: Gate) -> String {
    let answer = decision.gates.iter().find(|answer| answer.gate == gate);
    answer.map(|answer| answer.reason.to_string()).unwrap_or_default()
}

fn machine() -> Machine {
    Machine {
        os_type: OsType::Immutable,
        platform: PlatformKind::Slots,
        architecture: "x86_64".into(),
        installed: Some(Installed {
            profile: Some("microvisor".into()),
            version: Some("3.0.20240720.2000".into()),
            index_digest: Some(index_of("3.0.20240720.2000")),
            image_sha256: None,
            source: InstalledSource::Slot,
        }),
        staged: Some(StagedImage { profile: Digest([9; 32]), index_digest: index_of(SECOND) }),
        quarantine: Vec::new(),
        inhibitors: Vec::new(),
        other_updaters: Vec::new(),
        activation_ms: None,
        activity: Activity::Idle,
        slot_busy: None,
    }
}
