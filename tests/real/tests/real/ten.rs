//! Ten machines in network namespaces and one fault each: the simulator's scenarios with real
//! daemons, under the checks that control sockets allow. Each proves that its fault happened.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use daymark_protocol::control::Submitted;
use daymark_real::{
    Fleet, Image, Network, Nginx, Plan, Published, Say as _, Shaped, SmallDisk, WITHIN, Watch,
    Weather, everyone, now, until,
};

use crate::{on_prepared_fleet, plan, skipped};

/// Machines of each scenario.
const MACHINES: usize = 10;
/// The host with the release service.
const RELEASE: usize = MACHINES;
/// How long after the order the window opens: time to spread, and to stage.
const OPENS_S: i64 = 8;

/// Why these scenarios cannot be run here, if so.
fn missing() -> Option<&'static str> {
    Network::missing().or_else(Nginx::missing)
}

fn ten(network: Network) -> Plan {
    Plan { network: Some(network), ..plan(MACHINES) }
}

/// A release service that answers the first so many machines.
async fn release_service(fleet: &mut Fleet, machines: usize) -> anyhow::Result<Nginx> {
    let (namespace, address) = fleet.network()?.hosts()[RELEASE].clone();
    let folder = fleet.folder().join("nginx");
    let allowed = fleet.machines.iter().take(machines).map(|machine| machine.place.address);
    let allowed: Vec<_> = allowed.collect();
    let at = (Some(namespace.as_str()), address);
    let nginx = Nginx::start(&folder, &fleet.release(), at, &allowed).await?;
    for machine in &mut fleet.machines {
        machine.set("release.sources", &format!("[{:?}]", nginx.url()))?;
    }
    Ok(nginx)
}

/// An order for everyone in a window that opens soon, and a watch that knows when.
fn order(fleet: &mut Fleet, image: &Image) -> anyhow::Result<(Published, Vec<Submitted>, Watch)> {
    let (published, mut items) = fleet.publish(image)?;
    items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
    let opens = now().plus_ms((OPENS_S - 1) * 1_000);
    items.extend(fleet.administrators.window("soon", OPENS_S, 3600)?);
    let watch = Watch::begin(fleet, opens);
    Ok((published, items, watch))
}

async fn all_run(fleet: &Fleet, version: &str) -> anyhow::Result<()> {
    for machine in &fleet.machines {
        machine.runs(version).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_in_two_halves_update_half_by_half_and_hold_the_same() -> anyhow::Result<()> {
    if let Some(why) = missing() {
        return skipped(why);
    }
    let bridges = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0];
    on_prepared_fleet(ten(Network::start(&bridges)?), async |fleet| {
        let _nginx = release_service(fleet, MACHINES).await?;
        fleet.switch_all_on().await?;
        let (published, items, watch) = order(fleet, &Image::new("2.0.0"))?;
        fleet.network()?.cut()?;
        let crossed = fleet.network()?.crossed()?;
        fleet.tell(0, items).await?;
        for machine in &fleet.machines[..5] {
            machine.runs("2.0.0").await?;
        }
        for machine in &fleet.machines[5..] {
            let status = machine.status().await.map_err(anyhow::Error::msg)?;
            ensure!(status.installed.as_deref() == Some("edge@1.0.0"), "{status:?}");
        }
        ensure!(fleet.network()?.crossed()? == crossed, "packets crossed the cut");
        fleet.network()?.heal()?;
        all_run(fleet, "2.0.0").await?;
        ensure!(fleet.network()?.crossed()? > crossed, "no packet crossed after the cut");
        watch.end(fleet, &published, 0).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_behind_narrow_lines_update() -> anyhow::Result<()> {
    const SOURCES: usize = 2;
    if let Some(why) = missing() {
        return skipped(why);
    }
    on_prepared_fleet(ten(Network::start(&[0; MACHINES + 1])?), async |fleet| {
        for host in 0..=RELEASE {
            fleet.network()?.shape(host, 10)?;
        }
        let _nginx = release_service(fleet, SOURCES).await?;
        fleet.switch_all_on().await?;
        let (published, items, watch) = order(fleet, &Image::new("2.0.0").rootfs(4 << 20, 9))?;
        fleet.tell(4, items).await?;
        all_run(fleet, "2.0.0").await?;
        watch.end(fleet, &published, 0).await?;
        let lines = (0..=RELEASE).map(|host| fleet.network()?.shaped(host));
        let lines: Vec<Shaped> = lines.collect::<anyhow::Result<_>>()?;
        let (release, machines) = (lines[RELEASE], &lines[..RELEASE]);
        ensure!(release.waited > 0, "the release service's line was never full: {release:?}");
        ensure!(machines.iter().any(|line| line.waited > 0), "no line was ever full: {lines:?}");
        // Who may not ask the release service has it from peers.
        let carried: u64 = machines.iter().map(|line| line.bytes).sum();
        let spread = published.profile.parts["rootfs"].bytes * (MACHINES - SOURCES) as u64;
        ensure!(carried > spread, "{carried} bytes over these lines are no {spread}: {lines:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_on_a_line_that_delays_and_loses_update() -> anyhow::Result<()> {
    if let Some(why) = missing() {
        return skipped(why);
    }
    let delay = Duration::from_millis(20);
    let weather = Weather { delay, lost_per_mille: 20, seed: 5 };
    let hosts = u8::try_from(MACHINES + 1)?;
    on_prepared_fleet(ten(Network::relayed(hosts, weather)?), async |fleet| {
        let _nginx = release_service(fleet, MACHINES).await?;
        fleet.switch_all_on().await?;
        let before = fleet.network()?.relay()?.relayed();
        let (published, items, watch) = order(fleet, &Image::new("2.0.0"))?;
        fleet.tell(9, items).await?;
        all_run(fleet, "2.0.0").await?;
        watch.end(fleet, &published, 0).await?;
        let after = fleet.network()?.relay()?.relayed();
        let (delayed, lost) = (after.delayed - before.delayed, after.lost - before.lost);
        ensure!(lost > 20, "only {lost} frames were lost");
        // Two of a hundred, give or take.
        ensure!((delayed / 100..delayed / 25).contains(&lost), "{lost} lost of {delayed}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_that_are_killed_at_random_through_an_update_come_to_a_true_end() -> anyhow::Result<()>
{
    if let Some(why) = missing() {
        return skipped(why);
    }
    on_prepared_fleet(ten(Network::start(&[0; MACHINES + 1])?), async |fleet| {
        let _nginx = release_service(fleet, MACHINES).await?;
        fleet.switch_all_on().await?;
        let (published, items, watch) = order(fleet, &Image::new("2.0.0").rootfs(8 << 20, 11))?;
        fleet.tell(2, items).await?;
        let killed = killings(fleet).await?;
        all_run_at_last(fleet, &published).await?;
        watch.end(fleet, &published, killed).await
    })
    .await
}

/// Kills machines, one after another and each at another moment of the update, until enough of
/// them had something under way; how many were killed.
async fn killings(fleet: &mut Fleet) -> anyhow::Result<u64> {
    const HITS: usize = 4;
    let mut states = Vec::new();
    let mut draw = 7_u64;
    while states.iter().filter(|state| **state != "idle").count() < HITS {
        ensure!(states.len() < 4 * MACHINES, "nobody was hit in the midst: {states:?}");
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = usize::try_from((draw >> 33) % 10)?;
        // Not a wait for anything: the moments are what is drawn.
        tokio::time::sleep(Duration::from_millis(50 + (draw >> 40) % 700)).await;
        let died = fleet.machines[number].cut_power()?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&died);
        ensure!(signal == Some(9), "{} died of {died}", fleet.machines[number].name);
        states.push(fleet.machines[number].update_state()?);
        fleet.switch_on(number).await?;
    }
    Ok(u64::try_from(states.len())?)
}

/// Waits until everyone runs it. Where a boot was cut off the image is put away, and an
/// administrator lets it be tried again.
async fn all_run_at_last(fleet: &mut Fleet, order: &Published) -> anyhow::Result<()> {
    for number in 0..fleet.machines.len() {
        let version = order.os.version.clone();
        for round in 0_u8.. {
            ensure!(round < 4, "node {number} puts it away again and again");
            let machine = &fleet.machines[number];
            let put_away = until("it runs it or has put it away", WITHIN, async || {
                let status = machine.status().await?;
                let runs = status.installed.as_deref().is_some_and(|at| at.ends_with(&version));
                match (&*status.update, runs, status.quarantined.is_empty()) {
                    ("idle", true, _) => Ok(false),
                    ("idle", false, false) => Ok(true),
                    (..) => Err(format!("{status:?}")),
                }
            })
            .await?;
            if !put_away {
                break;
            }
            let attempt = machine.durable()?.attempt;
            let (name, host) = (format!("retry-{number}-{round}"), machine.id());
            let again = fleet.administrators.retry(&name, host, order.os.digest, attempt)?;
            fleet.tell(number, again).await?;
            until("it tries again", WITHIN, async || {
                let machine = &fleet.machines[number];
                let attempts = machine.durable().map_err(|error| error.to_string())?.attempt;
                if attempts > attempt { Ok(()) } else { Err("it does not".to_owned()) }
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_which_three_have_full_disks_all_update_in_the_end() -> anyhow::Result<()> {
    const FULL: [usize; 3] = [1, 4, 8];
    const DATA_BYTES: u64 = 24 << 20;
    if let Some(why) = missing().or_else(SmallDisk::missing) {
        return skipped(why);
    }
    on_prepared_fleet(ten(Network::start(&[0; MACHINES + 1])?), async |fleet| {
        let _nginx = release_service(fleet, MACHINES).await?;
        let data = FULL.map(|number| fleet.machines[number].data());
        let disks = data.iter().map(|folder: &std::path::PathBuf| full_later(folder, DATA_BYTES));
        let disks: Vec<SmallDisk> = disks.collect::<anyhow::Result<_>>()?;
        fleet.switch_all_on().await?;
        disks.iter().try_for_each(SmallDisk::fill)?;
        let (published, items, watch) = order(fleet, &Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        for number in (0..MACHINES).filter(|number| !FULL.contains(number)) {
            fleet.machines[number].runs("2.0.0").await?;
        }
        let mut ended = 0;
        for number in FULL {
            let machine = &fleet.machines[number];
            until(&format!("{} ends for want of room", machine.name), WITHIN, async || {
                let said = machine.log_text();
                let full = said
                    .lines()
                    .any(|line| line.starts_with("daymark-node: ") && line.contains("full"));
                if full { Ok(()) } else { Err("it goes on".to_owned()) }
            })
            .await?;
            ended += machine.log_text().matches("the agent ended (exit status: 1)").count();
        }
        ensure!(disks.iter().all(|disk| disk.free_bytes().is_ok_and(|free| free == 0)), "room");
        disks.iter().try_for_each(SmallDisk::clear)?;
        all_run(fleet, "2.0.0").await?;
        watch.end(fleet, &published, u64::try_from(ended)?).await
    })
    .await
}

fn full_later(folder: &Path, bytes: u64) -> anyhow::Result<SmallDisk> {
    SmallDisk::under(folder, bytes).context("no small disk")
}
