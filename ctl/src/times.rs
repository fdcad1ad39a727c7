//! Times and lengths as people type them, and as they are shown.

use daymark_protocol::time::WallTime;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, Unit, Zoned};

use crate::exit::{Failure, Outcome};

/// The present, as this machine's clock has it. Statements carry it as `issued`.
pub(crate) fn now() -> WallTime {
    Timestamp::now().into()
}

/// A length such as `90m`, `3h`, `7d`, in milliseconds; days are 24 hours.
pub(crate) fn length_ms(text: &str) -> Outcome<i64> {
    let bad = || {
        Failure::usage(format!("{text:?} is not a length of time"))
            .next("write it like 90m, 3h or 7d")
    };
    let span: Span = text.trim().parse().map_err(|_| bad())?;
    let ms =
        span.total((Unit::Millisecond, SpanRelativeTo::days_are_24_hours())).map_err(|_| bad())?;
    if !(1.0..=1e14).contains(&ms) {
        return Err(bad());
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked to lie below 1e14")]
    Ok(ms as i64)
}

/// A point in time: RFC 3339, `2026-12-01 22:00` and `2026-12-01` in `zone`, `now`, `+2h`, `3h`.
pub(crate) fn point(text: &str, zone: &TimeZone, now: WallTime) -> Outcome<WallTime> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.into());
    }
    let local =
        |civil: DateTime| zone.to_ambiguous_timestamp(civil).compatible().map(WallTime::from).ok();
    if let Some(at) = text.parse::<DateTime>().ok().and_then(local) {
        return Ok(at);
    }
    if let Ok(date) = text.parse::<Date>()
        && let Some(at) = local(date.at(0, 0, 0, 0))
    {
        return Ok(at);
    }
    length_ms(text.trim_start_matches('+')).map(|ms| now.plus_ms(ms)).map_err(|_| {
        Failure::usage(format!("{text:?} is not a time"))
            .next("write it like 2026-12-01T22:00:00Z, '2026-12-01 22:00', now or 2h")
    })
}

/// A point in the past: as [`point`], but a length is so long ago.
pub(crate) fn past(text: &str, zone: &TimeZone, now: WallTime) -> Outcome<WallTime> {
    match length_ms(text) {
        Ok(ms) => Ok(now.plus_ms(-ms)),
        Err(_) => point(text, zone, now),
    }
}

/// The zone of this machine.
pub(crate) fn local_zone() -> TimeZone {
    TimeZone::system()
}

/// A zone by its IANA name, or `UTC`.
pub(crate) fn zone(name: &str) -> Outcome<TimeZone> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        Failure::usage(format!("{name:?} is not a time zone")).next("use a name like Europe/Berlin")
    })
}

/// For people, in their own zone, to the second.
pub(crate) fn show(at: WallTime) -> String {
    Zoned::new(at.to_timestamp(), local_zone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// In a zone, to the minute, with the day of the week.
pub(crate) fn show_in(at: WallTime, zone: &TimeZone) -> String {
    Zoned::new(at.to_timestamp(), zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// In UTC, to the minute.
pub(crate) fn show_utc(at: WallTime) -> String {
    Zoned::new(at.to_timestamp(), TimeZone::UTC).strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// In a zone, to the second, with the day of the week.
pub(crate) fn show_seconds_in(at: WallTime, zone: &TimeZone) -> String {
    Zoned::new(at.to_timestamp(), zone.clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string()
}

/// In UTC, to the second.
pub(crate) fn show_seconds_utc(at: WallTime) -> String {
    Zoned::new(at.to_timestamp(), TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How long ago, or until: `3 min ago`, `in 2 h`.
pub(crate) fn relative(at: WallTime, now: WallTime) -> String {
    let ms = at.since_ms(now);
    let seconds = ms.unsigned_abs() / 1000;
    let amount = match seconds {
        0 => return "just now".into(),
        1..=89 => format!("{seconds} s"),
        90..=5399 => format!("{} min", seconds / 60),
        5400..=129_599 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    if ms < 0 { format!("{amount} ago") } else { format!("in {amount}") }
}

/// A length for people, in its largest whole unit: `90 min`, `36 h`, `7 days`.
pub(crate) fn length(ms: i64) -> String {
    let seconds = ms / 1000;
    let whole = |unit: i64| seconds >= unit && seconds % unit == 0;
    match () {
        () if whole(86_400) => format!("{} days", seconds / 86_400),
        () if whole(3_600) => format!("{} h", seconds / 3_600),
        () if whole(60) => format!("{} min", seconds / 60),
        () => format!("{seconds} s"),
    }
}

/// Bytes, for people, in decimal units.
pub(crate) fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let value = count as f64;
    match count {
        0..=999 => format!("{count} B"),
        1_000..=999_999 => format!("{:.1} kB", value / 1e3),
        1_000_000..=999_999_999 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_points_are_read_as_typed() {
        assert_eq!(length_ms("90m").unwrap(), 5_400_000);
        assert_eq!(length_ms("2d").unwrap(), 172_800_000);
        assert!(length_ms("soon").is_err());
        assert!(length_ms("0s").is_err());
        let now = WallTime::from_seconds(1_000_000);
        let berlin = zone("Europe/Berlin").unwrap();
        assert_eq!(point("+2h", &berlin, now).unwrap(), now.plus_ms(7_200_000));
        assert_eq!(
            point("2026-12-01 22:00", &berlin, now).unwrap().to_string(),
            "2026-12-01T21:00:00Z"
        );
        assert_eq!(point("2026-07-01", &berlin, now).unwrap().to_string(), "2026-06-30T22:00:00Z");
        assert!(point("yesterdayish", &berlin, now).is_err());
    }
}
