//! `status.json`: texts, indicators, names of runs, details.

use daymark_conformance::{integer, run, same, text};
use daymark_protocol::resource::OsType;
use daymark_protocol::status::{UpdateStatus, run_name};
use daymark_protocol::time::WallTime;
use serde_json::Value;

#[test]
fn mapping() {
    run("status.json", "mapping", |vector| {
        let status = status(vector, "/type")?;
        same("number", &i64::from(status.number()), &integer(vector, "/number")?)?;
        same("text", &status.text(), &text(vector, "/text")?)?;
        same("indicator", &status.indicator().name(), &text(vector, "/indicator")?)
    });
}

#[test]
fn run_names() {
    run("status.json", "run_names", |vector| {
        let host = text(vector, "/host_name")?;
        let ours = run_name(host, WallTime::from_seconds(integer(vector, "/at/unix")?));
        if host.is_char_boundary(13.min(host.len())) {
            return same("run_name", &ours.as_str(), &text(vector, "/run_name")?);
        }
        // EIM cuts through a character here; ours ends before it.
        let (kept, _) = ours.split_once(" update ").ok_or("no host in our name")?;
        same("the host's part", &host.starts_with(kept), &true)?;
        let next = host[kept.len()..].chars().next().map_or(0, char::len_utf8);
        same("bytes with one more character", &(kept.len() + next > 13), &true)
    });
}

#[test]
fn status_detail() {
    run("status.json", "status_detail", |vector| {
        let os_type = match text(vector, "/os_type")? {
            "MUTABLE" => OsType::Mutable,
            "IMMUTABLE" => OsType::Immutable,
            other => return Err(format!("unknown os_type {other}")),
        };
        let reported = status(vector, "/reported")?;
        let (ours, kept) = reported.with_detail(os_type, text(vector, "/detail_in")?);
        same("text", &ours.as_str(), &text(vector, "/text")?)?;
        same("detail_stored", &kept.unwrap_or_default(), &text(vector, "/detail_stored")?)
    });
}

fn status(vector: &Value, pointer: &str) -> Result<UpdateStatus, String> {
    let name = text(vector, pointer)?;
    UpdateStatus::by_name(name).ok_or_else(|| format!("unknown status {name}"))
}
