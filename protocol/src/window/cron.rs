//! The local minutes that five cron fields match.
//!
//! Works on local calendar time only; what clock changes make of it is in [`super::repeated`].

use jiff::civil::{Date, DateTime, Time};

use super::field::{DAYS, HOURS, MINUTES, MONTHS, Values, WEEKDAYS, longest_step, low_bits};
use crate::resource::InvalidSpec;

/// Minutes in a day.
const DAY_MINUTES: u32 = 24 * 60;

/// The local minutes at which a repeated schedule starts.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    minutes: u64,
    hours: u32,
    hour_star: bool,
    days: Values,
    months: u32,
    weekdays: Values,
    longest_gap_in_day_minutes: u32,
}

impl Cron {
    /// Reads the fields in the order minutes, hours, day of month, month, day of week.
    pub(crate) fn parse(fields: [&str; 5]) -> Result<Self, InvalidSpec> {
        let [minutes, hours, days, months, weekdays] = fields;
        let minutes = MINUTES.parse(minutes)?.mask;
        let hours = HOURS.parse(hours)?;
        let over_the_hour = 60 + minutes.trailing_zeros() - minutes.ilog2();
        let between_hours = (longest_step(hours.mask) * 60 + over_the_hour).saturating_sub(60);
        Ok(Self {
            minutes,
            hours: low_bits(hours.mask),
            hour_star: hours.star,
            days: DAYS.parse(days)?,
            months: low_bits(MONTHS.parse(months)?.mask),
            weekdays: WEEKDAYS.parse(weekdays)?,
            longest_gap_in_day_minutes: longest_step(minutes).max(between_hours),
        })
    }

    /// Whether the hour is a literal `*`: such starts come in both halves of a doubled hour.
    pub(crate) fn is_hour_star(&self) -> bool {
        self.hour_star
    }

    /// Whether every minute of every day matches.
    pub(crate) fn is_every_minute(&self) -> bool {
        self.is_every_day() && u64::from(self.hours) == HOURS.all() && self.minutes == MINUTES.all()
    }

    /// The longest time between two matching minutes, in minutes, if every day matches and no
    /// clock changes.
    pub(crate) fn longest_gap_minutes(&self) -> Option<u32> {
        let over_midnight = DAY_MINUTES + self.first_minute() - self.last_minute();
        self.is_every_day().then(|| self.longest_gap_in_day_minutes.max(over_midnight))
    }

    fn first_minute(&self) -> u32 {
        self.hours.trailing_zeros() * 60 + self.minutes.trailing_zeros()
    }

    fn last_minute(&self) -> u32 {
        self.hours.ilog2() * 60 + self.minutes.ilog2()
    }

    fn is_every_day(&self) -> bool {
        let every_date = self.days.mask == DAYS.all();
        let every_weekday = self.weekdays.mask == WEEKDAYS.all();
        let every_day = match (self.days.star, self.weekdays.star) {
            (true, true) => true,
            (true, false) => every_weekday,
            (false, true) => every_date,
            (false, false) => every_date || every_weekday,
        };
        every_day && u64::from(self.months) == MONTHS.all()
    }

    /// The first matching minute in `[from, until)`.
    pub(crate) fn first_in(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let from = next_whole_minute(from)?;
        let mut date = from.date();
        let mut minute = minute_of_day(from);
        let mut days = self.days_of(date) & (!0 << day_of(date));
        loop {
            if days == 0 {
                date = date.last_of_month().tomorrow().ok()?;
                if date > until.date() {
                    return None;
                }
                minute = 0;
                days = self.days_of(date);
                continue;
            }
            let day = days.trailing_zeros();
            if day != day_of(date) {
                (date, minute) = (of_month(date, day)?, 0);
            }
            if let Some(minute) = self.minute_from(minute) {
                return Some(at_minute(date, minute)).filter(|found| *found < until);
            }
            days &= days - 1;
        }
    }

    /// The last matching minute in `[from, until)`.
    pub(crate) fn last_in(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let from = next_whole_minute(from)?;
        let until = next_whole_minute(until)?;
        let mut date = until.date();
        let mut minute = minute_of_day(until);
        let mut days = self.days_of(date) & low_bits((2 << day_of(date)) - 1);
        loop {
            if days == 0 {
                date = date.first_of_month().yesterday().ok()?;
                if date < from.date() {
                    return None;
                }
                minute = DAY_MINUTES;
                days = self.days_of(date);
                continue;
            }
            let day = days.ilog2();
            if day != day_of(date) {
                (date, minute) = (of_month(date, day)?, DAY_MINUTES);
            }
            if let Some(minute) = self.minute_before(minute) {
                return Some(at_minute(date, minute)).filter(|found| *found >= from);
            }
            days &= !(1 << day);
        }
    }

    /// The last minute of `start`'s day that is reached from it by steps of at most `step_s`
    /// seconds and lies before `until`.
    pub(crate) fn run_end(&self, start: DateTime, step_s: u32, until: DateTime) -> DateTime {
        let whole_day = at_minute(start.date(), self.last_minute());
        if self.longest_gap_in_day_minutes * 60 <= step_s && (start..until).contains(&whole_day) {
            return whole_day;
        }
        let mut last = minute_of_day(start);
        while let Some(next) = self.minute_from(last + 1) {
            if (next - last) * 60 > step_s || at_minute(start.date(), next) >= until {
                break;
            }
            last = next;
        }
        at_minute(start.date(), last)
    }

    /// The first minute of `start`'s day from which it is reached by such steps and that is not
    /// before `from`.
    pub(crate) fn run_start(&self, start: DateTime, step_s: u32, from: DateTime) -> DateTime {
        let whole_day = at_minute(start.date(), self.first_minute());
        if self.longest_gap_in_day_minutes * 60 <= step_s && (from..=start).contains(&whole_day) {
            return whole_day;
        }
        let mut first = minute_of_day(start);
        while let Some(previous) = self.minute_before(first) {
            if (first - previous) * 60 > step_s || at_minute(start.date(), previous) < from {
                break;
            }
            first = previous;
        }
        at_minute(start.date(), first)
    }

    /// The matching days of the month that `date` lies in: bit `n` is day `n`. If both day fields
    /// are something other than a literal `*`, a day matches when either does (EIM).
    fn days_of(&self, date: Date) -> u32 {
        if self.months & (1 << date.month().unsigned_abs()) == 0 {
            return 0;
        }
        let first = date.first_of_month().weekday().to_sunday_zero_offset().unsigned_abs();
        let week = (self.weekdays.mask | self.weekdays.mask << 7) >> first & 0x7f;
        let five_weeks = week | week << 7 | week << 14 | week << 21 | week << 28;
        let by_weekday = five_weeks << 1;
        let matching = match (self.days.star, self.weekdays.star) {
            (true, _) => by_weekday,
            (false, true) => self.days.mask,
            (false, false) => self.days.mask | by_weekday,
        };
        low_bits(matching & ((2 << date.days_in_month()) - 2))
    }

    /// The first matching minute of a day, no earlier than `from`.
    fn minute_from(&self, from: u32) -> Option<u32> {
        let (hour, minute) = (from / 60, from % 60);
        if hour >= 24 {
            return None;
        }
        let rest = self.minutes >> minute;
        if self.hours >> hour & 1 == 1 && rest != 0 {
            return Some(from + rest.trailing_zeros());
        }
        let later = self.hours >> (hour + 1);
        (later != 0)
            .then(|| (hour + 1 + later.trailing_zeros()) * 60 + self.minutes.trailing_zeros())
    }

    /// The last matching minute of a day before `until`.
    fn minute_before(&self, until: u32) -> Option<u32> {
        let (hour, minute) = (until / 60, until % 60);
        let earlier_minutes = self.minutes & ((1 << minute) - 1);
        if hour < 24 && self.hours >> hour & 1 == 1 && earlier_minutes != 0 {
            return Some(hour * 60 + earlier_minutes.ilog2());
        }
        let earlier = self.hours & ((1_u32 << hour) - 1);
        (earlier != 0).then(|| earlier.ilog2() * 60 + self.minutes.ilog2())
    }
}

fn day_of(date: Date) -> u32 {
    u32::from(date.day().unsigned_abs())
}

fn of_month(date: Date, day: u32) -> Option<Date> {
    Date::new(date.year(), date.month(), i8::try_from(day).ok()?).ok()
}

fn minute_of_day(at: DateTime) -> u32 {
    u32::from(at.hour().unsigned_abs()) * 60 + u32::from(at.minute().unsigned_abs())
}

fn at_minute(date: Date, minute: u32) -> DateTime {
    let part = |n: u32| i8::try_from(n).unwrap_or(0);
    let time = Time::new(part(minute / 60), part(minute % 60), 0, 0).unwrap_or(Time::midnight());
    DateTime::from_parts(date, time)
}

/// `at`, or the next whole minute after it.
fn next_whole_minute(at: DateTime) -> Option<DateTime> {
    let whole = at_minute(at.date(), minute_of_day(at));
    if whole == at {
        return Some(at);
    }
    match minute_of_day(at) + 1 {
        DAY_MINUTES => Some(at_minute(at.date().tomorrow().ok()?, 0)),
        minute => Some(at_minute(at.date(), minute)),
    }
}
