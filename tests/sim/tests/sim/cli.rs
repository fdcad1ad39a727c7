//! The command line: what is refused before anything runs, and what it prints.

use std::path::PathBuf;
use std::process::{Command, Output};

const SMALL: &str = "name = \"small\"\nabout = \"a small world\"\nlength = \"1h\"\n\
                     calmAfter = \"30m\"\n[[site]]\nname = \"s\"\nhosts = 3\n";

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daymark-sim"));
    command.args(arguments).env("RUST_BACKTRACE", "0").output().expect("the program was built")
}

fn file(name: &str, text: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder is ours");
    path
}

/// Standard output of a run that ends well.
fn printed(arguments: &[&str]) -> String {
    let output = sim(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn a_scenario_that_cannot_be_is_one_clear_error_before_anything_runs() {
    let with = |more: &str| format!("{SMALL}{more}");
    for (number, (text, said)) in [
        (with("[fault]\nkils = 1.0\n"), "unknown field `kils`"),
        (with("[fault]\nkills = -1.0\n"), "fault.kills: is -1: write 0 or more"),
        (with("[network.lan]\nlossPerMille = 1001.0\n"), "write at most 1000"),
        (SMALL.replace("hosts = 3", "hosts = 0"), "site.hosts"),
        (with("[[site]]\nname = \"s\"\nhosts = 1\n"), "s is there twice"),
        (with("[network]\nlinks = 0\n"), "network.links"),
        (with("[[event]]\ndo = \"halt\"\nat = \"10m\"\nto = 3\n"), "machines are 0 to 2"),
        (with("[[event]]\ndo = \"halt\"\nat = \"2h\"\n"), "is after the end"),
        (with("[expect]\nhost = [{ host = 3 }]\n"), "expect.host"),
        (SMALL.replace("hosts = 3", "hosts = 16000\ntimes = 6"), "MiB are available"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = file(&format!("bad-{number}.toml"), &text);
        let output = sim(&["run", path.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{text}");
        assert!(error.contains(said), "{text}: {error}");
        assert_eq!(error.matches("Error:").count(), 1, "{error}");
    }
    let error = String::from_utf8(sim(&["run", "nowhere"]).stderr).unwrap();
    assert!(error.contains("built in are") && error.contains("site-50"), "{error}");
    assert!(!sim(&["replay", "site-50 seven"]).status.success());
}

#[test]
fn a_run_is_replayed_compared_and_reported() {
    let path = file("small.toml", SMALL);
    let path = path.to_str().unwrap();
    let page = file("small.html", "");
    let one = printed(&["run", path, "--seed", "3", "-o", "json"]);
    let text = printed(&["run", path, "--seed", "3", "--report", page.to_str().unwrap()]);
    assert!(text.contains("all 14 checks hold"), "{text}");
    assert!(std::fs::read_to_string(&page).unwrap().starts_with("<!doctype html>"));
    let (one, other) = (file("one.json", &one), file("other.json", &one));
    let table = printed(&["compare", one.to_str().unwrap(), other.to_str().unwrap()]);
    assert!(table.lines().skip(1).all(|line| line.ends_with('=')), "{table}");

    let line = format!("{path} seed=3");
    let trace = |text: &str| text.lines().last().unwrap().trim().to_owned();
    let whole = printed(&["replay", &line]);
    assert!(text.contains(&trace(&whole)), "the same run: {text} {whole}");
    let part = printed(&["replay", &line, "--break-at", "10m", "--node", "1"]);
    assert!(part.contains("at 10:00.000 of") && part.contains("host 1 runs 1.0.0"), "{part}");
    assert!(!part.contains("host 0 "), "one machine only: {part}");
    assert!(part.lines().filter(|line| line.contains("hears")).count() > 3, "{part}");
    let none = String::from_utf8(sim(&["replay", &line, "--node", "3"]).stderr).unwrap();
    assert!(none.contains("there is no machine 3: they are 0 to 2"), "{none}");
    let no_figures = sim(&["compare", path, path]);
    let error = String::from_utf8(no_figures.stderr).unwrap();
    assert!(error.contains("holds no figures of a run"), "{error}");
}
