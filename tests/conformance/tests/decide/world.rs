//! A vector's fleet, as if all of it had been signed.

use std::collections::BTreeMap;
use std::sync::Arc;

use daymark_conformance::{at, flag, list, optional, shared, text};
use daymark_protocol::decide::{Activity, Installed, InstalledSource, Machine, PlatformKind};
use daymark_protocol::id::{Digest, FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{Kind, OsType, Spec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Freshness, Line, RootState, Standing, State, Version};
use serde_json::{Value, json};

use super::os_type;

/// Every vector decides for one host; its key is ours to choose.
pub(super) const HOST: KeyId = KeyId([0xE1; 32]);

/// The host of a vector.
pub(super) struct Host {
    pub(super) machine: Machine,
    images: Vec<Value>,
    topology: Option<Value>,
}

impl Host {
    pub(super) fn of(vector: &Value, topology: Option<&Value>) -> Result<Self, String> {
        let known = shared("policy.json", "os_resources");
        let known = known.as_array().ok_or("os_resources is not a list")?;
        let named = |id: &str| {
            let image = known.iter().find(|image| image["id"] == id);
            image.cloned().ok_or_else(|| format!("unknown OS {id}"))
        };
        let current = named(text(vector, "/current_os")?)?;
        let mut images = Vec::new();
        for image in list(vector, "/os_list")? {
            images.push(match image.as_str() {
                Some(id) => named(id)?,
                None => image.clone(),
            });
        }
        let os_type = os_type(text(&current, "/type")?)?;
        let machine = Machine {
            os_type,
            platform: match os_type {
                OsType::Immutable => PlatformKind::Slots,
                OsType::Mutable => PlatformKind::None,
            },
            architecture: "x86_64".into(),
            installed: Some(Installed {
                profile: Some(text(&current, "/profile")?.into()),
                version: Some(text(&current, "/image_id")?.into()),
                index_digest: None,
                image_sha256: text(&current, "/sha256")?.parse().ok(),
                source: InstalledSource::OsRelease,
            }),
            staged: None,
            quarantine: Vec::new(),
            inhibitors: Vec::new(),
            other_updaters: Vec::new(),
            activation_ms: Some(0),
            activity: Activity::Idle,
            slot_busy: None,
        };
        Ok(Self { machine, images, topology: topology.cloned() })
    }
}

/// All statements of a vector.
pub(super) fn fleet(host: &Host, vector: &Value) -> Result<Standing, String> {
    let root = RootState {
        fleet: FleetId([1; 32]),
        version: 1,
        digest: Digest([1; 32]),
        issued: WallTime::EPOCH,
        expires: WallTime::MAX,
        freshness: Freshness::default(),
    };
    let mut standing = Standing { root: Some(root), ..Standing::default() };
    place(&mut standing, host, vector)?;
    let everyone = json!({ "all": true });
    for image in &host.images {
        let (profile, version) = (&image["profile"], &image["image_id"]);
        let spec = json!({
            "name": image["name"], "type": format!("OS_TYPE_{}", text(image, "/type")?),
            "provider": "eim", "profileName": profile, "osImageVersion": version,
            "osImageSha256": image["sha256"], "indexDigest": image["sha256"], "indexBytes": 1,
        });
        let id = text(image, "/id")?;
        let digest = put(&mut standing, Kind::OsProfile, id, json!(null), spec)?.digest;
        let os = json!({ "profile": profile, "version": version, "digest": digest });
        put(&mut standing, Kind::Promotion, id, everyone.clone(), json!({ "os": os }))?;
    }
    if let Some(policy) = optional(vector, "/policy")? {
        let spec = policy_spec(&standing, host, policy)?;
        put(&mut standing, Kind::OsUpdatePolicy, "policy", everyone, spec)?;
    }
    if vector.get("schedules").is_some() {
        for schedule in list(vector, "/schedules")? {
            put_schedule(&mut standing, vector, schedule)?;
        }
    }
    Ok(standing)
}

fn place(standing: &mut Standing, host: &Host, vector: &Value) -> Result<(), String> {
    let mut site = None;
    if let Some(topology) = &host.topology {
        for region in list(topology, "/regions")? {
            let spec = json!({ "name": "region", "parent": region["parent"] });
            put(standing, Kind::Region, text(region, "/id")?, json!(null), spec)?;
        }
        for one in list(topology, "/sites")? {
            let spec = json!({ "name": "site", "region": one["region"] });
            put(standing, Kind::Site, text(one, "/id")?, json!(null), spec)?;
        }
        let hosts = list(topology, "/hosts")?;
        let ours = hosts.iter().find(|one| one["id"] == vector["host"]).ok_or("unknown host")?;
        site = ours["site"].as_str().map(parse_id).transpose()?;
        if !flag(vector, "/provisioned")? {
            return Ok(());
        }
    }
    let spec = json!({ "name": "host", "publicKey": "" });
    let line = put(standing, Kind::Host, &HOST.to_string(), json!(null), spec)?;
    line.site = site;
    if host.topology.is_some() && !flag(vector, "/trusted")? {
        (line.gone, line.spec) = (true, Ok(None));
    }
    Ok(())
}

fn policy_spec(standing: &Standing, host: &Host, policy: &Value) -> Result<Value, String> {
    let mut spec = json!({
        "name": "policy", "updatePolicy": policy["update_policy"], "spreadSeconds": 0,
    });
    for (eim, ours) in [
        ("update_packages", "updatePackages"),
        ("update_sources", "updateSources"),
        ("update_kernel_command", "updateKernelCommand"),
    ] {
        if let Some(value) = policy.get(eim) {
            spec[ours] = value.clone();
        }
    }
    let Some(target) = policy.get("target_os") else { return Ok(spec) };
    let image = host.images.iter().find(|image| image["id"] == *target);
    spec["targetOs"] = match image {
        Some(image) => {
            let line = &standing.lines[&(Kind::OsProfile, parse_id(text(image, "/id")?)?)];
            let digest = line.versions[0].digest;
            json!({ "profile": image["profile"], "version": image["image_id"], "digest": digest })
        }
        // Deleted in EIM: named by a digest of which nothing is held.
        None => json!({ "profile": "gone", "version": "1.0.0", "digest": Digest([0; 32]) }),
    };
    Ok(spec)
}

fn put_schedule(standing: &mut Standing, vector: &Value, schedule: &Value) -> Result<(), String> {
    let status = format!("SCHEDULE_STATUS_{}", text(schedule, "/status")?);
    let (kind, spec) = match text(schedule, "/kind")? {
        "single" => (
            Kind::SingleSchedule,
            json!({
                "name": "window", "scheduleStatus": status,
                "startSeconds": at(schedule, "/start/unix")?,
                "endSeconds": schedule.pointer("/end/unix"),
            }),
        ),
        "repeated" => (
            Kind::RepeatedSchedule,
            json!({
                "name": "window", "scheduleStatus": status,
                "durationSeconds": schedule["duration_seconds"],
                "cronMinutes": schedule["minutes"], "cronHours": schedule["hours"],
                "cronDayMonth": schedule["day_month"], "cronMonth": schedule["month"],
                "cronDayWeek": schedule["day_week"],
            }),
        ),
        other => return Err(format!("unknown kind of schedule {other}")),
    };
    let mut target = at(schedule, "/target")?.clone();
    if let Some(host) = target.get("host").cloned() {
        let key = if host == vector["host"] { HOST } else { KeyId([0; 32]) };
        target = json!({ "hosts": [key] });
    }
    put(standing, kind, text(schedule, "/id")?, target, spec).map(|_| ())
}

fn parse_id(text: &str) -> Result<ResourceId, String> {
    text.parse().map_err(|e| format!("{e}"))
}

fn put<'a>(
    standing: &'a mut Standing,
    kind: Kind,
    id: &str,
    target: Value,
    spec: Value,
) -> Result<&'a mut Version, String> {
    let digest = Digest::of(format!("{kind} {id} {spec}").as_bytes());
    let spec: Spec = serde_json::from_value(json!({ "kind": kind.name(), "spec": spec }))
        .map_err(|e| format!("{kind} {id}: {e}"))?;
    let target = serde_json::from_value(target).map_err(|e| format!("{kind} {id}: {e}"))?;
    let version = Version { target, ..Version::saying(1, digest, Some(spec)) };
    let lines: &mut BTreeMap<_, _> = &mut standing.lines;
    let line = Line { state: State::Counts, versions: vec![Arc::new(version)] };
    let line = lines.entry((kind, parse_id(id)?)).insert_entry(line).into_mut();
    line.versions.first_mut().map(Arc::make_mut).ok_or_else(|| "no version".into())
}
