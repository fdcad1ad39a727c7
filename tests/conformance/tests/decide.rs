//! `policy.json` resolve and `eligibility.json`: the whole decision for one host. All versions are
//! promoted, nothing is spread, activation takes no time, the clock is exact.

mod world;

use daymark_conformance::{Outcome, at, integer, list, run, same, shared, text};
use daymark_protocol::decide::{Decision, Gate, Reach, StagedImage, Verdict, World, decide};
use daymark_protocol::resource::OsType;
use daymark_protocol::time::{Now, WallTime};
use serde_json::Value;

use self::world::{HOST, Host, fleet};

#[test]
fn resolve() {
    run("policy.json", "resolve", |vector| {
        // Any time will do: what is resolved does not depend on it.
        let host = Host::of(vector, None)?;
        let decision = decided(&host, vector, WallTime::from_seconds(1_781_577_000))?;
        let (action, reason) = (text(vector, "/wanted/action")?, text(vector, "/wanted/reason")?);
        match action {
            "os" if is_tie(vector) => waits(&decision, "version-conflict"),
            "os" => {
                same("reason", &word(&decision, Gate::Newer), &Some(reason.into()))?;
                chosen(vector, "/wanted/target_os", &decision)
            }
            "kernel" | "packages" => {
                same("reason", &word(&decision, Gate::Target), &Some(reason.into()))
            }
            // Refreshing what is installed without a signed order is not for a package mirror
            // to decide (I1): nothing without a policy, whatever the kind of OS.
            "refresh-installed-packages" => asks_nothing(&decision, "no-policy"),
            "none" => asks_nothing(&decision, reason),
            "reject" => waits(&decision, reason),
            other => Err(format!("unknown action {other}")),
        }
    });
}

#[test]
fn eligibility() {
    let topologies = shared("schedules.json", "topologies");
    run("eligibility.json", "vectors", |vector| {
        let host = Host::of(vector, Some(at(&topologies, "/cache-test")?))?;
        let now = WallTime::from_seconds(integer(vector, "/at/unix")?);
        let decision = decided(&host, vector, now)?;
        let reason = text(vector, "/expect/reason")?;
        if matches!(vector.pointer("/expect/action"), Some(action) if action != "os") {
            // Packages test the choice, not the go.
            return same("target passes", &word(&decision, Gate::Target), &Some("target".into()));
        }
        chosen(vector, "/expect/target_os", &decision)?;
        match text(vector, "/expect/decision")? {
            "none" => return asks_nothing(&decision, reason),
            "reject" | "refuse" => return waits(&decision, reason),
            "wait" if !opens_anything(vector)? => return waits(&decision, "no-window"),
            "wait" => waits(&decision, reason)?,
            "update-now" => same("verdict", &decision.verdict, &Verdict::Activate)?,
            other => return Err(format!("unknown decision {other}")),
        }
        times(vector, &decision)
    });
}

fn times(vector: &Value, decision: &Decision) -> Outcome {
    let bound = |pointer: &str| match vector.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => integer(vector, &format!("{pointer}/unix")).map(Some),
    };
    let seconds = |time: Option<WallTime>| time.map(WallTime::as_seconds);
    if decision.verdict == Verdict::Activate {
        let end = decision.window.and_then(|window| window.end);
        same("deadline", &seconds(end), &bound("/expect/deadline")?)
    } else {
        same("not_before", &seconds(decision.start_at), &bound("/expect/not_before")?)
    }
}

/// Decides twice: what is wanted is staged before the second time.
fn decided(host: &Host, vector: &Value, now: WallTime) -> Result<Decision, String> {
    let standing = fleet(host, vector)?;
    let reach = Reach::new(&standing, HOST);
    let mut machine = host.machine.clone();
    let now = Now::reading(now, 0);
    let first = decide(&World { reach: &reach, machine: &machine }, &now);
    let Some(target) = &first.target else { return Ok(first) };
    let index_digest = target.index_digest.ok_or("an image without an index")?;
    machine.staged = Some(StagedImage { profile: target.digest, index_digest });
    Ok(decide(&World { reach: &reach, machine: &machine }, &now))
}

fn word(decision: &Decision, gate: Gate) -> Option<String> {
    let answer = decision.gates.iter().find(|answer| answer.gate == gate && answer.pass);
    answer.map(|answer| answer.reason.to_string())
}

fn chosen(vector: &Value, pointer: &str, decision: &Decision) -> Outcome {
    let bound = vector.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let ours = decision.target.as_ref().map(|target| target.os_profile.to_string());
    // Where nothing is wanted, the vectors name no target and we may.
    if bound.is_none() { Ok(()) } else { same("target_os", &ours, &bound) }
}

fn asks_nothing(decision: &Decision, reason: &str) -> Outcome {
    verdict(decision, Verdict::Nothing, reason)
}

fn waits(decision: &Decision, reason: &str) -> Outcome {
    verdict(decision, Verdict::Wait, reason)
}

fn verdict(decision: &Decision, verdict: Verdict, reason: &str) -> Outcome {
    same("verdict", &(decision.verdict, &*decision.reason), &(verdict, reason))
}

/// Two resources of one profile and version with different digests: a conflict for us.
fn is_tie(vector: &Value) -> bool {
    let Ok(images) = list(vector, "/os_list") else { return false };
    let named: Vec<&Value> = images.iter().filter(|image| image.is_object()).collect();
    let key = |image: &Value| (image["profile"].clone(), image["image_id"].clone());
    named.iter().enumerate().any(|(i, one)| {
        named[i + 1..]
            .iter()
            .any(|other| key(one) == key(other) && one["sha256"] != other["sha256"])
    })
}

/// EIM ignores what a schedule is for; only two statuses open ours.
fn opens_anything(vector: &Value) -> Result<bool, String> {
    let schedules = list(vector, "/schedules")?;
    let opens = |one: &Value| matches!(one["status"].as_str(), Some("OS_UPDATE" | "MAINTENANCE"));
    Ok(schedules.is_empty() || schedules.iter().any(opens))
}

/// What EIM calls MUTABLE and IMMUTABLE.
fn os_type(text: &str) -> Result<OsType, String> {
    serde_json::from_value(format!("OS_TYPE_{text}").into()).map_err(|e| e.to_string())
}
