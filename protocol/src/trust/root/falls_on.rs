//! What runs out under a root, said ahead: 180, 90 and 30 days before, by every tool.

use super::Root;
use crate::time::WallTime;

/// How many days before it falls something is announced, each time more urgently.
pub const ANNOUNCED_DAYS: [u32; 3] = [30, 90, 180];
const DAY_MS: i64 = 24 * 3_600_000;

/// Something that runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallsOn {
    /// What, for people: `root 3`, `delegation berlin`.
    pub what: String,
    /// When.
    pub at: WallTime,
    /// Within how many days, of [`ANNOUNCED_DAYS`]; 0 once it is over.
    pub within_days: u32,
}

/// Within how many of [`ANNOUNCED_DAYS`] days something falls, 0 if it is over; `None` if that is
/// longer away than anyone needs to be told.
pub fn announced(at: WallTime, now: WallTime) -> Option<u32> {
    if at <= now {
        return Some(0);
    }
    let is_within = |days: &u32| at.since_ms(now) <= i64::from(*days) * DAY_MS;
    ANNOUNCED_DAYS.into_iter().find(is_within)
}

impl Root {
    /// What of this root runs out within [`ANNOUNCED_DAYS`] of `now`, soonest first.
    pub fn falls_on(&self, now: WallTime) -> Vec<FallsOn> {
        let own = (format!("root {}", self.version), self.expires);
        let given = self.delegations.iter();
        let given = given.map(|(name, given)| (format!("delegation {name}"), given.until));
        let mut falls: Vec<FallsOn> = std::iter::once(own)
            .chain(given)
            .filter_map(|(what, at)| Some(FallsOn { what, at, within_days: announced(at, now)? }))
            .collect();
        falls.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
        falls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_180_90_and_30_days() {
        let now = WallTime::from_seconds(1_000_000);
        let said = |days: i64| announced(now.plus_ms(days * DAY_MS), now);
        let told = [181, 180, 91, 90, 31, 30, 1, 0, -5].map(said);
        let meant =
            [None, Some(180), Some(180), Some(90), Some(90), Some(30), Some(30), Some(0), Some(0)];
        assert_eq!(told, meant);
    }
}
