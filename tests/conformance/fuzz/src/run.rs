//! Runs targets in processes of their own, and says what came of it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::engine::{Campaign, Finding, Tally};
use crate::guard::{self, Watchdog};
use crate::target::Target;
use crate::{corpus, targets};

/// Exit status of a process that found something.
pub(crate) const FOUND: u8 = 3;

/// One line on standard output.
pub(crate) fn say(line: &str) {
    // Whoever closed the pipe does not want to read it.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn named(name: &str) -> anyhow::Result<&'static Target> {
    let found = targets::ALL.iter().copied().flatten().find(|target| target.name == name);
    found.with_context(|| format!("there is no target {name}; `daymark-fuzz list` names them"))
}

/// Names all targets, with the files that each covers.
pub(crate) fn list() -> anyhow::Result<bool> {
    for target in targets::ALL.iter().copied().flatten() {
        let Target { name, about, input_bytes_max, allowance, sources, .. } = target;
        let sources = sources.join(" ");
        let (base, per_byte) = (allowance.base_bytes, allowance.per_byte);
        say(&format!("{name}\t{about}\t{input_bytes_max}\t{base} + {per_byte} n\t{sources}"));
    }
    Ok(true)
}

/// Runs targets, each in a process of its own; whether nothing was found.
pub(crate) fn all(
    names: &[String],
    lasting: Duration,
    seed: &str,
    findings: &Path,
) -> anyhow::Result<bool> {
    let every = || targets::ALL.iter().copied().flatten().map(|target| target.name.to_owned());
    let names: Vec<String> = if names.is_empty() { every().collect() } else { names.to_vec() };
    fs::create_dir_all(findings)?;
    say(&format!("seed {seed}"));
    let header = ("target", "executions", "accepted", "said", "bytes at most");
    say(&format!(
        "{:16} {:>12} {:>10} {:>6} {:>14}",
        header.0, header.1, header.2, header.3, header.4
    ));
    let mut clean = true;
    for name in &names {
        named(name)?;
        clean &= in_a_process(name, lasting, seed, findings)?;
    }
    Ok(clean)
}

fn in_a_process(
    name: &str,
    lasting: Duration,
    seed: &str,
    findings: &Path,
) -> anyhow::Result<bool> {
    let child = |keep_each: bool| {
        let mut command = Command::new(std::env::current_exe()?);
        let seconds = lasting.as_secs().to_string();
        command.args(["one", name, "--for", &seconds, "--seed", seed, "--findings"]).arg(findings);
        command.args(keep_each.then_some("--keep-each"));
        command.status().context("cannot start a process for the target")
    };
    let status = child(false)?;
    match status.code() {
        Some(0) => Ok(true),
        Some(code) if code == i32::from(FOUND) => Ok(false),
        Some(code) => bail!("{name}: its process ended with status {code}"),
        None => {
            // An abort or a stack overflow: the same seed comes to it again, keeping each input.
            let again = child(true)?;
            let file = kept(findings, name, "killed");
            say(&format!("{name}: killed ({status}, then {again}): {}", file.display()));
            Ok(false)
        }
    }
}

fn kept(findings: &Path, name: &str, what: &str) -> PathBuf {
    findings.join(format!("{name}.{what}"))
}

/// Runs one target in this process; whether nothing was found.
pub(crate) fn one(
    name: &str,
    lasting: Duration,
    seed: &str,
    findings: &Path,
    keep_each: bool,
) -> anyhow::Result<bool> {
    let target = named(name)?;
    fs::create_dir_all(findings)?;
    guard::keep_panics();
    let watchdog = Watchdog::begin(kept(findings, name, "hang"), FOUND);
    let each = keep_each.then(|| kept(findings, name, "killed"));
    let corpus = corpus::of(name)?.into_iter().map(|(_, input)| input).collect();
    let campaign = Campaign::new(target, seed, &watchdog, each.as_deref());
    match campaign.run(corpus, lasting) {
        Ok(Tally { executions, accepted, said, took_max }) => {
            say(&format!("{name:16} {executions:>12} {accepted:>10} {said:>6} {took_max:>14}"));
            Ok(true)
        }
        Err(Finding { harm, input }) => {
            let file = kept(findings, name, "found");
            fs::write(&file, &input)?;
            say(&format!("{name}: {harm}\n  daymark-fuzz replay {name} {}", file.display()));
            Ok(false)
        }
    }
}

/// Runs one input; whether it does no harm.
pub(crate) fn replay(name: &str, file: &Path) -> anyhow::Result<bool> {
    let target = named(name)?;
    let input = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    guard::keep_panics();
    match guard::run(target, &input) {
        Ok((told, took)) => {
            say(&format!("{told:?}, {took} bytes"));
            Ok(true)
        }
        Err(harm) => {
            say(&harm.to_string());
            Ok(false)
        }
    }
}
