//! Time: clocks that are wrong, dead or unvouched for, under a faked clock (RULES K1, K2).

use std::path::Path;

use anyhow::{Context as _, ensure};
use daymark_protocol::decide::Gate;
use daymark_real::now;

use super::case::cases;
use super::stage::Stage;

const DAY_MS: i64 = 86_400_000;
/// Where Debian keeps the library that fakes the time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Starts the machine again with its wall clock moved, as `faketime` says it.
async fn restart_at(stage: &mut Stage, moved: &str) -> anyhow::Result<()> {
    ensure!(Path::new(FAKETIME).exists(), "{FAKETIME} is missing: tests/images/install-tools");
    let machine = stage.fleet.machines.first_mut().context("no machine")?;
    machine.stop()?;
    machine.set_variable("LD_PRELOAD", Path::new(FAKETIME));
    machine.set_variable("FAKETIME", Path::new(moved));
    machine.set_variable("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1"));
    stage.fleet.switch_on(0).await
}

/// Where the machine believes to be in time, and what it would do about an order.
async fn is_lost_in_time(stage: &Stage, words: &str) -> anyhow::Result<()> {
    stage.is_held_by(Gate::Clock, "clock-unknown", words).await?;
    let status = stage.machine().status().await.map_err(anyhow::Error::msg)?;
    ensure!(!status.now.known, "it believes its clock: {:?}", status.now);
    Ok(())
}

cases! {
    /// A dead battery: the clock reads 1970. It neither updates nor bricks.
    a_clock_at_1970
    [Red(K1Floor), Rule("K1"), Rule("K2"), Row(31), Row(30), Flaw("B6"), Tuf("test_faketime")]
    |stage| {
        restart_at(stage, "@1970-01-02 00:00:00").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        is_lost_in_time(stage, "").await?;
        stage.floor_of_order("all", Some(1))?;
        let floor = stage.machine().durable()?.clock_floor;
        ensure!(floor > Some(now().plus_ms(-10 * DAY_MS)), "the clock's floor is {floor:?}");
        restart_at(stage, "+0d").await?;
        stage.installs().await
    }

    /// The clock reads 2100, beyond the root's own end: it waits, and raises nothing.
    a_clock_at_2100
    [Red(K2Ceiling), Rule("K2"), Rule("K1"), Row(31), Flaw("B6"), Tuf("test_faketime")]
    |stage| {
        restart_at(stage, "@2100-01-02 00:00:00").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        is_lost_in_time(stage, "").await?;
        let floor = stage.machine().durable()?.clock_floor;
        ensure!(floor < Some(now()), "the clock's floor is {floor:?}");
        restart_at(stage, "+0d").await?;
        stage.installs().await
    }

    /// A month ahead, within the root's life: windows are closed there, and no order of today is
    /// lost; back in the present it goes on.
    a_clock_a_month_ahead
    [Red(K1Raise), Rule("K1"), Rule("S6"), Row(30), Tuf("test_targets_expired"), Tuf("test_timestamp_expired")]
    |stage| {
        restart_at(stage, "+30d").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.is_held_by(Gate::Window, "no-window", "").await?;
        let floor = stage.machine().durable()?.clock_floor;
        ensure!(floor < Some(now()), "the clock's floor is {floor:?}");
        restart_at(stage, "+0d").await?;
        stage.installs().await
    }

    /// The machine's clock is not vouched for by anybody, and the configuration does not trust it.
    a_clock_that_nobody_vouches_for
    [Red(K2Vouched), Rule("K2"), Flaw("N5"), Row(37)]
    |stage| {
        let machine = stage.fleet.machines.first_mut().context("no machine")?;
        machine.stop()?;
        machine.set("clock", "\"os\"")?;
        // No time service answers.
        machine.set_variable("PATH", Path::new("/nonexistent"));
        stage.fleet.switch_on(0).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        is_lost_in_time(stage, "no clock reading counts").await?;
        let machine = stage.fleet.machines.first_mut().context("no machine")?;
        machine.stop()?;
        machine.set("clock", "\"rtc\"")?;
        stage.fleet.switch_on(0).await?;
        stage.installs().await
    }
}
