//! What the core is told by its host once, checked.

use daymark_protocol::time::WallTime;

/// Whose word on the time a machine takes that sees too few peers to compare with (RULES K2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockTrust {
    /// Only a clock that the operating system says is synchronised.
    Synchronised,
    /// Its battery-backed clock as well, as long as it did not jump.
    Rtc,
}

/// The core's configuration.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    clock: ClockTrust,
    build_time: WallTime,
    links: usize,
    #[cfg(feature = "planted-bugs")]
    planted: Option<crate::planted::PlantedBug>,
}

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The number of links.
    #[error("a node keeps 1 to {LINKS_MAX} links, not {0}")]
    Links(usize),
}

/// Most links that a node keeps up by itself: more would cost a fleet more than it spreads faster.
pub const LINKS_MAX: usize = 64;

impl CoreConfig {
    /// Checks a configuration. `build_time` is when the agent was built: no clock may say earlier
    /// (RULES K1). `links` is how many admitted peers the node tries to stay connected with.
    ///
    /// # Errors
    /// If a value is out of range.
    pub fn new(
        clock: ClockTrust,
        build_time: WallTime,
        links: usize,
    ) -> Result<Self, InvalidConfig> {
        if (1..=LINKS_MAX).contains(&links) {
            Ok(Self {
                clock,
                build_time,
                links,
                #[cfg(feature = "planted-bugs")]
                planted: None,
            })
        } else {
            Err(InvalidConfig::Links(links))
        }
    }

    /// Plants a bug, for the tests of the simulator's checks.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn plant(mut self, bug: crate::planted::PlantedBug) -> Self {
        self.planted = Some(bug);
        self
    }

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn planted(&self) -> Option<crate::planted::PlantedBug> {
        self.planted
    }

    pub(crate) fn clock(&self) -> ClockTrust {
        self.clock
    }

    pub(crate) fn build_time(&self) -> WallTime {
        self.build_time
    }

    pub(crate) fn links(&self) -> usize {
        self.links
    }
}
