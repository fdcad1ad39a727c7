//! When windows are open, worked out from the operators' rule alone: nothing of the protocol's
//! window code is used, so that the two can disagree.

use daymark_protocol::time::WallTime;

use crate::operators::Rule;
use crate::scenario::Zone;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// An opening, in ms since the world began; `None` is an open end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    /// Its first moment.
    pub(crate) from_ms: i64,
    /// The first moment after it.
    pub(crate) to_ms: Option<i64>,
}

/// Openings of a rule that begin before `until_ms`, in order, from the world's beginning on.
pub(crate) fn openings(rule: &Rule, begins: WallTime, until_ms: u64) -> Vec<Opening> {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    match rule {
        Rule::Once(from, to) => {
            vec![Opening { from_ms: signed(*from), to_ms: to.map(signed) }]
        }
        Rule::Weekly(weekday, hour, length_ms, zone) => {
            let first_day = begins.as_ms().div_euclid(DAY_MS) - 2;
            let last_day = (begins.as_ms() + signed(until_ms)).div_euclid(DAY_MS) + 2;
            (first_day..=last_day)
                // 1 January 1970 was a Thursday.
                .filter(|day| (day + 4).rem_euclid(7) == i64::from(*weekday))
                .map(|day| start_of(day, i64::from(*hour), *zone) - begins.as_ms())
                .map(|from_ms| Opening { from_ms, to_ms: Some(from_ms + signed(*length_ms)) })
                .filter(|opening| opening.to_ms > Some(0) && opening.from_ms < signed(until_ms))
                .collect()
        }
    }
}

/// Whether a moment lies in an opening, give or take `tolerance_ms`.
pub(crate) fn is_open(rule: &Rule, begins: WallTime, at_ms: i64, tolerance_ms: i64) -> bool {
    let until_ms = u64::try_from(at_ms.saturating_add(tolerance_ms).saturating_add(1)).unwrap_or(0);
    openings(rule, begins, until_ms).into_iter().any(|opening| {
        opening.from_ms - tolerance_ms <= at_ms
            && opening.to_ms.is_none_or(|to_ms| at_ms < to_ms + tolerance_ms)
    })
}

/// Whether summer time is in force in Berlin.
pub(crate) fn is_summer(at: WallTime) -> bool {
    let (spring, autumn) = changes(year_of(at.as_ms().div_euclid(DAY_MS)));
    (spring..autumn).contains(&at.as_ms())
}

/// The moment of a full hour of a local day, Unix ms. An hour that is skipped stands for its end,
/// one that comes twice for the first.
fn start_of(day: i64, hour: i64, zone: Zone) -> i64 {
    let local = day * DAY_MS + hour * HOUR_MS;
    match zone {
        Zone::Utc => local,
        Zone::Berlin => {
            let (spring, autumn) = changes(year_of(day));
            // Summer time is in force from 1:00 UTC to 1:00 UTC.
            let in_summer = local - 2 * HOUR_MS;
            let in_winter = local - HOUR_MS;
            match () {
                () if in_winter < spring => in_winter,
                () if in_summer < spring => spring,
                () if in_summer < autumn => in_summer,
                () => in_winter,
            }
        }
    }
}

fn year_of(day: i64) -> i64 {
    // Good for the years around 2027, which is all that worlds have.
    1970 + (day * 400 + 200) / 146_097
}

/// The days of the two clock changes of a year in the EU: the last Sundays of March and October,
/// 1:00 UTC, Unix ms.
fn changes(year: i64) -> (i64, i64) {
    let new_year = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum::<i64>();
    let last_sunday = |day: i64| day - (day + 4).rem_euclid(7);
    let spring_days = if leap(year) { 91 } else { 90 };
    let end_of_march = new_year + spring_days - 1;
    let end_of_october = end_of_march + 30 + 31 + 30 + 31 + 31 + 30 + 31;
    let at = |day: i64| last_sunday(day) * DAY_MS + HOUR_MS;
    (at(end_of_march), at(end_of_october))
}

fn leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(text: &str) -> WallTime {
        serde_json::from_value(serde_json::json!(text)).unwrap()
    }

    fn first(rule: &Rule, from: &str) -> String {
        let begins = begins(from);
        let opening = openings(rule, begins, 8 * 86_400_000).into_iter().find(|it| it.from_ms >= 0);
        begins.plus_ms(opening.unwrap().from_ms).to_string()
    }

    #[test]
    fn a_local_hour_moves_with_the_clock_changes() {
        let weekly = |hour| Rule::Weekly(0, hour, 3_600_000, Zone::Berlin);
        assert_eq!(first(&weekly(4), "2027-01-04T00:00:00Z"), "2027-01-10T03:00:00Z");
        assert_eq!(first(&weekly(4), "2027-07-05T00:00:00Z"), "2027-07-11T02:00:00Z");
        assert_eq!(first(&weekly(2), "2027-03-27T00:00:00Z"), "2027-03-28T01:00:00Z", "skipped");
        assert_eq!(first(&weekly(2), "2027-10-30T00:00:00Z"), "2027-10-31T00:00:00Z", "twice");
        assert_eq!(first(&weekly(3), "2027-10-30T00:00:00Z"), "2027-10-31T02:00:00Z");
        let utc = Rule::Weekly(6, 22, 1, Zone::Utc);
        assert_eq!(first(&utc, "2027-01-04T00:00:00Z"), "2027-01-09T22:00:00Z");
    }

    #[test]
    fn a_moment_is_inside_or_not() {
        let begins = begins("2027-01-04T00:00:00Z");
        let once = Rule::Once(1_000, Some(2_000));
        let open = |at_ms, tolerance_ms| is_open(&once, begins, at_ms, tolerance_ms);
        assert!(!open(999, 0) && open(1_000, 0) && open(1_999, 0) && !open(2_000, 0));
        assert!(open(999, 1) && open(2_000, 1));
        assert!(is_open(&Rule::Once(5, None), begins, i64::MAX / 2, 0));
    }
}
