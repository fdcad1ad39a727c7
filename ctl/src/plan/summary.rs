//! A plan in numbers.

use std::collections::BTreeMap;

use daymark_protocol::time::WallTime;
use serde::Serialize;

use super::PlannedHost;

/// How many would update, and when.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// Hosts looked at.
    pub hosts: usize,
    /// Hosts that would update.
    pub updating: usize,
    /// Hosts that would not, by reason.
    pub not_updating: BTreeMap<String, usize>,
    /// The first activation.
    pub first: Option<WallTime>,
    /// The last activation.
    pub last: Option<WallTime>,
    /// Most hosts that activate at the same time, and when that is so first.
    pub peak: Option<(usize, WallTime)>,
}

impl Summary {
    /// Of what hosts would do.
    pub(crate) fn of(hosts: &[PlannedHost]) -> Self {
        let mut not_updating = BTreeMap::new();
        for objection in hosts.iter().filter_map(PlannedHost::why_not) {
            *not_updating.entry(objection.reason.to_string()).or_default() += 1;
        }
        let updates = || hosts.iter().flat_map(|host| &host.updates);
        Self {
            hosts: hosts.len(),
            updating: hosts.iter().filter(|host| !host.updates.is_empty()).count(),
            not_updating,
            first: updates().map(|update| update.at).min(),
            last: updates().map(|update| update.at).max(),
            peak: peak(updates().map(|update| (update.at, update.until))),
        }
    }
}

/// The most stretches, half-open, that overlap.
fn peak(stretches: impl Iterator<Item = (WallTime, WallTime)>) -> Option<(usize, WallTime)> {
    let mut ends: Vec<(WallTime, bool)> =
        stretches.flat_map(|(from, until)| [(from, true), (until, false)]).collect();
    // An end comes before a beginning at the same moment.
    ends.sort_unstable();
    let (mut running, mut peak) = (0_usize, None);
    for (at, begins) in ends {
        if !begins {
            running = running.saturating_sub(1);
            continue;
        }
        running += 1;
        if peak.is_none_or(|(most, _)| running > most) {
            peak = Some((running, at));
        }
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_what_overlaps_and_not_what_follows() {
        let at = WallTime::from_seconds;
        let of = |stretches: &[(i64, i64)]| {
            peak(stretches.iter().map(|(from, until)| (at(*from), at(*until))))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(0, 10), (10, 20)]), Some((1, at(0))));
        assert_eq!(of(&[(0, 10), (9, 20), (5, 6), (9, 30)]), Some((3, at(9))));
    }
}
