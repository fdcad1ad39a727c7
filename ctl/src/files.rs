//! Resource files: YAML with one or more documents, ours and EIM's as they are.
//!
//! Reads and shapes; names are turned into ids in [`crate::names`], limits are checked by
//! [`daymark_protocol::resource::Spec`].

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use daymark_protocol::resource::Kind;
use serde_json::{Map, Value};

use crate::exit::{Failure, Outcome};

/// Largest file that is read: EIM's limit for policy files.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One resource as written in a file.
#[derive(Clone, Debug)]
pub(crate) struct FileResource {
    /// Where it stands, for messages: `policy.yaml, document 2`.
    pub place: String,
    /// Its kind, written or recognised by its fields.
    pub kind: Kind,
    /// Whom it is for, with names; absent in EIM's files.
    pub target: Option<Map<String, Value>>,
    /// Where it lives; `--scope` otherwise.
    pub scope: Option<Value>,
    /// When it ends, as typed.
    pub until: Option<String>,
    /// Its fields.
    pub spec: Map<String, Value>,
}

impl FileResource {
    /// The resource's name.
    pub(crate) fn name(&self) -> Outcome<&str> {
        self.spec.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).ok_or_else(
            || Failure::usage(format!("{}: the field spec.name is missing", self.place)),
        )
    }
}

/// Reads all resources of the files; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> Outcome<Vec<FileResource>> {
    let mut resources = Vec::new();
    for path in paths {
        let text = read_text(path)?;
        resources.extend(parse(&path.display().to_string(), &text)?);
    }
    if resources.is_empty() {
        return Err(Failure::usage("the files hold no resource"));
    }
    Ok(resources)
}

fn read_text(path: &Path) -> Outcome<String> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", path.display()))
            .next("name a YAML file with -f, or - for standard input")
    })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than 1 MiB", path.display())));
    }
    Ok(text)
}

/// Parses the documents of one file.
pub(crate) fn parse(name: &str, text: &str) -> Outcome<Vec<FileResource>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| Failure::usage(format!("{name} is not valid YAML: {error}")))?;
    let several = documents.len() > 1;
    documents
        .into_iter()
        .enumerate()
        .filter(|(_, document)| !document.is_null())
        .map(|(index, document)| {
            let place =
                if several { format!("{name}, document {}", index + 1) } else { name.to_owned() };
            resource(place, document)
        })
        .collect()
}

fn resource(place: String, document: Value) -> Outcome<FileResource> {
    let Value::Object(mut fields) = document else {
        return Err(Failure::usage(format!("{place} is not a mapping of fields")));
    };
    let Some(Value::Object(mut spec)) = fields.remove("spec") else {
        return Err(Failure::usage(format!("{place}: the field spec is missing")));
    };
    let kind = match fields.remove("kind") {
        Some(Value::String(text)) => kind_named(&text)
            .ok_or_else(|| Failure::usage(format!("{place}: unknown kind {text:?}")))?,
        Some(_) => return Err(Failure::usage(format!("{place}: kind must be a text"))),
        None => recognise(&spec).ok_or_else(|| {
            Failure::usage(format!("{place}: cannot tell its kind from its fields"))
                .next("add a line such as `kind: OsUpdatePolicy`")
        })?,
    };
    let target = match fields.remove("target") {
        None => None,
        Some(Value::Object(target)) => Some(target),
        Some(_) => return Err(Failure::usage(format!("{place}: target must be a mapping"))),
    };
    let until = match fields.remove("until") {
        None => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => return Err(Failure::usage(format!("{place}: until must be a time"))),
    };
    let scope = fields.remove("scope");
    // EIM's heads say nothing that we use.
    fields.remove("appVersion");
    fields.remove("metadata");
    if let Some(unknown) = fields.keys().next() {
        return Err(Failure::usage(format!("{place}: unknown field {unknown:?}"))
            .next("known are kind, scope, target, until and spec"));
    }
    texts(&mut spec);
    Ok(FileResource { place, kind, target, scope, until, spec })
}

/// Cron fields written as plain numbers are texts all the same.
fn texts(spec: &mut Map<String, Value>) {
    for (name, value) in spec.iter_mut() {
        if name.starts_with("cron") && value.is_number() {
            *value = Value::String(value.to_string());
        }
    }
}

/// Kinds as people name them, in singular or plural.
pub(crate) fn kind_named(text: &str) -> Option<Kind> {
    if let Ok(kind) = text.parse() {
        return Some(kind);
    }
    Some(match text.to_ascii_lowercase().as_str() {
        "region" | "regions" => Kind::Region,
        "site" | "sites" => Kind::Site,
        "host" | "hosts" => Kind::Host,
        "osprofile" | "osprofiles" | "profile" => Kind::OsProfile,
        "singleschedule" => Kind::SingleSchedule,
        "repeatedschedule" | "schedule" | "schedules" => Kind::RepeatedSchedule,
        "blackout" | "blackouts" => Kind::Blackout,
        "policy" | "policies" | "osupdatepolicy" | "osupdatepolicies" => Kind::OsUpdatePolicy,
        "promotion" | "promotions" => Kind::Promotion,
        "config" | "configs" | "customconfig" => Kind::CustomConfig,
        "hold" | "holds" => Kind::Hold,
        "retry" | "retries" => Kind::Retry,
        "halt" | "halts" => Kind::Halt,
        "resume" | "resumes" => Kind::Resume,
        "emergency" | "emergencies" => Kind::Emergency,
        "token" | "tokens" => Kind::Token,
        _ => return None,
    })
}

/// EIM's files name no kind; their fields tell.
fn recognise(spec: &Map<String, Value>) -> Option<Kind> {
    let has = |field: &str| spec.contains_key(field);
    if has("updatePolicy") {
        Some(Kind::OsUpdatePolicy)
    } else if has("cronMinutes") || has("durationSeconds") {
        Some(Kind::RepeatedSchedule)
    } else if has("startSeconds") {
        Some(Kind::SingleSchedule)
    } else if has("osImageVersion") {
        Some(Kind::OsProfile)
    } else if has("config") {
        Some(Kind::CustomConfig)
    } else {
        None
    }
}

/// The failure of a resource that two things could be meant by.
pub(crate) fn ambiguous(what: &str, name: &str, ids: &[String]) -> Failure {
    Failure::usage(format!("{what} {name:?} fits {}: {}", ids.len(), ids.join(", ")))
        .next("use the id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_policy_of_eim_is_recognised_as_it_is() {
        let text = "appVersion: apps/v1\nmetadata: {a: b}\nspec:\n  name: p\n  updatePolicy: UPDATE_POLICY_LATEST\n";
        let resources = parse("policy.yaml", text).unwrap();
        assert_eq!(resources[0].kind, Kind::OsUpdatePolicy);
        assert_eq!(resources[0].name().unwrap(), "p");
        assert!(resources[0].target.is_none());
    }

    #[test]
    fn several_documents_and_plain_cron_numbers_are_read() {
        let text = "kind: schedule\ntarget: {all: true}\nspec: {name: s, cronMinutes: 0}\n---\nkind: Site\nspec: {name: b}\n";
        let resources = parse("f.yaml", text).unwrap();
        assert_eq!(resources[0].spec["cronMinutes"], "0");
        assert_eq!(resources[1].place, "f.yaml, document 2");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("spec: {name: x}\nextra: 1", "cannot tell its kind"),
            ("kind: Site\nspec: {name: x}\nextra: 1", "extra"),
            ("kind: Sight\nspec: {name: x}", "Sight"),
            ("kind: Site", "spec"),
            ("a: [", "not valid YAML"),
            ("- 1", "not a mapping"),
        ] {
            let failure = parse("f.yaml", text).err().unwrap();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.error.to_string().contains(words), "{text}: {}", failure.error);
        }
    }
}
