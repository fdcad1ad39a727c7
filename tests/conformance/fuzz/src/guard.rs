//! Runs one input and sees what it does: a panic, or memory above the allowance. A hang is seen by
//! a watchdog that looks whether executions go on; it bounds a step generously and times nothing.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::MEMORY;
use crate::target::{Target, Told};

/// An execution of which nothing is heard for so long is called a hang.
const HANG: Duration = Duration::from_secs(20);

/// What went wrong.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    /// It panicked, or a promise did not hold.
    Panic(String),
    /// It allocated more than it may.
    Memory {
        /// Bytes at most at once.
        took: usize,
        /// Bytes allowed.
        allowed: usize,
    },
}

impl std::fmt::Display for Harm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Memory { took, allowed } => {
                write!(f, "memory: it took {took} bytes, {allowed} are allowed")
            }
        }
    }
}

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Panics are kept for [`run`] instead of being printed.
pub(crate) fn keep_panics() {
    panic::set_hook(Box::new(|info| {
        let mut last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        *last = info.to_string();
    }));
}

/// What an input came to, and the bytes that it took at most.
pub(crate) fn run(target: &Target, input: &[u8]) -> Result<(Told, usize), Harm> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let told = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = MEMORY.peak_usage().saturating_sub(before);
    let Ok(told) = told else {
        let last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        return Err(Harm::Panic(last.clone()));
    };
    let allowed = target.allowance.bytes(input.len());
    if took > allowed {
        return Err(Harm::Memory { took, allowed });
    }
    Ok((told, took))
}

/// Looks whether executions go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchdog {
    started: Arc<AtomicU64>,
    input: Arc<Mutex<Vec<u8>>>,
}

impl Watchdog {
    /// Begins to look; if an execution hangs, its input goes to `file` and the process ends with
    /// `status`.
    pub(crate) fn begin(file: PathBuf, status: u8) -> Self {
        let watchdog = Self::default();
        let watched = watchdog.clone();
        std::thread::spawn(move || {
            loop {
                let before = watched.started.load(Ordering::Relaxed);
                std::thread::sleep(HANG);
                if before != 0 && watched.started.load(Ordering::Relaxed) == before {
                    let input = watched.input.lock().unwrap_or_else(PoisonError::into_inner);
                    let kept = std::fs::write(&file, &*input);
                    let kept = kept.map_or_else(|error| error.to_string(), |()| "kept".to_owned());
                    crate::run::say(&format!("hang: {} ({kept})", file.display()));
                    std::process::exit(i32::from(status));
                }
            }
        });
        watchdog
    }

    /// An execution begins.
    pub(crate) fn tell(&self, input: &[u8]) {
        let mut held = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        held.clear();
        held.extend_from_slice(input);
        self.started.fetch_add(1, Ordering::Relaxed);
    }
}
