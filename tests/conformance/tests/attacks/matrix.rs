//! Cases against removed rules: under the feature `removable-rules` the daemon is started without
//! one of them, and the cases that name it must fail.

use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use daymark_protocol::rules::Rule;

use super::case::Covers;
use super::{WITHIN_VARIABLE, cases};

/// Variable that names the rule that the daemon does without.
const WITHOUT_RULE: &str = "CONFORMANCE_WITHOUT_RULE";
/// Cases played at a time.
const AT_A_TIME: usize = 4;

/// Plays one case by itself, without a rule.
fn play_without(case: &str, rule: Rule) -> std::io::Result<Output> {
    let name = case.split_once("::").map_or(case, |(_, name)| name);
    Command::new(std::env::current_exe()?)
        .args(["--exact", name, "--test-threads", "1"])
        .env(WITHOUT_RULE, format!("{rule:?}"))
        .env(WITHIN_VARIABLE, "5")
        .stdin(Stdio::null())
        .output()
}

/// Plays pairs, and returns what is wrong with them.
fn play_all(pairs: Vec<(&'static str, Rule)>) -> Vec<String> {
    let left = Mutex::new(pairs);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                // Its own closure, so that the lock is not held while a case is played.
                let next = || left.lock().unwrap().pop();
                while let Some((case, rule)) = next() {
                    let begun = Instant::now();
                    let output = play_without(case, rule).unwrap();
                    let text = String::from_utf8_lossy(&output.stdout);
                    let seconds = begun.elapsed().as_secs();
                    println!("{case} without {rule:?}, {seconds} s: {}", why(&text));
                    if !text.contains("running 1 test") {
                        wrong.lock().unwrap().push(format!("{case} was not played: {text}"));
                    } else if output.status.success() {
                        wrong.lock().unwrap().push(format!("{case} does not need {rule:?}"));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// What a case said when it failed, in one line.
fn why(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("Error: ")).unwrap_or("passed, or panicked")
}

#[test]
fn each_case_fails_without_the_rules_that_it_names() {
    let pairs = cases().flat_map(|case| {
        let red = case.covers.iter().filter_map(|covers| match covers {
            Covers::Red(rule) => Some(*rule),
            Covers::Rule(_) | Covers::Row(_) | Covers::Flaw(_) | Covers::Tuf(_) => None,
        });
        red.map(|rule| (case.name, rule))
    });
    let wrong = play_all(pairs.collect());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
