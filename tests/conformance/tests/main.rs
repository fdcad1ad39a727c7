//! EIM's vectors against Daymark's rules, and attacks on a real node. What of the vectors binds, and
//! what does not, is the table at the end of `vectors/README.md`.

use daymark_conformance::{file, file_names};

mod attacks;
mod cron;
mod decide;
mod policy_create;
mod schedules;
mod status;
mod versions;
mod words;

/// Sections that vectors are taken from, by file.
const TESTED: &[(&str, &[&str])] = &[
    ("cron_validation.json", &["fields", "duration", "single"]),
    ("eligibility.json", &["vectors"]),
    ("policy.json", &["create", "resolve"]),
    ("schedules.json", &["vectors", "timezone_conversion"]),
    ("status.json", &["mapping", "run_names", "status_detail"]),
    ("versions.json", &["convert", "compare", "profile_revision"]),
];

/// Sections that explain or support others, and those that do not bind Daymark.
const NOT_BINDING: &[(&str, &[&str])] = &[
    ("cron_validation.json", &["description", "patterns_checked_against"]),
    ("eligibility.json", &["description", "download_start"]),
    ("policy.json", &["description", "os_resources", "update", "delete", "completion"]),
    ("schedules.json", &["description", "statuses", "fields", "topologies"]),
    (
        "status.json",
        &[
            "description",
            "change_needed",
            "sequences",
            "open_run_end_time",
            "cve_copy",
            "shared_text_defect",
        ],
    ),
    ("versions.json", &["description"]),
];

#[test]
fn every_file_and_section_is_known() {
    let known = |name: &str, section: &str| {
        [TESTED, NOT_BINDING]
            .into_iter()
            .flatten()
            .any(|(file, sections)| *file == name && sections.contains(&section))
    };
    let mut unknown = Vec::new();
    for name in file_names() {
        if !TESTED.iter().any(|(file, _)| *file == name) {
            unknown.push(name);
            continue;
        }
        let sections = file(&name).unwrap_or_default();
        let strange = sections.keys().filter(|section| !known(&name, section));
        unknown.extend(strange.map(|section| format!("{name} {section}")));
    }
    assert!(unknown.is_empty(), "no check for: {}", unknown.join(", "));
}
