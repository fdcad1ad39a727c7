//! The words that `explain` prints are stable, so each must be documented: every hyphenated string
//! of the decision's code stands in the gate table of `docs/architecture.md` or below it.

#![allow(clippy::unwrap_used, reason = "a test states what must hold")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_test {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            into.push(path);
        }
    }
}

/// String literals that look like a word of a gate: lower-case words joined by hyphens.
fn words(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let literals = code.split('"').skip(1).step_by(2);
    let is_word = |text: &&str| {
        text.contains('-')
            && text.split('-').all(|part| {
                !part.is_empty() && part.chars().all(|letter| letter.is_ascii_lowercase())
            })
    };
    literals.filter(is_word).map(str::to_owned).collect()
}

#[test]
fn every_word_of_the_decision_is_documented() {
    let mut files = Vec::new();
    sources(&project().join("protocol/src/decide"), &mut files);
    let used: BTreeSet<String> =
        files.iter().flat_map(|file| words(&fs::read_to_string(file).unwrap())).collect();
    assert!(used.contains("no-policy") && used.len() > 40, "the scan found only {used:?}");
    let documentation = fs::read_to_string(project().join("docs/architecture.md")).unwrap();
    let missing: Vec<&String> =
        used.iter().filter(|word| !documentation.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/architecture.md does not explain {missing:?}");
}
