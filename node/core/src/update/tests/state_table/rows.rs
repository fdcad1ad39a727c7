//! The rows of the state table: place, fault, whether falling back is possible; steps, run,
//! whether the image is blamed.

use super::At::{
    Activating, Checking, Confirming, FallingBack, Idle, Rebooting, RestartingBack, Staged, Staging,
};
use super::Fault::{Error, Hang, Kill, NeverEnds};
use super::Row;

/// A whole update, as far as it is followed.
const UPDATES: &[&str] = &[
    "staging > stage",
    "staged > ",
    "activating > activate",
    "rebooting > reboot",
    "confirming > check health",
];
/// Staging is ordered again, and the update goes on.
const STAGES_AGAIN: &[&str] = &[
    "- > stage",
    "staged > ",
    "activating > activate",
    "rebooting > reboot",
    "confirming > check health",
];
/// What is staged is switched to, and confirmed.
const SWITCHES: &[&str] = &[
    "activating > activate",
    "rebooting > reboot",
    "confirming > check health",
    "- > confirm",
    "idle > ",
];
/// The boot switch is set back on a machine that runs what ran before.
const TAKEN_BACK: &[&str] = &["falling back > fall back", "idle > "];
/// Falling back is begun, and tried again and again.
const STUCK: &[&str] = &[
    "falling back > fall back",
    "- > fall back",
    "- > fall back",
    "- > fall back",
    "- > fall back",
];
/// Falling back is tried again and again.
const STILL_STUCK: &[&str] =
    &["- > fall back", "- > fall back", "- > fall back", "- > fall back", "- > fall back"];
/// What runs is checked and confirmed.
const CONFIRMS: &[&str] = &["confirming > check health", "- > confirm", "idle > "];
/// The boot switch is set back, the machine restarts, and the switch is set back for good.
const FALLS_BACK: &[&str] =
    &["falling back > fall back", "falling back > reboot", "falling back > fall back", "idle > "];
/// The same, after another try.
const FALLS_BACK_LATER: &[&str] =
    &["- > fall back", "falling back > reboot", "falling back > fall back", "idle > "];
/// Confirming is tried again.
const CONFIRMS_LATER: &[&str] = &["- > confirm", "idle > "];
/// Staging is cancelled, and the attempt given up.
const CANCELS: &[&str] = &["cancel < idle > "];
/// The attempt is given up.
const GIVES_UP: &[&str] = &["idle > "];

const UNHEALTHY: &str = "FAILED: health check failed: unit down";
const GOES_ON: &str = "goes on";
const CAME_BACK: &str = "FAILED: the machine came back on what ran before";
const UPDATED: &str = "UPDATED";

pub(super) const ROWS: &[Row] = &[
    (Idle, Error, true, UPDATES, GOES_ON, false),
    (Idle, Error, false, UPDATES, GOES_ON, false),
    (Idle, Kill, true, UPDATES, GOES_ON, false),
    (Idle, Kill, false, UPDATES, GOES_ON, false),
    (Idle, Hang, true, UPDATES, GOES_ON, false),
    (Idle, Hang, false, UPDATES, GOES_ON, false),
    (Idle, NeverEnds, true, UPDATES, GOES_ON, false),
    (Idle, NeverEnds, false, UPDATES, GOES_ON, false),
    (Staging, Error, true, STAGES_AGAIN, GOES_ON, false),
    (Staging, Error, false, STAGES_AGAIN, GOES_ON, false),
    (Staging, Kill, true, STAGES_AGAIN, GOES_ON, false),
    (Staging, Kill, false, STAGES_AGAIN, GOES_ON, false),
    (Staging, Hang, true, STAGES_AGAIN, GOES_ON, false),
    (Staging, Hang, false, STAGES_AGAIN, GOES_ON, false),
    (Staging, NeverEnds, true, CANCELS, "FAILED: window missed", false),
    (Staging, NeverEnds, false, CANCELS, "FAILED: window missed", false),
    (Staged, Error, true, SWITCHES, UPDATED, false),
    (Staged, Error, false, SWITCHES, UPDATED, false),
    (Staged, Kill, true, SWITCHES, UPDATED, false),
    (Staged, Kill, false, SWITCHES, UPDATED, false),
    (Staged, Hang, true, SWITCHES, UPDATED, false),
    (Staged, Hang, false, SWITCHES, UPDATED, false),
    (Staged, NeverEnds, true, GIVES_UP, "FAILED: window missed", false),
    (Staged, NeverEnds, false, GIVES_UP, "FAILED: window missed", false),
    (Activating, Error, true, TAKEN_BACK, "FAILED: the boot switch failed: broken", false),
    (Activating, Error, false, STUCK, GOES_ON, false),
    (
        Activating,
        Kill,
        true,
        TAKEN_BACK,
        "FAILED: the agent stopped before the machine restarted",
        false,
    ),
    (Activating, Kill, false, STUCK, GOES_ON, false),
    (
        Activating,
        Hang,
        true,
        TAKEN_BACK,
        "FAILED: the machine stopped during the boot switch and came back on what ran before",
        false,
    ),
    (Activating, Hang, false, STUCK, GOES_ON, false),
    (Activating, NeverEnds, true, TAKEN_BACK, "FAILED: the boot switch did not end in time", false),
    (Activating, NeverEnds, false, STUCK, GOES_ON, false),
    (Rebooting, Error, true, TAKEN_BACK, "FAILED: the machine did not restart: broken", false),
    (Rebooting, Error, false, STUCK, GOES_ON, false),
    (
        Rebooting,
        Kill,
        true,
        TAKEN_BACK,
        "FAILED: the agent started again before the machine restarted",
        false,
    ),
    (Rebooting, Kill, false, STUCK, GOES_ON, false),
    (Rebooting, Hang, true, CONFIRMS, UPDATED, false),
    (Rebooting, Hang, false, CONFIRMS, UPDATED, false),
    (Rebooting, NeverEnds, true, TAKEN_BACK, "FAILED: the machine did not restart in time", false),
    (Rebooting, NeverEnds, false, STUCK, GOES_ON, false),
    (Checking, Error, true, FALLS_BACK, "FAILED: the health checks did not run: broken", true),
    (Checking, Error, false, STUCK, GOES_ON, false),
    (Checking, Kill, true, CONFIRMS, UPDATED, false),
    (Checking, Kill, false, CONFIRMS, UPDATED, false),
    (Checking, Hang, true, TAKEN_BACK, CAME_BACK, true),
    (Checking, Hang, false, STUCK, GOES_ON, false),
    (Checking, NeverEnds, true, FALLS_BACK, "FAILED: the boot was not confirmed in time", true),
    (Checking, NeverEnds, false, STUCK, GOES_ON, false),
    (Confirming, Error, true, CONFIRMS_LATER, UPDATED, false),
    (Confirming, Error, false, CONFIRMS_LATER, UPDATED, false),
    (Confirming, Kill, true, CONFIRMS, UPDATED, false),
    (Confirming, Kill, false, CONFIRMS, UPDATED, false),
    (Confirming, Hang, true, TAKEN_BACK, CAME_BACK, true),
    (Confirming, Hang, false, STUCK, GOES_ON, false),
    (Confirming, NeverEnds, true, FALLS_BACK, "FAILED: the boot was not confirmed in time", true),
    (Confirming, NeverEnds, false, STUCK, GOES_ON, false),
    (FallingBack, Error, true, FALLS_BACK_LATER, UNHEALTHY, true),
    (FallingBack, Error, false, STILL_STUCK, GOES_ON, false),
    (FallingBack, Kill, true, FALLS_BACK, UNHEALTHY, true),
    (FallingBack, Kill, false, STUCK, GOES_ON, false),
    (FallingBack, Hang, true, TAKEN_BACK, UNHEALTHY, true),
    (FallingBack, Hang, false, STUCK, GOES_ON, false),
    (FallingBack, NeverEnds, true, FALLS_BACK_LATER, UNHEALTHY, true),
    (FallingBack, NeverEnds, false, STILL_STUCK, GOES_ON, false),
    (RestartingBack, Error, true, FALLS_BACK_LATER, UNHEALTHY, true),
    (RestartingBack, Error, false, STILL_STUCK, GOES_ON, false),
    (RestartingBack, Kill, true, FALLS_BACK, UNHEALTHY, true),
    (RestartingBack, Kill, false, STUCK, GOES_ON, false),
    (RestartingBack, Hang, true, TAKEN_BACK, UNHEALTHY, true),
    (RestartingBack, Hang, false, STUCK, GOES_ON, false),
    (RestartingBack, NeverEnds, true, FALLS_BACK_LATER, UNHEALTHY, true),
    (RestartingBack, NeverEnds, false, STILL_STUCK, GOES_ON, false),
];
