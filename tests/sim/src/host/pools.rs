//! What nodes hold in common, agents of each version by themselves.

use daymark_protocol::document::Shared;
use daymark_protocol::resource::{Kind, NewerFields};

/// The field of an update policy that only newer agents know.
pub(crate) const NEWER_FIELD: &str = "attested";

/// A pool for agents of today, and one for newer ones.
#[derive(Debug)]
pub(crate) struct Pools {
    today: Shared,
    newer: Shared,
}

impl Pools {
    /// Two pools of this kind.
    pub(crate) fn of(today: Shared) -> Self {
        let fields = NewerFields::NONE.and(Kind::OsUpdatePolicy, NEWER_FIELD);
        Self { newer: today.of_newer(fields), today }
    }

    /// What an agent shares, and by that what it can read.
    pub(crate) fn for_agent(&self, newer: bool) -> Shared {
        if newer { self.newer.clone() } else { self.today.clone() }
    }
}
