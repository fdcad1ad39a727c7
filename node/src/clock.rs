//! The host's clocks. What they are worth is the core's to judge (RULES K2).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daymark_core::event::Reading;
use daymark_protocol::time::{MonoTime, WallTime};
use rustix::time::{ClockId, clock_gettime};

use crate::command::{self, Run};

/// Longest wait for the answer of a tool that knows whether the clock is synchronised.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// systemd-timesyncd touches this file when it has set the clock since boot.
const TIMESYNC_MARK: &str = "/run/systemd/timesync/synchronized";

/// The clocks, and whether the wall clock was synchronised when last asked.
#[derive(Debug, Default)]
pub struct Clock {
    synchronised: AtomicBool,
}

impl Clock {
    /// Reads the clocks.
    pub fn read(&self) -> Reading {
        let boot = clock_gettime(ClockId::Boottime);
        let mono_ms = boot.tv_sec.saturating_mul(1000).saturating_add(boot.tv_nsec / 1_000_000);
        Reading {
            mono: MonoTime(u64::try_from(mono_ms).unwrap_or_default()),
            wall: wall(),
            synchronised: self.synchronised.load(Ordering::Relaxed),
        }
    }

    /// Asks the operating system whether its clock is synchronised. The kernel's own answer needs
    /// a call that no safe interface offers, so the tools that ask it are asked: timesyncd's mark,
    /// chrony, then systemd-timedated, which knows of every other time service.
    pub async fn refresh(&self) {
        let synchronised = Path::new(TIMESYNC_MARK).exists()
            || answers("chronyc", &["-c", "tracking"], chrony_is_synchronised).await
            || answers("timedatectl", &["show", "--property=NTPSynchronized", "--value"], |text| {
                text.trim() == "yes"
            })
            .await;
        self.synchronised.store(synchronised, Ordering::Relaxed);
    }
}

/// Wall-clock time as the operating system has it.
pub fn wall() -> WallTime {
    let now = SystemTime::now();
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    WallTime::from_ms(match now.duration_since(UNIX_EPOCH) {
        Ok(since) => ms(since),
        Err(before) => -ms(before.duration()),
    })
}

async fn answers(program: &str, arguments: &[&str], yes: impl Fn(&str) -> bool) -> bool {
    let run = Run::new(program, ASK_TIMEOUT).arguments(arguments);
    command::run(run).await.is_ok_and(|output| output.success() && yes(&output.stdout_text()))
}

/// The last field of `chronyc -c tracking` is the leap status; `Not synchronised` until it is.
fn chrony_is_synchronised(text: &str) -> bool {
    let fields: Vec<&str> = text.trim().split(',').collect();
    fields.len() >= 14
        && fields.last().is_some_and(|leap| !leap.eq_ignore_ascii_case("Not synchronised"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_speaks_of_its_leap_status_last() {
        let line =
            |leap: &str| format!("A29FC87B,time,3,1.0,0.1,0.2,0.3,1,2,3,0.1,0.1,64.2,{leap}\n");
        assert!(chrony_is_synchronised(&line("Normal")));
        assert!(chrony_is_synchronised(&line("Insert second")));
        assert!(!chrony_is_synchronised(&line("Not synchronised")));
        assert!(!chrony_is_synchronised("506 Cannot talk to daemon\n"));
        assert!(!chrony_is_synchronised(""));
    }

    #[test]
    fn monotonic_time_does_not_go_back() {
        let clock = Clock::default();
        let first = clock.read().mono;
        assert!(clock.read().mono >= first);
    }
}
