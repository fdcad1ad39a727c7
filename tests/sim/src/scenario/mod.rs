//! Scenarios: what a world is made of and what befalls it, read strictly from TOML.

mod check;
mod format;
mod happening;
mod mix;
mod span;

use std::path::Path;

pub use self::check::InvalidScenario;
pub use self::format::{
    Clocks, Failing, Faults, Founded, Hostile, HostileAct, Image, Link, Machines, Network,
    Scenario, Site,
};
pub use self::happening::{Happening, Order, Parts, Window, Zone};
pub use self::span::Span;

/// The scenarios that come with the simulator: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("air-gap-stick", include_str!("../../scenarios/air-gap-stick.toml")),
    ("bad-image", include_str!("../../scenarios/bad-image.toml")),
    ("byzantine-30", include_str!("../../scenarios/byzantine-30.toml")),
    ("copied-disk", include_str!("../../scenarios/copied-disk.toml")),
    ("clock-chaos", include_str!("../../scenarios/clock-chaos.toml")),
    ("cold-join-10000", include_str!("../../scenarios/cold-join-10000.toml")),
    ("contradiction", include_str!("../../scenarios/contradiction.toml")),
    ("fleet-1000", include_str!("../../scenarios/fleet-1000.toml")),
    ("freeze-leaver", include_str!("../../scenarios/freeze-leaver.toml")),
    ("mass-reboot", include_str!("../../scenarios/mass-reboot.toml")),
    ("mixed-versions", include_str!("../../scenarios/mixed-versions.toml")),
    ("month-10000", include_str!("../../scenarios/month-10000.toml")),
    ("partition-week", include_str!("../../scenarios/partition-week.toml")),
    ("pocket", include_str!("../../scenarios/pocket.toml")),
    ("site-50", include_str!("../../scenarios/site-50.toml")),
    ("rival-roots", include_str!("../../scenarios/rival-roots.toml")),
    ("site-400", include_str!("../../scenarios/site-400.toml")),
    ("spare-part", include_str!("../../scenarios/spare-part.toml")),
    ("workshop", include_str!("../../scenarios/workshop.toml")),
];

impl Scenario {
    /// Reads a scenario by the name of a built-in one or the path of a file.
    ///
    /// # Errors
    /// If there is none, or it is not a scenario that can be run here.
    pub fn load(name: &str) -> Result<Self, InvalidScenario> {
        let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
        match built_in {
            Some((_, text)) => Self::parse(text),
            None => {
                let path = Path::new(name);
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                    InvalidScenario::Unreadable {
                        name: name.to_owned(),
                        error: error.to_string(),
                        names: names.join(", "),
                    }
                })?;
                Self::parse(&text)
            }
        }
    }

    /// Reads a scenario's text.
    ///
    /// # Errors
    /// If it is not a scenario that can be run here.
    pub fn parse(text: &str) -> Result<Self, InvalidScenario> {
        let scenario: Self = toml::from_str(text)
            .map_err(|error| InvalidScenario::NotReadable(error.to_string()))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Machines, running or not.
    pub fn hosts(&self) -> usize {
        self.site.iter().map(|site| site.hosts.saturating_mul(site.times)).sum()
    }
}
