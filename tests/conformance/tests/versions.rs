//! `versions.json`: which texts are versions, which of two is newer, which tags a range selects.

use daymark_conformance::{Outcome, at, flag, list, run, same, text};
use daymark_protocol::version::{Version, VersionRange};
use serde_json::Value;

#[test]
fn convert() {
    run("versions.json", "convert", |vector| {
        let valid = text(vector, "/input")?.parse::<Version>().is_ok();
        same("sane_valid", &valid, &flag(vector, "/sane_valid")?)
    });
}

#[test]
fn compare() {
    run("versions.json", "compare", |vector| {
        let (a, b) = (text(vector, "/a")?.parse(), text(vector, "/b")?.parse::<Version>());
        let order = a.ok().zip(b.ok()).map(|(a, b): (Version, Version)| match a.cmp(&b) {
            std::cmp::Ordering::Less => "less",
            std::cmp::Ordering::Equal => "equal",
            std::cmp::Ordering::Greater => "greater",
        });
        same("sane_order", &order, &at(vector, "/sane_order")?.as_str())
    });
}

#[test]
fn profile_revision() {
    run("versions.json", "profile_revision", selection);
}

fn selection(vector: &Value) -> Outcome {
    let range = VersionRange::new(text(vector, "/range")?);
    let tags: Vec<&str> = list(vector, "/tags")?.iter().filter_map(Value::as_str).collect();
    let selected: Vec<&str> = tags.into_iter().filter(|tag| range.selects_tag(tag)).collect();
    let bound: Vec<&str> = list(vector, "/selected")?.iter().filter_map(Value::as_str).collect();
    same("selected", &selected, &bound)
}
