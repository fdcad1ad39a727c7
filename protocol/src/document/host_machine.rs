//! A host's machine and what it holds, as facts: enough for anyone to repeat its decision
//! (RULES Q19) and to tell whether a statement has reached it.

use crate::decide::{Activity, Machine, Quarantined};
use crate::document::DocumentId;
use crate::document::fact::Facts;
use crate::document::host_facts::short_json;
use crate::document::host_paths as paths;
use crate::id::Digest;

impl Facts {
    /// Sets the machine. What changes by the minute (staging, activation) is the update status's
    /// matter; of the quarantine the newest images that fit are kept.
    pub fn set_machine(&mut self, machine: &Machine) {
        let bare = Machine {
            installed: None,
            quarantine: Vec::new(),
            activity: Activity::Idle,
            ..machine.clone()
        };
        if let Some(json) = short_json(&bare) {
            self.set_text(&[paths::MACHINE, paths::MACHINE_SUMMARY], &json);
        }
        let mut quarantine = machine.quarantine.as_slice();
        let json = loop {
            match (short_json(&quarantine), quarantine) {
                (Some(json), _) => break json,
                (None, [_, newer @ ..]) => quarantine = newer,
                (None, []) => break String::new(),
            }
        };
        let shown = if quarantine.is_empty() { "" } else { &json };
        self.set_text(&[paths::MACHINE, paths::MACHINE_QUARANTINE], shown);
        if let Some(installed) = &machine.installed {
            self.set_installed(installed);
        }
    }

    /// The machine; `None` before the host has described it.
    pub fn machine(&self) -> Option<Machine> {
        let summary = self.text(&[paths::MACHINE, paths::MACHINE_SUMMARY])?;
        let bare: Machine = serde_json::from_str(summary).ok()?;
        let quarantine: Vec<Quarantined> = self
            .text(&[paths::MACHINE, paths::MACHINE_QUARANTINE])
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        Some(Machine { installed: self.installed(), quarantine, ..bare })
    }

    /// Sets from which fleets a local person had the machine adopted, in one sentence.
    pub fn set_adopted(&mut self, told: &str) {
        self.set_text(&[paths::HISTORY, paths::HISTORY_ADOPTED], told);
    }

    /// From which fleets a local person had the machine adopted, if one ever did.
    pub fn adopted(&self) -> Option<&str> {
        self.text(&[paths::HISTORY, paths::HISTORY_ADOPTED]).filter(|told| !told.is_empty())
    }

    /// Sets what of the custom configuration could not be delivered, and why.
    pub fn set_configuration_problem(&mut self, told: &str) {
        self.set_text(&[paths::CONFIGURATION, paths::CONFIGURATION_PROBLEM], told);
    }

    /// What of the custom configuration could not be delivered, and why.
    pub fn configuration_problem(&self) -> Option<&str> {
        self.text(&[paths::CONFIGURATION, paths::CONFIGURATION_PROBLEM])
    }

    /// Sets the fingerprint of what the host holds of a document.
    pub fn set_held(&mut self, document: &DocumentId, fingerprint: &Digest) {
        if let Some(name) = held_name(document) {
            self.set_text(&[paths::HELD, name], &fingerprint.to_string());
        }
    }

    /// The fingerprint of what the host holds of `fleet`, or of its own site's document.
    pub fn held(&self, document: &DocumentId) -> Option<Digest> {
        self.text(&[paths::HELD, held_name(document)?])?.parse().ok()
    }
}

fn held_name(document: &DocumentId) -> Option<&'static str> {
    match document {
        DocumentId::Fleet => Some(paths::HELD_FLEET),
        DocumentId::Site(_) => Some(paths::HELD_SITE),
        DocumentId::Host(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::PlatformKind;
    use crate::resource::OsType;

    fn quarantined(number: u8) -> Quarantined {
        Quarantined {
            profile: Digest([number; 32]),
            index_digest: Digest([number; 32]),
            attempt: number.into(),
            reason: "unit web.service failed".into(),
        }
    }

    #[test]
    fn a_machine_comes_back_and_a_long_quarantine_keeps_its_newest() {
        let machine = Machine {
            os_type: OsType::Immutable,
            platform: PlatformKind::Slots,
            architecture: "x86_64".into(),
            installed: None,
            staged: None,
            quarantine: vec![quarantined(1)],
            inhibitors: vec!["a person works on it".into()],
            other_updaters: Vec::new(),
            activation_ms: Some(42_000),
            activity: Activity::Idle,
            slot_busy: None,
        };
        let mut facts = Facts::default();
        facts.set_machine(&machine);
        assert_eq!(facts.machine(), Some(machine.clone()));
        let many = Machine { quarantine: (0..40).map(quarantined).collect(), ..machine };
        facts.set_machine(&many);
        let kept = facts.machine().unwrap().quarantine;
        assert!(kept.len() > 3 && kept.len() < 40);
        assert_eq!(kept.last(), many.quarantine.last());
    }

    #[test]
    fn what_is_held_is_told_for_the_fleet_and_for_the_own_site() {
        let mut facts = Facts::default();
        let site = DocumentId::Site("site-1".parse().unwrap());
        facts.set_held(&DocumentId::Fleet, &Digest([1; 32]));
        facts.set_held(&site, &Digest([2; 32]));
        assert_eq!(facts.held(&DocumentId::Fleet), Some(Digest([1; 32])));
        assert_eq!(facts.held(&site), Some(Digest([2; 32])));
    }
}
