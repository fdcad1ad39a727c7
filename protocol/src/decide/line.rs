//! What one line of versions says, and from when to when it says it (RULES C2, S6, S7).

use crate::limits::ISSUED_AHEAD_MS_MAX;
use crate::resource::Spec;
use crate::rules::{Rule, holds};
use crate::time::{Now, WallTime};
use crate::trust::{Line, State, Validity, Version};

/// What a line says.
pub(super) enum Says<'a> {
    /// This version counts, with this content.
    This(&'a Version, &'a Spec),
    /// A tombstone counts.
    Gone(&'a Version),
    /// The id is unknown; the reason is for people (RULES C2, S3).
    Unknown(String),
}

/// What a line says. An unreadable content and a line without versions are unknown, whatever its
/// state claims.
pub(super) fn says(line: &Line) -> Says<'_> {
    if let State::Unknown(why) = &line.state {
        return Says::Unknown(why.clone());
    }
    let Some(newest) = line.versions.first() else {
        return Says::Unknown("no version of it is held".into());
    };
    match (&newest.spec, newest.validity) {
        (_, Validity::Fallen) if holds(Rule::C1Fallen) => {
            Says::Unknown("its newest version lost its signatures".into())
        }
        (_, Validity::Valid | Validity::Fallen) if newest.gone => Says::Gone(newest),
        (Ok(Some(spec)), Validity::Valid | Validity::Fallen) => Says::This(newest, spec),
        (Ok(None), Validity::Valid | Validity::Fallen) => Says::Unknown("it has no content".into()),
        (Err(why), Validity::Valid | Validity::Fallen) => Says::Unknown(why.clone()),
    }
}

/// When a statement that opens something does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Before this it is held, not believed (RULES S7).
    pub(super) from: WallTime,
    /// From here on it is ended (RULES S6).
    pub(super) until: Option<WallTime>,
    /// From here on its signers' delegation or token is over (RULES R7, S9).
    pub(super) signers_until: Option<WallTime>,
}

/// Whether a statement that opens something is in force over the whole width of `now` (RULES Q6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InForce {
    /// At both ends of `now`.
    Yes,
    /// No longer, at either end.
    Ended,
    /// Its signers' word may be over: like a statement that lost its signatures, it opens nothing
    /// and gives way to nothing.
    Lapsed,
    /// At one end only, or issued too far in the future: wait. It may change then.
    Unsure(WallTime),
}

impl Span {
    /// Of something whose times play no part.
    pub(super) fn always() -> Self {
        Self { from: WallTime::from_ms(i64::MIN), until: None, signers_until: None }
    }

    pub(super) fn of(version: &Version) -> Self {
        let (until, signers_until) = (version.until, version.signers_until);
        Self { from: held_before(version), until, signers_until }
    }

    /// When it certainly opens nothing any more.
    pub(super) fn ends(&self) -> Option<WallTime> {
        [self.until, self.signers_until].into_iter().flatten().min()
    }

    pub(super) fn in_force(&self, now: &Now) -> InForce {
        match self.until {
            Some(until) if until <= now.earliest && holds(Rule::S6Until) => InForce::Ended,
            _ if self
                .signers_until
                .is_some_and(|until| until <= now.latest && holds(Rule::R7End)) =>
            {
                InForce::Lapsed
            }
            _ if now.earliest < self.from && holds(Rule::S7Ahead) => InForce::Unsure(self.from),
            Some(until) if until <= now.latest && holds(Rule::S6Until) => InForce::Unsure(until),
            _ => InForce::Yes,
        }
    }
}

/// The moment from which `issued` is no more than a day ahead (RULES S7).
pub(super) fn held_before(version: &Version) -> WallTime {
    version.issued.plus_ms(-ISSUED_AHEAD_MS_MAX)
}
