//! Finds EIM's test vectors, runs a check over each and names every one that fails.
//!
//! The folder is the project's own copy, or the one that `DAYMARK_VECTORS` names. It may hold any
//! subset of the files, sections and vectors; what is not known by name fails loudly, so that a
//! new section cannot go untested. Knows nothing of what a vector means.

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// What a check says of one vector.
pub type Outcome = Result<(), String>;

/// The folder the vectors are taken from.
pub fn folder() -> PathBuf {
    env::var_os("DAYMARK_VECTORS").map_or_else(own_folder, PathBuf::from)
}

fn own_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Names of the `.json` files and of everything else that is not a `README.md`, sorted.
pub fn file_names() -> Vec<String> {
    let folder = folder();
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display())))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    names
}

/// The sections of a file, `None` if the folder does not hold it.
pub fn file(name: &str) -> Option<Map<String, Value>> {
    file_in(&folder(), name)
}

fn file_in(folder: &Path, name: &str) -> Option<Map<String, Value>> {
    let path = folder.join(name);
    if !path.exists() {
        return None;
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {name}: {e}"));
    match serde_json::from_str(&text) {
        Ok(Value::Object(sections)) => Some(sections),
        Ok(_) => panic!("{name} is not an object of sections"),
        Err(e) => panic!("{name} is not JSON: {e}"),
    }
}

/// A section that vectors refer to, such as `topologies`: the folder's, or the project's own where
/// the folder holds vectors without it.
pub fn shared(name: &str, section: &str) -> Value {
    [folder(), own_folder()]
        .iter()
        .find_map(|folder| file_in(folder, name)?.remove(section))
        .unwrap_or_else(|| panic!("no section {section} in {name}"))
}

/// Runs `check` over each vector of a section that is there, and panics with the list of those
/// that fail. A check that panics fails its own vector only.
pub fn run(name: &str, section: &str, check: impl Fn(&Value) -> Outcome) {
    let Some(vectors) = file(name).and_then(|mut sections| sections.remove(section)) else {
        return;
    };
    let Value::Array(vectors) = vectors else { panic!("{name} {section} is not a list") };
    let failures: Vec<String> = vectors
        .iter()
        .enumerate()
        .filter_map(|(index, vector)| {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| check(vector)))
                .unwrap_or_else(|_| Err("the check panicked, see above".into()));
            outcome.err().map(|problem| format!("{}: {problem}", label(index, vector)))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} vectors in {name} {section} fail:\n  {}",
        failures.len(),
        vectors.len(),
        failures.join("\n  ")
    );
}

/// What a vector is called in the list of failures.
fn label(index: usize, vector: &Value) -> String {
    let text = |key: &str| vector.get(key).and_then(Value::as_str);
    let id = text("id").or_else(|| text("type")).map_or_else(|| format!("#{index}"), str::to_owned);
    text("title").map_or_else(|| id.clone(), |title| format!("{id} ({title})"))
}

/// Text at `pointer` (RFC 6901) of a vector.
pub fn text<'a>(vector: &'a Value, pointer: &str) -> Result<&'a str, String> {
    at(vector, pointer)?.as_str().ok_or_else(|| format!("{pointer} is not text"))
}

/// Whole number at `pointer`.
pub fn integer(vector: &Value, pointer: &str) -> Result<i64, String> {
    at(vector, pointer)?.as_i64().ok_or_else(|| format!("{pointer} is not a whole number"))
}

/// True or false at `pointer`.
pub fn flag(vector: &Value, pointer: &str) -> Result<bool, String> {
    at(vector, pointer)?.as_bool().ok_or_else(|| format!("{pointer} is not true or false"))
}

/// List at `pointer`.
pub fn list<'a>(vector: &'a Value, pointer: &str) -> Result<&'a [Value], String> {
    let value = at(vector, pointer)?;
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{pointer} is not a list"))
}

/// The value at `pointer`, which must be there.
pub fn at<'a>(vector: &'a Value, pointer: &str) -> Result<&'a Value, String> {
    vector.pointer(pointer).ok_or_else(|| format!("{pointer} is missing"))
}

/// The value at `pointer`, `None` where it is null.
pub fn optional<'a>(vector: &'a Value, pointer: &str) -> Result<Option<&'a Value>, String> {
    at(vector, pointer).map(|value| Some(value).filter(|value| !value.is_null()))
}

/// Compares what Daymark answers with what the vector binds.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, bound: &T) -> Outcome {
    if ours == bound { Ok(()) } else { Err(format!("{what} is {ours:?}, and should be {bound:?}")) }
}
