//! Every gate of the decision holds a real node back by itself, and its cure releases it.
//! Quarantine is in `boot`: it takes an image that failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::ensure;
use daymark_node::control::Client;
use daymark_protocol::control::{Inhibit, Join, Submitted};
use daymark_protocol::decide::Gate;
use daymark_protocol::resource::{Kind, OsUpdatePolicySpec, Spec};
use daymark_protocol::time::WallTime;
use daymark_real::{Fleet, Image, Say as _, everyone};

use crate::{on_fleet, on_prepared_fleet, plan, skipped};

/// The first machine is held back by this gate alone, and still runs what it ran.
async fn held(fleet: &Fleet, gate: Gate, reason: &str) -> anyhow::Result<()> {
    let answer = fleet.machines[0].is_held_by(gate).await?;
    ensure!(answer.reason == reason, "{answer:?}");
    let status = fleet.machines[0].status().await.map_err(anyhow::Error::msg)?;
    ensure!(status.installed.as_deref() == Some("edge@1.0.0"), "{status:?}");
    Ok(())
}

/// The first machine, released, runs the new version.
async fn released(fleet: &Fleet) -> anyhow::Result<()> {
    fleet.machines[0].runs("2.0.0").await.map(drop)
}

/// Image, policy for everyone and an open window.
async fn ordered(fleet: &mut Fleet) -> anyhow::Result<()> {
    let (_, items) = fleet.order(&Image::new("2.0.0"))?;
    fleet.tell(0, items).await
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolled() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let mut machine = fleet.stranger("new").await?;
        machine.start()?;
        let client = Client::new(&machine.socket());
        daymark_real::until("it answers", daymark_real::WITHIN, async || {
            machine.status().await.map(drop)
        })
        .await?;
        let (pin, items) = (fleet.administrators.pin(), fleet.administrators.roots());
        client.join(&Join { pin, items }).await?;
        fleet.order(&Image::new("2.0.0"))?;
        client.submit(fleet.administrators.said()).await?;
        fleet.machines.insert(0, machine);
        held(fleet, Gate::Enrolled, "not-provisioned").await?;
        let key = fleet.machines[0].public_key()?;
        let enrolled = fleet.administrators.enroll("new", &key, "north")?;
        fleet.tell(0, enrolled).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn authority() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let soon = WallTime::from_ms(wall().as_ms() + 1000);
        let root = fleet.administrators.renew_root(soon)?;
        fleet.tell(0, vec![root]).await?;
        ordered(fleet).await?;
        held(fleet, Gate::Authority, "root-expired").await?;
        let root = fleet.administrators.renew_root(wall().plus_ms(86_400_000 * 30))?;
        fleet.tell(0, vec![root]).await?;
        released(fleet).await
    })
    .await
}

/// Programs that answer for the time services, as chrony does and as systemd does. Returns the
/// file that chrony's answer is read from.
fn time_services(fleet: &mut Fleet) -> anyhow::Result<PathBuf> {
    let folder = fleet.folder().join("time");
    std::fs::create_dir(&folder)?;
    let tracking = folder.join("tracking");
    let answers = [
        ("chronyc", format!("#!/bin/sh\ncat {}\n", tracking.display())),
        ("timedatectl", "#!/bin/sh\necho no\n".to_owned()),
    ];
    for (name, text) in answers {
        std::fs::write(folder.join(name), text)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.join(name), mode)?;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder).chain(std::env::split_paths(&path));
    fleet.machines[0].set_variable("PATH", std::env::join_paths(folders)?.as_ref());
    Ok(tracking)
}

/// An answer of `chronyc -c tracking`.
fn chrony_says(leap: &str) -> String {
    format!("A29FC87B,time,3,1.0,0.1,0.2,0.3,1,2,3,0.1,0.1,64.2,{leap}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn clock() -> anyhow::Result<()> {
    // systemd-timesyncd leaves a mark that no configuration hides: there, nothing is held back.
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return skipped("systemd-timesyncd says that this machine knows the time");
    }
    on_prepared_fleet(plan(1), async |fleet| {
        let tracking = time_services(fleet)?;
        std::fs::write(&tracking, chrony_says("Not synchronised"))?;
        fleet.machines[0].set("clock", "\"os\"")?;
        fleet.switch_all_on().await?;
        ordered(fleet).await?;
        held(fleet, Gate::Clock, "clock-unknown").await?;
        let status = fleet.machines[0].status().await.map_err(anyhow::Error::msg)?;
        ensure!(!status.clock_synchronised && !status.now.known, "{status:?}");
        std::fs::write(&tracking, chrony_says("Normal"))?;
        look_again(fleet).await?;
        released(fleet).await?;
        let status = fleet.machines[0].status().await.map_err(anyhow::Error::msg)?;
        ensure!(status.clock_synchronised && status.now.known, "{status:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn halted_and_resumed() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (halt, items) = fleet.administrators.halt("stop")?;
        fleet.tell(0, items).await?;
        ordered(fleet).await?;
        held(fleet, Gate::Halted, "halted").await?;
        let resume = fleet.administrators.resume("go", &[halt])?;
        fleet.tell(0, resume).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn held_and_let_go() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let hold = fleet.administrators.hold("pin")?;
        fleet.tell(0, hold).await?;
        ordered(fleet).await?;
        held(fleet, Gate::Halted, "held").await?;
        let unhold = fleet.administrators.end(Kind::Hold, "pin")?;
        fleet.tell(0, unhold).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sees() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, items) = fleet.publish(&Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        let blackout = fleet.administrators.closes("over", -7200, -3600);
        let blackout = fleet.administrators.policy_says(blackout)?;
        let seen = fleet.administrators.seen(Kind::Blackout, "over");
        let policy = fleet.administrators.wants("all", &published.os, everyone());
        let draft = fleet.administrators.draft().sees([seen]).resource(policy);
        let (_, mut items) = fleet.administrators.say(&draft, &daymark_real::POLICY)?;
        items.extend(fleet.administrators.window("now", -300, 3600)?);
        fleet.tell(0, items).await?;
        held(fleet, Gate::Sees, "missing").await?;
        fleet.tell(0, blackout).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn policy() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (other, mut items) = fleet.publish(&Image::new("1.5.0"))?;
        items.extend(fleet.administrators.policy("other", &other.os, everyone())?);
        items.extend(fleet.order(&Image::new("2.0.0"))?.1);
        fleet.tell(0, items).await?;
        held(fleet, Gate::Policy, "policy-conflict").await?;
        let end = fleet.administrators.end(Kind::OsUpdatePolicy, "other")?;
        fleet.tell(0, end).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn target() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, profile) = fleet.publish(&Image::new("2.0.0"))?;
        let mut items = fleet.administrators.policy("all", &published.os, everyone())?;
        items.extend(fleet.administrators.window("now", -300, 3600)?);
        fleet.tell(0, items).await?;
        held(fleet, Gate::Target, "target-missing").await?;
        fleet.tell(0, profile).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn compatible() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (mut published, _) = fleet.publish(&Image::new("2.0.0"))?;
        published.profile.architecture = "s390x".into();
        let (os, mut items) = fleet.administrators.release(&published.profile)?;
        items.extend(fleet.administrators.policy("all", &os, everyone())?);
        items.extend(fleet.administrators.window("now", -300, 3600)?);
        fleet.tell(0, items).await?;
        held(fleet, Gate::Compatible, "architecture-mismatch").await?;
        published.profile.architecture = String::new();
        let (os, mut items) = fleet.administrators.release(&published.profile)?;
        items.extend(fleet.administrators.policy("all", &os, everyone())?);
        fleet.tell(0, items).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn newer() -> anyhow::Result<()> {
    let mut plan = plan(1);
    plan.installed = Image::new("3.0.0");
    on_fleet(plan, async |fleet| {
        let (published, items) = fleet.order(&Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        let answer = fleet.machines[0].is_held_by(Gate::Newer).await?;
        ensure!(answer.reason == "target-older", "{answer:?}");
        let again = changed(fleet, &published, |policy| policy.allow_downgrade = true)?;
        fleet.tell(0, again).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sole_updater() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let program = fleet.folder().join("mender-updated");
        std::fs::copy("/bin/sleep", &program)?;
        let mut other = Command::new(&program).arg("600").stdin(Stdio::null()).spawn()?;
        let told = async {
            ordered(fleet).await?;
            held(fleet, Gate::SoleUpdater, "other-updater").await
        }
        .await;
        other.kill()?;
        other.wait()?;
        told?;
        look_again(fleet).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn inhibited() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let machine = &fleet.machines[0];
        let inhibit = ["inhibit", "--why", "part in the die"];
        let output = machine.node(&[&inhibit[..], &["--for", "2h"]].concat()).await?;
        ensure!(output.status.success(), "{output:?}");
        ordered(fleet).await?;
        held(fleet, Gate::Inhibited, "inhibited").await?;
        let lifted = Inhibit { why: "part in the die".into(), until: None };
        fleet.machines[0].client().inhibit(&lifted).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn turn() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, mut items) = fleet.publish(&Image::new("2.0.0"))?;
        // Over decades, so that no machine draws one of the five minutes since they began.
        let decades_s = 30 * 365 * 86_400;
        let spread_s = u32::try_from(decades_s)?;
        items.extend(changed(fleet, &published, |policy| policy.spread_seconds = Some(spread_s))?);
        items.extend(fleet.administrators.window("now", -300, decades_s)?);
        fleet.tell(0, items).await?;
        held(fleet, Gate::Turn, "not-my-turn").await?;
        let again = changed(fleet, &published, |policy| policy.spread_seconds = Some(0))?;
        fleet.tell(0, again).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn staged() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.origin.answer_only(&[]);
        ordered(fleet).await?;
        held(fleet, Gate::Staged, "not-staged").await?;
        daymark_real::until("the refusal shows", daymark_real::WITHIN, async || {
            let status = fleet.machines[0].status().await?;
            let shown = status.problems.iter().any(|problem| problem.contains("403"));
            if shown { Ok(()) } else { Err(format!("{:?}", status.problems)) }
        })
        .await?;
        ensure!(fleet.origin.refused("node-1") > 0);
        fleet.origin.answer_only(&["node-1"]);
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn window() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, mut items) = fleet.publish(&Image::new("2.0.0"))?;
        items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
        fleet.tell(0, items).await?;
        held(fleet, Gate::Window, "no-window").await?;
        let open = fleet.administrators.window("now", -300, 3600)?;
        fleet.tell(0, open).await?;
        released(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn slot() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        // Nothing can be switched while nobody can say what boots next.
        let state = fleet.machines[0].folder.join("boot.state");
        let aside = fleet.folder().join("aside");
        let release = fleet.machines[0].folder.join("os-release");
        std::fs::write(release, "ID=edge\nIMAGE_ID=edge\nIMAGE_VERSION=1.0.0\n")?;
        std::fs::rename(&state, &aside)?;
        look_again(fleet).await?;
        ordered(fleet).await?;
        let answer = fleet.machines[0].is_held_by(Gate::Slot).await?;
        ensure!(answer.reason == "slot-busy", "{answer:?}");
        std::fs::rename(&aside, &state)?;
        look_again(fleet).await?;
        released(fleet).await
    })
    .await
}

/// The next version of the policy for everyone.
fn changed(
    fleet: &mut Fleet,
    published: &daymark_real::Published,
    change: impl FnOnce(&mut OsUpdatePolicySpec),
) -> anyhow::Result<Vec<Submitted>> {
    let mut spec = daymark_real::wanting("all", &published.os);
    change(&mut spec);
    let spec = Spec::OsUpdatePolicy(Box::new(spec));
    let resource = fleet.administrators.resource("all", &spec, Some(everyone()));
    fleet.administrators.policy_says(resource)
}

/// Anything handed in makes the agent look at its machine.
async fn look_again(fleet: &Fleet) -> anyhow::Result<()> {
    fleet.tell(0, fleet.administrators.roots()).await
}

fn wall() -> WallTime {
    daymark_node::clock::wall()
}
