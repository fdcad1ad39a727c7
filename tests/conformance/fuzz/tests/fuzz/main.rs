//! The fuzzer itself: the committed corpus does no harm, and bugs on purpose are found.

use std::process::{Command, Output};

#[allow(clippy::unwrap_used, reason = "it is part of the tests")]
fn fuzz(arguments: &[&str]) -> Output {
    let findings = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_daymark-fuzz"))
        .args(arguments)
        .arg("--findings")
        .arg(findings.path())
        .output()
        .unwrap()
}

/// What was found before stays mended: each found input is put into the corpus.
#[test]
fn i9_no_input_of_the_corpus_does_harm() {
    let output = fuzz(&["run", "--for", "0"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::fuzz;

    fn found(target: &str, seconds: &str) -> String {
        let output = fuzz(&["run", target, "--for", seconds, "--seed", "planted"]);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "nothing was found: {told}");
        told
    }

    /// The name of a document is cut before it is known to be long enough.
    #[test]
    fn a_panic_is_found() {
        assert!(found("wire-sync", "60").contains("panic:"));
    }

    /// A range of a cron field goes round and round for an end that never comes.
    #[test]
    fn a_hang_is_found() {
        assert!(found("spec", "60").contains("hang:"));
    }

    /// A bitmap is made for as many chunks as a frame claims.
    #[test]
    fn memory_above_the_limit_is_found() {
        assert!(found("chunk-frames", "60").contains("memory:"));
    }
}
