//! `policy.json` `create`: which policies are accepted.

use daymark_conformance::{flag, run, same};
use daymark_protocol::resource::OsUpdatePolicySpec;
use serde_json::{Map, Value, json};

#[test]
fn create() {
    run("policy.json", "create", |vector| {
        let policy = vector.get("policy").and_then(Value::as_object).ok_or("no policy")?;
        let spec = serde_json::from_value::<OsUpdatePolicySpec>(ours(policy)?);
        let accepted = spec.as_ref().is_ok_and(|spec| spec.validate().is_ok());
        same("valid", &accepted, &flag(vector, "/valid")?)?;
        let set = |field: &str| policy.get(field).is_some_and(|value| *value != json!(""));
        let warned = spec.is_ok_and(|spec| accepted && !spec.warnings().is_empty());
        let dropped = accepted && set("target_os") && set("update_kernel_command");
        same("warning of a kernel command beside an OS", &warned, &dropped)
    });
}

/// EIM's policy as one of ours: its target is an id, ours a profile, a version and a digest.
fn ours(policy: &Map<String, Value>) -> Result<Value, String> {
    let mut spec = json!({});
    for (field, value) in policy {
        let (name, value) = match field.as_str() {
            "name" => ("name", value.clone()),
            "description" => ("description", value.clone()),
            "update_policy" => ("updatePolicy", value.clone()),
            "update_packages" => ("updatePackages", value.clone()),
            "update_sources" => ("updateSources", value.clone()),
            "update_kernel_command" => ("updateKernelCommand", value.clone()),
            "target_os" if value.is_null() || *value == json!("") => continue,
            "target_os" => {
                let digest = "0".repeat(64);
                ("targetOs", json!({ "profile": "p", "version": "1.2.3", "digest": digest }))
            }
            other => return Err(format!("unknown field {other}")),
        };
        spec[name] = value;
    }
    Ok(spec)
}
