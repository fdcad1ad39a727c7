//! `cron_validation.json`: which fields of a schedule are accepted.

use daymark_conformance::{flag, integer, run, same, text};
use daymark_protocol::resource::{RepeatedScheduleSpec, SingleScheduleSpec};
use serde_json::{Value, json};

#[test]
fn fields() {
    run("cron_validation.json", "fields", |vector| {
        let field = match text(vector, "/field")? {
            "minutes" => "cronMinutes",
            "hours" => "cronHours",
            "day_month" => "cronDayMonth",
            "month" => "cronMonth",
            "day_week" => "cronDayWeek",
            other => return Err(format!("unknown field {other}")),
        };
        let accepted = accepts(field, json!(text(vector, "/value")?));
        same("valid", &accepted, &flag(vector, "/valid")?)
    });
}

#[test]
fn duration() {
    run("cron_validation.json", "duration", |vector| {
        same("field", &text(vector, "/field")?, &"duration_seconds")?;
        let accepted = accepts("durationSeconds", json!(integer(vector, "/value")?));
        same("valid", &accepted, &flag(vector, "/valid")?)
    });
}

#[test]
fn single() {
    run("cron_validation.json", "single", |vector| {
        let start = integer(vector, "/start_seconds")?;
        let one_target = integer(vector, "/targets")? <= 1;
        if start <= integer(vector, "/now/unix")? || !one_target {
            // Not a matter of the spec: whoever creates a schedule compares its start with the
            // present, and a target of ours is a conjunction.
            return same("valid", &false, &flag(vector, "/valid")?);
        }
        let spec: Result<SingleScheduleSpec, _> = serde_json::from_value(json!({
            "name": "window",
            "scheduleStatus": "SCHEDULE_STATUS_OS_UPDATE",
            "startSeconds": start,
            "endSeconds": vector.get("end_seconds").cloned().unwrap_or_default(),
        }));
        let accepted = spec.is_ok_and(|spec| spec.validate().is_ok());
        same("valid", &accepted, &flag(vector, "/valid")?)
    });
}

/// Whether a repeated schedule is accepted that differs from a good one in one field.
fn accepts(field: &str, value: Value) -> bool {
    let mut spec = json!({
        "name": "window",
        "scheduleStatus": "SCHEDULE_STATUS_OS_UPDATE",
        "durationSeconds": 3600,
        "cronMinutes": "*",
        "cronHours": "*",
        "cronDayMonth": "*",
        "cronMonth": "*",
        "cronDayWeek": "*",
    });
    spec[field] = value;
    serde_json::from_value::<RepeatedScheduleSpec>(spec).is_ok_and(|spec| spec.validate().is_ok())
}
