//! Whether this is the machine that its key was drawn for (RULES D6). The board's serial number
//! decides where it was known then and is now: a copied disk brings its machine-id along, and a
//! reinstalled OS draws another one. Without a serial number the machine-id decides. What is not
//! known proves nothing.

use daymark_core::durable::UpdateState;

use super::facts::Hardware;
use crate::durable::HostKeyFile;

/// What the comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is the same machine, and nothing new is known of it.
    Same,
    /// It is the same machine; this is to be recorded of it from now on.
    Renewed(Hardware),
    /// It is another one, or nothing that is known of it is the same; why, for people.
    Moved(String),
}

/// Compares. `update` is the one under way: another slot may bring another machine-id.
pub fn compare(key: &HostKeyFile, found: &Hardware, update: &UpdateState) -> Binding {
    match (&key.serial, &found.serial) {
        (Some(recorded), Some(serial)) if recorded != serial => {
            return Binding::Moved(format!(
                "this key was drawn on the board with serial number {recorded}, and this board has \
                 {serial}"
            ));
        }
        (Some(_), Some(_)) => {}
        (None, _) | (_, None) => {
            if let (Some(recorded), Some(id)) = (&key.machine_id, &found.machine_id)
                && recorded != id
                && !brings_another_slot(update)
            {
                return Binding::Moved(format!(
                    "this key was drawn on the machine with machine-id {recorded}, this one has \
                     {id}, and no serial number tells whether the board is the same"
                ));
            }
        }
    }
    let renewed = Hardware {
        serial: found.serial.clone().or_else(|| key.serial.clone()),
        uuid: None,
        machine_id: found.machine_id.clone().or_else(|| key.machine_id.clone()),
    };
    if (&renewed.serial, &renewed.machine_id) == (&key.serial, &key.machine_id) {
        Binding::Same
    } else {
        Binding::Renewed(renewed)
    }
}

/// Whether this start may be one out of the other slot.
fn brings_another_slot(update: &UpdateState) -> bool {
    match update {
        UpdateState::Idle | UpdateState::Staging(_) | UpdateState::Staged(_) => false,
        UpdateState::Activating(_)
        | UpdateState::Rebooting(_)
        | UpdateState::Confirming(_)
        | UpdateState::FallingBack(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(serial: Option<&str>, machine_id: Option<&str>) -> HostKeyFile {
        let text = |text: Option<&str>| text.map(str::to_owned);
        HostKeyFile { seed: [1; 32], machine_id: text(machine_id), serial: text(serial) }
    }

    fn seen(serial: Option<&str>, machine_id: Option<&str>) -> Hardware {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Hardware { serial: text(serial), uuid: None, machine_id: text(machine_id) }
    }

    /// Each row: recorded, found, and whether a person is asked.
    #[test]
    fn d6_the_board_decides_where_it_has_a_number_and_else_the_machine_id() {
        let (s1, s2, m1, m2) = (Some("S1"), Some("S2"), Some("m1"), Some("m2"));
        let rows = [
            // Nothing changed.
            ((s1, m1), (s1, m1), false),
            // A copied disk brings its machine-id along; a new board under an old disk too.
            ((s1, m1), (s2, m1), true),
            ((s1, m1), (s2, m2), true),
            // A reinstalled OS on the same board.
            ((s1, m1), (s1, m2), false),
            ((s1, m1), (s1, None), false),
            // No number at all: virtual machines, boards whose maker left it open.
            ((None, m1), (None, m1), false),
            ((None, m1), (None, m2), true),
            // The number came, or cannot be read any more: the machine-id is what is left.
            ((None, m1), (s1, m1), false),
            ((None, m1), (s1, m2), true),
            ((s1, m1), (None, m1), false),
            ((s1, m1), (None, m2), true),
            // Nothing that could be compared.
            ((None, None), (s1, m1), false),
            ((s1, None), (None, m1), false),
            ((s1, m1), (None, None), false),
        ];
        for ((serial, id), (found_serial, found_id), asked) in rows {
            let key = key(serial, id);
            let result = compare(&key, &seen(found_serial, found_id), &UpdateState::Idle);
            assert_eq!(matches!(result, Binding::Moved(_)), asked, "{key:?}: {result:?}");
        }
    }

    #[test]
    fn d6_what_becomes_known_of_the_same_machine_is_recorded_and_nothing_is_forgotten() {
        let idle = UpdateState::Idle;
        let found = seen(Some("S1"), Some("m2"));
        assert_eq!(
            compare(&key(Some("S1"), Some("m1")), &found, &idle),
            Binding::Renewed(found.clone())
        );
        assert_eq!(compare(&key(None, None), &found, &idle), Binding::Renewed(found));
        let unread = seen(None, Some("m1"));
        assert_eq!(compare(&key(Some("S1"), Some("m1")), &unread, &idle), Binding::Same);
    }

    #[test]
    fn d6_an_own_update_may_bring_another_machine_id_and_never_another_board() {
        let attempt = serde_json::json!({
            "state": "confirming", "number": 1, "fromVersion": null, "started": "2026-01-01T00:00:00Z",
            "fromSlot": "a", "activated": null, "peerSeen": false, "failure": null,
            "progress": {
                "verifiedBytes": 0, "totalBytes": 0, "ownBytes": 0, "originBytes": 0,
                "peerBytes": {}, "refused": {}
            },
            "target": {
                "policy": "p", "policyVersion": 1, "osProfile": "o", "profile": "edge",
                "digest": "0".repeat(64), "version": "2", "indexDigest": null, "indexBytes": null
            }
        });
        let update: UpdateState = serde_json::from_value(attempt).unwrap();
        let same_board = compare(&key(None, Some("m1")), &seen(None, Some("m2")), &update);
        assert!(matches!(same_board, Binding::Renewed(_)), "{same_board:?}");
        let other = compare(&key(Some("S1"), Some("m1")), &seen(Some("S2"), Some("m2")), &update);
        assert!(matches!(other, Binding::Moved(_)), "{other:?}");
    }
}
