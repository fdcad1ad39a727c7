//! Two plans side by side: which hosts do otherwise.

use serde::Serialize;

use super::PlannedHost;

/// How a host does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    /// It would update and did not before.
    Added,
    /// It would no longer update.
    Removed,
    /// It would update otherwise, or not for another reason.
    Changed,
}

/// A host that does otherwise.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    /// How.
    pub change: Change,
    /// What it would do as things are.
    pub before: PlannedHost,
    /// What it would do then.
    pub after: PlannedHost,
}

impl Difference {
    /// What differs between two plans of the same hosts, in their order.
    pub(crate) fn between(before: Vec<PlannedHost>, after: Vec<PlannedHost>) -> Vec<Self> {
        let pairs = before.into_iter().zip(after);
        let differ = pairs.filter_map(|(before, after)| {
            let change = match (before.updates.is_empty(), after.updates.is_empty()) {
                (true, false) => Change::Added,
                (false, true) => Change::Removed,
                (false, false) if !same_updates(&before, &after) => Change::Changed,
                (true, true) if !same_reason(&before, &after) => Change::Changed,
                (false, false) | (true, true) => return None,
            };
            Some(Self { change, before, after })
        });
        differ.collect()
    }
}

/// Whether the same is installed at the same times. By which version of which policy is not the
/// host's concern.
fn same_updates(before: &PlannedHost, after: &PlannedHost) -> bool {
    let of = |host: &PlannedHost| {
        let updates = host.updates.iter();
        updates.map(|update| (update.to.clone(), update.at)).collect::<Vec<_>>()
    };
    of(before) == of(after)
}

fn same_reason(before: &PlannedHost, after: &PlannedHost) -> bool {
    let of = |host: &PlannedHost| host.why_not().map(|why| (why.gate, why.reason.clone()));
    of(before) == of(after)
}
