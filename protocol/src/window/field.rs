//! The grammar of EIM's five cron fields. What the values mean together is in [`super::cron`].

use crate::resource::InvalidSpec;

/// One of the five fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name in a spec.
    name: &'static str,
    min: u32,
    max: u32,
}

/// Minutes, 0 to 59.
pub(crate) const MINUTES: Field = Field { name: "cronMinutes", min: 0, max: 59 };
/// Hours, 0 to 23.
pub(crate) const HOURS: Field = Field { name: "cronHours", min: 0, max: 23 };
/// Days of the month, 1 to 31.
pub(crate) const DAYS: Field = Field { name: "cronDayMonth", min: 1, max: 31 };
/// Months, 1 to 12.
pub(crate) const MONTHS: Field = Field { name: "cronMonth", min: 1, max: 12 };
/// Weekdays, 0 to 6, Sunday being 0.
pub(crate) const WEEKDAYS: Field = Field { name: "cronDayWeek", min: 0, max: 6 };

/// The values of a field: bit `n` is value `n`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    pub(crate) mask: u64,
    /// A literal `*`, which is more than the list of all values (EIM).
    pub(crate) star: bool,
}

impl Field {
    /// The bits of all values.
    pub(crate) fn all(self) -> u64 {
        (1 << (self.max + 1)) - (1 << self.min)
    }

    /// Reads `*`, or plain numbers with commas between. No ranges, steps, names, spaces, signs or
    /// leading zeros (EIM).
    pub(crate) fn parse(self, text: &str) -> Result<Values, InvalidSpec> {
        if text == "*" {
            return Ok(Values { mask: self.all(), star: true });
        }
        let mask = text
            .split(',')
            .try_fold(0, |mask, item| Some(mask | 1_u64 << self.number(item)?))
            .ok_or_else(|| self.refuse(text))?;
        Ok(Values { mask, star: false })
    }

    fn number(self, item: &str) -> Option<u32> {
        #[cfg(feature = "planted-bugs")]
        if let Some((from, to)) = item.split_once('-') {
            let (mut at, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
            while at != to {
                at = if at < self.max { at + 1 } else { self.min };
            }
        }
        let plain = matches!(item.len(), 1 | 2) && item.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = item.len() == 2 && item.starts_with('0');
        let number = item.parse().ok()?;
        (plain && !leading_zero && (self.min..=self.max).contains(&number)).then_some(number)
    }

    fn refuse(self, text: &str) -> InvalidSpec {
        let shown: String = text.chars().take(80).collect();
        let Self { min, max, .. } = self;
        InvalidSpec::new(
            self.name,
            format!(
                "is {shown:?}: write * or plain numbers from {min} to {max} with commas between"
            ),
        )
    }
}

/// The longest step from one value of a mask to its next; 0 if it has one value only.
pub(crate) fn longest_step(mut mask: u64) -> u32 {
    let mut longest = 0;
    while mask & (mask - 1) != 0 {
        let lowest = mask.trailing_zeros();
        mask &= mask - 1;
        longest = longest.max(mask.trailing_zeros() - lowest);
    }
    longest
}

/// The low half of a mask that has no higher bits.
pub(crate) fn low_bits(mask: u64) -> u32 {
    u32::try_from(mask).unwrap_or(u32::MAX)
}
