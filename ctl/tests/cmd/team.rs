//! Administrators of one fleet, each at a machine of their own, who pass a stick around.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{Admin, Ran, text};

/// Everybody, and their stick.
pub(crate) struct Team {
    members: Vec<(&'static str, Admin)>,
    place: TempDir,
    pin: String,
}

impl Team {
    /// Founds a fleet of which the first member writes the root and as many sign as it needs.
    pub(crate) fn found(names: &[&'static str], init: &[&str]) -> Self {
        let members: Vec<(&str, Admin)> = names.iter().map(|name| (*name, Admin::new())).collect();
        for (name, admin) in &members {
            admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
        }
        let place = TempDir::new().unwrap();
        let mut team = Self { members, place, pin: String::new() };
        let publics: Vec<String> = names[1..]
            .iter()
            .map(|name| team.of(name).run(&["key", "show", name]).ends(0).out.trim().to_owned())
            .collect();
        let mut args = vec!["fleet", "init", "--name", "plant"];
        for public in &publics {
            args.extend(["--member", public]);
        }
        args.extend(init);
        let said = team.of(names[0]).run(&args).out;
        let pin = said.lines().find_map(|line| line.strip_prefix("Fingerprint: "));
        team.pin = pin.unwrap_or_else(|| panic!("{said}")).to_owned();
        team.sync(names[0]);
        for name in &names[1..] {
            let stick = team.stick();
            let add = ["context", "add", "plant", text(&stick), "--fleet", &team.pin];
            team.of(name).run(&add).ends(0);
            if team.of(name).run(&["fleet", "info"]).code == 3 {
                team.of(name).run(&["sign", "--all", "--yes"]);
                team.sync(name);
            }
        }
        team.sync_all();
        team
    }

    /// A member.
    #[track_caller]
    pub(crate) fn of(&self, name: &str) -> &Admin {
        let mut members = self.members.iter();
        &members.find(|(other, _)| *other == name).expect("a member").1
    }

    /// Runs a command of a member.
    pub(crate) fn run(&self, name: &str, args: &[&str]) -> Ran {
        self.of(name).run(args)
    }

    /// The stick.
    pub(crate) fn stick(&self) -> PathBuf {
        self.place.path().to_owned()
    }

    /// A member's exchange with the stick.
    #[track_caller]
    pub(crate) fn sync(&self, name: &str) {
        self.of(name).run(&["sync", text(self.place.path())]).ends(0);
    }

    /// Everybody's, until all know everything.
    pub(crate) fn sync_all(&self) {
        for _ in 0..2 {
            self.members.iter().for_each(|(name, _)| self.sync(name));
        }
    }
}
