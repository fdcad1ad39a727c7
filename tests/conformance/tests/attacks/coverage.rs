//! What there is to be covered: the rules by number, the rows of the table of attacks on update
//! systems, the flaws of earlier drafts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use daymark_protocol::rules::Rule;

use super::case::Covers;
use super::cases;

/// Rules, by letter, and how many of each there are.
const RULES: [(&str, u8); 6] = [("R", 7), ("S", 9), ("C", 6), ("D", 7), ("A", 2), ("K", 2)];
/// Flaws that two attacks on earlier drafts found, by letter, and how many of each there are.
const FLAWS: [(&str, u8); 4] = [("B", 6), ("S", 14), ("M", 7), ("N", 18)];
/// Rows of the table of attacks on update systems.
const ROWS: u8 = 39;

fn numbered(letters: &[(&str, u8)]) -> Vec<String> {
    letters
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}")))
        .collect()
}

/// The map of the threat model: what stands in the first column, and the cases in the last one.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
    let text = std::fs::read_to_string(path).expect("the threat model");
    let (_, map) = text.split_once("## What proves it").expect("its map");
    let (map, _) = map.split_once("\n## ").unwrap_or((map, ""));
    let (before, suite) = map.split_once("### TUF's").expect("TUF's suite");
    let (_, after) = suite.split_once("### Cases").expect("the cases against rules");
    let map = [before, after].concat();
    let rows = map.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut heading = String::new();
    let mut read = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        let (Some(first), Some(last)) = (cells.first(), cells.last()) else { continue };
        if ["rule", "row", "flaw", "check"].contains(first) {
            (*first).clone_into(&mut heading);
            continue;
        }
        assert!(!last.trim().is_empty(), "{heading} {first} has neither cases nor a reason");
        let cases = last.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        let before = read.insert(format!("{heading} {first}"), cases);
        assert!(before.is_none(), "{heading} {first} stands twice");
    }
    read
}

#[test]
fn the_threat_model_maps_everything_to_the_cases_that_cover_it() {
    let all = |heading: &str, names: Vec<String>| {
        names.into_iter().map(|name| (format!("{heading} {name}"), BTreeSet::new())).collect()
    };
    let mut expected: BTreeMap<String, BTreeSet<String>> = all("rule", numbered(&RULES));
    expected.extend(all("row", (1..=ROWS).map(|row| row.to_string()).collect()));
    expected.extend(all("flaw", numbered(&FLAWS)));
    expected.extend(all("check", Rule::ALL.iter().map(|rule| format!("{rule:?}")).collect()));
    for case in cases() {
        for covers in case.covers {
            let of = match covers {
                Covers::Rule(rule) => format!("rule {rule}"),
                Covers::Row(row) => format!("row {row}"),
                Covers::Flaw(flaw) => format!("flaw {flaw}"),
                Covers::Red(rule) => format!("check {rule:?}"),
                Covers::Tuf(_) => continue,
            };
            let name = case.name.trim_start_matches("main::attacks::").to_owned();
            expected.entry(of).or_default().insert(name);
        }
    }
    let map = map();
    for (what, cases) in &expected {
        assert_eq!(map.get(what), Some(cases), "{what} in docs/threat-model.md");
    }
    assert_eq!(map.len(), expected.len(), "the map has rows of nothing that there is");
}

#[test]
fn the_threat_model_names_each_test_of_tuf_that_a_case_corresponds_to() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/threat-model.md");
    let text = std::fs::read_to_string(path).expect("the threat model");
    let (_, suite) = text.split_once("### TUF's").expect("TUF's suite");
    let (suite, _) = suite.split_once("\n### ").expect("what follows it");
    let known: BTreeSet<&str> =
        cases().map(|case| case.name.trim_start_matches("main::attacks::")).collect();
    let named: BTreeSet<&str> = suite.split('`').skip(1).step_by(2).collect();
    for name in named.iter().filter(|name| name.contains("::")) {
        assert!(known.contains(name), "there is no case {name}");
    }
    for case in cases() {
        for covers in case.covers {
            if let Covers::Tuf(test) = covers {
                let test = test.split('[').next().unwrap_or(test);
                assert!(named.contains(test), "{test}, of {}, is not in the list", case.name);
            }
        }
    }
}

#[test]
fn every_case_needs_a_check_and_every_check_has_a_case() {
    let mut checks: BTreeSet<Rule> = Rule::ALL.into();
    for case in cases() {
        let red = case.covers.iter().filter_map(|covers| match covers {
            Covers::Red(rule) => Some(*rule),
            Covers::Rule(_) | Covers::Row(_) | Covers::Flaw(_) | Covers::Tuf(_) => None,
        });
        let red: Vec<Rule> = red.collect();
        assert!(!red.is_empty(), "{} names no check without which it fails", case.name);
        for rule in &red {
            checks.remove(rule);
        }
    }
    assert!(checks.is_empty(), "no case fails without {checks:?}");
}

#[test]
fn what_a_case_covers_exists() {
    let (rules, flaws) = (numbered(&RULES), numbered(&FLAWS));
    for case in cases() {
        assert!(!case.covers.is_empty(), "{} covers nothing", case.name);
        for covers in case.covers {
            let exists = match covers {
                Covers::Rule(rule) => rules.iter().any(|known| known == rule),
                Covers::Flaw(flaw) => flaws.iter().any(|known| known == flaw),
                Covers::Row(row) => (1..=ROWS).contains(row),
                Covers::Tuf(test) => test.starts_with("test_"),
                Covers::Red(_) => true,
            };
            assert!(exists, "{} covers {covers:?}, which does not exist", case.name);
        }
    }
}
