//! What there is to be covered: the rules by number, the rows of the table of attacks on update
//! systems, the flaws of earlier drafts.

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
            };
            assert!(exists, "{} covers {covers:?}, which does not exist", case.name);
        }
    }
}
