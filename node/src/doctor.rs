//! `daymark-node doctor`: looks at this machine as the agent would, with or without an agent
//! running, and says what to do about what is wrong. Changes nothing.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use daymark_core::durable::UpdateState;
use daymark_core::event::Inspection;
use daymark_protocol::control::Status;
use daymark_protocol::decide::PlatformKind as Kind;
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::control::Client;
use crate::durable::{DurableError, HostKeyFile};
use crate::mesh::DEFAULT_PORT;
use crate::platform::binding::{Binding, compare};
use crate::platform::{Backend, Machine, facts, updaters};
use crate::settings::{ClockSource, Settings};

/// Free space below which the replica cannot be kept: it needs a few MiB, and halts must fit.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    Warning,
    Problem,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    check: &'static str,
    grade: Grade,
    found: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    next: String,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Ok, found: found.into(), next: String::new() }
}

fn warning(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Warning, found: found.into(), next: next.into() }
}

fn problem(check: &'static str, found: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { check, grade: Grade::Problem, found: found.into(), next: next.into() }
}

/// Prints every finding: status 0 if nothing keeps updates from this machine, 1 otherwise.
///
/// # Errors
/// If the checks cannot be made at all.
pub(crate) fn doctor(settings: &Settings, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start")?;
    let findings = runtime.block_on(examine(settings));
    let text = if json {
        serde_json::to_string_pretty(&findings)?
    } else {
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    // A reader that is gone wants no more.
    let _ = writeln!(std::io::stdout(), "{text}");
    let sick = findings.iter().any(|finding| finding.grade == Grade::Problem);
    Ok(if sick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(finding: &Finding) -> String {
    let mark = match finding.grade {
        Grade::Ok => "ok      ",
        Grade::Warning => "warning ",
        Grade::Problem => "PROBLEM ",
    };
    let mut text = format!("{mark} {:<12} {}", finding.check, finding.found);
    if !finding.next.is_empty() {
        text = format!("{text}\n         {:<12} → {}", "", finding.next);
    }
    text
}

async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![identity(&settings.data_dir), disk(&settings.data_dir)];
    findings.extend(board(settings));
    let status = Client::new(&settings.control_socket).status().await;
    match &status {
        Ok(status) => findings.extend(of_agent(status)),
        Err(error) => findings.push(problem(
            "agent",
            error.to_string(),
            "systemctl enable --now daymark, then journalctl -u daymark",
        )),
    }
    findings.push(clock(settings).await);
    findings.extend(machine(settings, status.ok().as_ref()).await);
    findings
}

fn identity(data_dir: &Path) -> Finding {
    match HostKeyFile::read(data_dir) {
        Ok(_) => {
            let mode = std::fs::metadata(data_dir.join("key")).map(|found| found.permissions());
            match mode {
                Ok(found) if found.mode() & 0o077 == 0 => ok("identity", "present and private"),
                Ok(_) | Err(_) => problem(
                    "identity",
                    "others may read the key file",
                    format!("chmod 600 {}", data_dir.join("key").display()),
                ),
            }
        }
        Err(DurableError::NotInitialised { .. }) => {
            problem("identity", "there is none", "daymark-node init --request FILE")
        }
        Err(DurableError::Read { path, source })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            warning(
                "identity",
                format!("{} may not be read by you", path.display()),
                "run doctor as root",
            )
        }
        Err(error) => problem("identity", error.to_string(), ""),
    }
}

/// Whether the key is bound to this machine (RULES D6); nothing where there is no key to read.
fn board(settings: &Settings) -> Option<Finding> {
    let key = HostKeyFile::read(&settings.data_dir).ok()?;
    let found = facts::hardware(Path::new("/"), &settings.identity);
    let told = match (&found.serial, &found.machine_id) {
        (Some(serial), _) => format!("serial number {serial}"),
        (None, Some(id)) => format!("no serial number; machine-id {id}"),
        (None, None) => {
            return Some(warning(
                "board",
                "neither a serial number nor a machine-id: a copied disk would not be noticed here",
                "name files of this machine in identity.serial or identity.machine_id",
            ));
        }
    };
    // An update's own change of the machine-id is the agent's to judge.
    Some(match compare(&key, &found, &UpdateState::Idle) {
        Binding::Same | Binding::Renewed(_) => ok("board", told),
        Binding::Moved(why) => problem(
            "board",
            format!("{why}: copied disk or new board?"),
            "new board: daymark-node rebind; copied disk: enrol this machine anew, on an empty \
             data_dir",
        ),
    })
}

fn disk(data_dir: &Path) -> Finding {
    // The folder may not exist yet: the nearest one above it is where it will be.
    let existing = data_dir.ancestors().find(|path| path.exists()).unwrap_or(data_dir);
    let Ok(found) = rustix::fs::statvfs(existing) else {
        return problem("disk", format!("{} cannot be looked at", existing.display()), "");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} MiB free at {}", free / (1024 * 1024), existing.display());
    if found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        let next = "give data_dir a place that can be written";
        return problem("disk", format!("{} is read-only", existing.display()), next);
    }
    if free < FREE_BYTES_MIN {
        problem("disk", text, format!("free at least {} MiB", FREE_BYTES_MIN / (1024 * 1024)))
    } else {
        ok("disk", text)
    }
}

fn of_agent(status: &Status) -> Vec<Finding> {
    let mut findings = vec![ok("agent", format!("{} runs", status.agent))];
    findings.push(match (&status.fleet, &status.name) {
        (None, _) => problem("fleet", "none", "daymark-node join FOLDER --fleet FINGERPRINT"),
        (Some(fleet), None) => problem(
            "fleet",
            format!("{}, but this machine is not enrolled in it", fleet.short()),
            "give its request (daymark-node init --request) to `daymarkctl enroll`",
        ),
        (Some(fleet), Some(name)) => ok("fleet", format!("{} as {name}", fleet.short())),
    });
    findings.push(match status.peers.len() {
        0 => warning(
            "peers",
            "none is connected",
            format!(
                "check network.listen, network.peers and the firewall (TCP and UDP {DEFAULT_PORT})"
            ),
        ),
        count => ok("peers", format!("{count} connected")),
    });
    if !status.now.known {
        findings.push(problem(
            "time",
            "unknown: updates wait",
            "synchronise the clock (chrony, systemd-timesyncd), or set clock = \"rtc\"",
        ));
    }
    findings.extend(status.problems.iter().map(|found| problem("agent", found.clone(), "")));
    findings
}

async fn clock(settings: &Settings) -> Finding {
    let clock = Clock::default();
    clock.refresh().await;
    match (clock.read().synchronised, settings.clock) {
        (true, _) => ok("clock", "synchronised"),
        (false, ClockSource::Rtc) => ok("clock", "not synchronised, trusted by configuration"),
        (false, ClockSource::Os) => warning(
            "clock",
            "the operating system does not say that it is synchronised",
            "run chrony or systemd-timesyncd, have three peers, or set clock = \"rtc\"",
        ),
    }
}

/// What only the agent knows (which slot it was started from, for one) is taken from its `status`.
async fn machine(settings: &Settings, status: Option<&Status>) -> Vec<Finding> {
    let (_peers, seen) = watch::channel(0);
    let machine = match Machine::open(Arc::new(settings.clone()), seen) {
        Ok(machine) => machine,
        Err(error) => {
            return vec![problem(
                "slots",
                error.to_string(),
                "check platform.slots in the configuration",
            )];
        }
    };
    let inspection = machine.inspect().await;
    let seen = &inspection.machine;
    let mut findings = vec![platform(&machine, &inspection, status)];
    let looked = seen.installed.as_ref().map(|installed| {
        format!(
            "{} {}",
            installed.profile.as_deref().unwrap_or("profile unknown"),
            installed.version.as_deref().unwrap_or("version unknown")
        )
    });
    findings.push(match status.map_or(looked, |status| status.installed.clone()) {
        Some(installed) => ok("installed", installed),
        None => warning(
            "installed",
            "nothing says which image is installed",
            "set IMAGE_ID and IMAGE_VERSION in os-release, or enrol the machine with its baseline",
        ),
    });
    findings.extend(
        seen.other_updaters.iter().map(|name| {
            problem("updaters", format!("{name} is active too"), updaters::advice(name))
        }),
    );
    findings.extend(
        seen.inhibitors.iter().map(|why| warning("inhibited", why.clone(), "wait, or lift it")),
    );
    findings
}

fn platform(machine: &Machine, inspection: &Inspection, status: Option<&Status>) -> Finding {
    let backend = match machine.backend() {
        Backend::Slots { slots, .. } => {
            format!("slots {}", slots.names().collect::<Vec<_>>().join(" and "))
        }
        Backend::Program { .. } => "the operator's program".to_owned(),
        Backend::None => {
            return warning(
                "platform",
                "no backend: this machine reports and never changes",
                "set platform.kind to \"slots\" or \"command\"",
            );
        }
    };
    let busy = match status {
        Some(status) => status.slot_busy.as_ref(),
        // The boot program tells the agent alone.
        None if inspection.booted_slot.is_none() && inspection.machine.platform == Kind::Slots => {
            let found = format!("{backend}: only a running agent knows which of them is booted");
            return warning("platform", found, "start the agent, then look again");
        }
        None => inspection.machine.slot_busy.as_ref(),
    };
    match busy {
        Some(busy) => problem("platform", format!("{backend}: {busy}"), ""),
        None => ok("platform", backend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Inputs;

    #[tokio::test]
    async fn a_fresh_machine_is_told_its_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let flags = [("data_dir", "data"), ("control.socket", "sock"), ("inhibit.dir", "none")];
        let flags = flags.map(|(key, name)| (key.to_owned(), path(name))).into();
        let settings = Settings::load(&Inputs { flags, ..Inputs::default() }).unwrap();
        let findings = examine(&settings).await;
        let of = |check: &str| findings.iter().find(|found| found.check == check).unwrap();
        assert_eq!(of("identity").next, "daymark-node init --request FILE");
        assert_eq!(of("agent").grade, Grade::Problem);
        assert_eq!(of("disk").grade, Grade::Ok);
        assert_eq!(of("platform").grade, Grade::Warning);

        std::fs::create_dir(&settings.data_dir).unwrap();
        HostKeyFile::create(&settings.data_dir, None, None).unwrap();
        assert_eq!(identity(&settings.data_dir).grade, Grade::Ok);
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(settings.data_dir.join("key"), open).unwrap();
        assert!(identity(&settings.data_dir).next.starts_with("chmod 600"));
    }
}
