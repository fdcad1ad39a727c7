//! `schedules.json`: which schedules reach a host, and what they open.

use std::collections::BTreeMap;

use daymark_conformance::{Outcome, at, flag, integer, list, optional, run, same, shared, text};
use daymark_protocol::id::{KeyId, ResourceId};
use daymark_protocol::resource::{
    RepeatedScheduleSpec, ScheduleStatus, ScheduleZone, SingleScheduleSpec, Target,
};
use daymark_protocol::target::{HostPlace, UnknownProfile, ancestry};
use daymark_protocol::time::WallTime;
use daymark_protocol::window::{Schedule, Windows};
use serde_json::{Value, json};

/// A schedule of a vector.
struct Given {
    id: ResourceId,
    spec: Spec,
}

enum Spec {
    Single(SingleScheduleSpec),
    Repeated(RepeatedScheduleSpec),
}

#[test]
fn vectors() {
    let topologies = shared("schedules.json", "topologies");
    run("schedules.json", "vectors", |vector| {
        let topology = at(&topologies, &format!("/{}", text(vector, "/topology")?))?;
        check(vector, topology)
    });
}

fn check(vector: &Value, topology: &Value) -> Outcome {
    let host = find(topology, "hosts", text(vector, "/host")?)?;
    let place = place(topology, host)?;
    let mut given = Vec::new();
    for schedule in list(vector, "/schedules")? {
        // A tenant of EIM is a fleet of its own.
        if schedule["tenant"] == host["tenant"] && reaches(schedule, &place)? {
            given.push(read(schedule)?);
        }
    }
    given.sort_by(|a, b| a.id.cmp(&b.id));
    let applicable: Vec<&str> = given.iter().map(|given| given.id.as_str()).collect();
    let bound: Vec<&str> =
        list(vector, "/expect/applicable")?.iter().filter_map(Value::as_str).collect();
    same("applicable", &applicable, &bound)?;

    let schedules: Vec<_> = given.iter().map(Given::schedule).collect();
    let windows = Windows::new(&schedules, &[], None);
    same("problems", &windows.problems().len(), &0)?;
    let now = WallTime::from_seconds(integer(vector, "/at/unix")?);
    let verdict = flag(vector, "/expect/in_window_if_only_update_or_maintenance_status")?;
    same("in_window by status", &windows.is_open_at(now), &verdict)?;
    same("usable_at by status", &windows.usable_at(now).is_some(), &verdict)?;
    if list(vector, "/schedules")?.iter().all(opens) {
        occurrences(vector, &windows, now)
    } else {
        Ok(())
    }
}

/// What binds where every schedule has a status that opens.
fn occurrences(vector: &Value, windows: &Windows, now: WallTime) -> Outcome {
    same("in_window", &windows.is_open_at(now), &flag(vector, "/expect/in_window")?)?;
    let seconds = |time: Option<WallTime>| time.map(WallTime::as_seconds);
    let open: Vec<_> = windows
        .open_at(now)
        .into_iter()
        .map(|open| (open.schedule.to_string(), Some(open.start.as_seconds()), seconds(open.end)))
        .collect();
    let bound = list(vector, "/expect/open_windows")?
        .iter()
        .map(|open| {
            let id = text(open, "/schedule")?.to_owned();
            Ok((id, instant(open, "/start")?, instant(open, "/end")?))
        })
        .collect::<Result<Vec<_>, String>>()?;
    same("open_windows", &open, &bound)?;
    let merged = windows.merged_at(now).map(|merged| (seconds(merged.start), seconds(merged.end)));
    let bound = match optional(vector, "/expect/merged_window")? {
        None => None,
        Some(window) => Some((instant(window, "/start")?, instant(window, "/end")?)),
    };
    same("merged_window", &merged, &bound)?;
    same("next_start", &seconds(windows.next_start(now)), &instant(vector, "/expect/next_start")?)
}

#[test]
fn timezone_conversion() {
    run("schedules.json", "timezone_conversion", |vector| {
        let (hour, minute) =
            text(vector, "/local_time")?.split_once(':').ok_or("local_time is not HH:MM")?;
        let plain = |digits: &str| digits.parse::<u8>().map(|n| n.to_string());
        let or_any = |pointer| vector.pointer(pointer).and_then(Value::as_str).unwrap_or("*");
        let spec = RepeatedScheduleSpec {
            name: "window".into(),
            schedule_status: ScheduleStatus::OsUpdate,
            duration_seconds: 3600,
            cron_minutes: plain(minute).map_err(|e| e.to_string())?,
            cron_hours: plain(hour).map_err(|e| e.to_string())?,
            cron_day_month: or_any("/day_month_local").into(),
            cron_month: or_any("/months").into(),
            cron_day_week: or_any("/day_week_local").into(),
            zone: ScheduleZone::Iana(text(vector, "/zone")?.into()),
        };
        let id = "repeatedsche-1".parse().map_err(|_| "id")?;
        let windows = Windows::new(&[(id, Schedule::Repeated(&spec))], &[], None);
        same("problems", &windows.problems().len(), &0)?;
        let after = WallTime::from_seconds(integer(vector, "/asked_after/unix")?);
        let next = windows.next_start(after).map(WallTime::as_seconds);
        same("intended_next_start", &next, &instant(vector, "/intended_next_start")?)
    });
}

impl Given {
    fn schedule(&self) -> (ResourceId, Schedule<'_>) {
        let schedule = match &self.spec {
            Spec::Single(spec) => Schedule::Single(spec),
            Spec::Repeated(spec) => Schedule::Repeated(spec),
        };
        (self.id.clone(), schedule)
    }
}

fn read(schedule: &Value) -> Result<Given, String> {
    let status = format!("SCHEDULE_STATUS_{}", text(schedule, "/status")?);
    let spec = match text(schedule, "/kind")? {
        "single" => serde_json::from_value(json!({
            "name": "window",
            "scheduleStatus": status,
            "startSeconds": instant(schedule, "/start")?,
            "endSeconds": instant(schedule, "/end")?,
        }))
        .map(Spec::Single),
        "repeated" => serde_json::from_value(json!({
            "name": "window",
            "scheduleStatus": status,
            "durationSeconds": schedule["duration_seconds"],
            "cronMinutes": schedule["minutes"],
            "cronHours": schedule["hours"],
            "cronDayMonth": schedule["day_month"],
            "cronMonth": schedule["month"],
            "cronDayWeek": schedule["day_week"],
        }))
        .map(Spec::Repeated),
        other => return Err(format!("unknown kind of schedule {other}")),
    };
    let id = text(schedule, "/id")?.parse().map_err(|e| format!("{e}"))?;
    Ok(Given { id, spec: spec.map_err(|e| e.to_string())? })
}

fn opens(schedule: &Value) -> bool {
    matches!(schedule["status"].as_str(), Some("OS_UPDATE" | "MAINTENANCE"))
}

/// Whether a schedule's target reaches the host. EIM's has at most one condition; a workload is
/// one that no host meets.
fn reaches(schedule: &Value, place: &HostPlace) -> Result<bool, String> {
    let Some(target) = optional(schedule, "/target")? else {
        return Ok(Target::default().reaches(place, UnknownProfile::Differs));
    };
    let mut ours = Target::default();
    for (condition, id) in target.as_object().ok_or("target is not an object")? {
        let id = id.as_str().ok_or("target is not an id")?;
        let resource = || id.parse().map_err(|e| format!("{e}"));
        match condition.as_str() {
            "host" => ours.hosts.push(key(id)),
            "site" => ours.site = Some(resource()?),
            "region" => ours.region = Some(resource()?),
            "workload" => return Ok(false),
            other => return Err(format!("unknown target {other}")),
        }
    }
    Ok(ours.reaches(place, UnknownProfile::Differs))
}

/// Where a host of a topology stands. Its key is made up from its id.
fn place(topology: &Value, host: &Value) -> Result<HostPlace, String> {
    let site = match host["site"].as_str() {
        Some(site) => Some(find(topology, "sites", site)?),
        None => None,
    };
    let region = site.and_then(|site| site["region"].as_str());
    let region: Option<ResourceId> = region.and_then(|id| id.parse().ok());
    let parent = |region: &ResourceId| {
        let parent = find(topology, "regions", region.as_str())?["parent"].as_str();
        Ok(parent.and_then(|parent| parent.parse().ok()))
    };
    Ok(HostPlace {
        key: key(text(host, "/id")?),
        site: host["site"].as_str().and_then(|id| id.parse().ok()),
        regions: ancestry(region, parent).0,
        labels: BTreeMap::new(),
        profile: None,
    })
}

fn key(host: &str) -> KeyId {
    KeyId(*daymark_protocol::id::Digest::of(host.as_bytes()).as_bytes())
}

fn find<'a>(topology: &'a Value, kind: &str, id: &str) -> Result<&'a Value, String> {
    list(topology, &format!("/{kind}"))?
        .iter()
        .find(|one| one["id"] == id)
        .ok_or_else(|| format!("no {id} among the {kind}"))
}

/// Unix seconds of an instant, which is null where there is none.
fn instant(value: &Value, pointer: &str) -> Result<Option<i64>, String> {
    optional(value, pointer)?.map(|instant| integer(instant, "/unix")).transpose()
}
