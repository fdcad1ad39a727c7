//! How far something has come: which of the hosts that it is for have said that they hold it.

use std::time::{Duration, Instant};

use daymark_protocol::decide::Reach;
use daymark_protocol::resource::{Scope, Target};
use daymark_protocol::target::UnknownProfile;

use crate::commands::sync;
use crate::exit::Outcome;
use crate::names;
use crate::session::Session;

/// How long a command waits for hosts to say that they hold what it made.
const WAIT: Duration = Duration::from_secs(10);
/// How often it asks the node meanwhile.
const EVERY: Duration = Duration::from_secs(1);
/// Hosts named before the rest is only counted.
const NAMED_MAX: usize = 20;

/// Who holds something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    held: usize,
    not_yet: Vec<String>,
}

impl Spread {
    /// How far what is for these hosts has come, by their last reports.
    pub(crate) fn of(session: &Session, scope: &Scope, target: Option<&Target>) -> Self {
        let standing = session.standing();
        let mut spread = Self { held: 0, not_yet: Vec::new() };
        for (key, _, spec) in names::hosts(standing) {
            let reach = Reach::new(standing, key);
            let (place, unknown) = (reach.place(), UnknownProfile::Matches);
            if !scope.holds(place) || target.is_none_or(|target| !target.reaches(place, unknown)) {
                continue;
            }
            match session.holds_document_of(&key, scope) {
                true => spread.held += 1,
                false => spread.not_yet.push(spec.name.clone()),
            }
        }
        spread
    }

    /// `held by 28 of 30, not yet: press-07, oven-02`.
    pub(crate) fn line(&self) -> String {
        let of = self.held + self.not_yet.len();
        let named = self.not_yet.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        match self.not_yet.len() {
            0 => format!("held by {of} of {of}"),
            count if count > NAMED_MAX => {
                format!(
                    "held by {} of {of}, not yet: {named} and {} more",
                    self.held,
                    count - NAMED_MAX
                )
            }
            _ => format!("held by {} of {of}, not yet: {named}", self.held),
        }
    }
}

/// Asks the node at hand, for a while, until all hosts hold what is for them; how far it came.
pub(crate) async fn follow(
    session: &mut Session,
    scope: &Scope,
    target: Option<&Target>,
) -> Outcome<String> {
    let end = Instant::now() + WAIT;
    loop {
        let spread = Spread::of(session, scope, target);
        if session.node().is_none() || spread.not_yet.is_empty() || Instant::now() >= end {
            return Ok(spread.line());
        }
        let Ok(client) = session.client().await else { return Ok(spread.line()) };
        if sync::node(session, &client).await.is_err() {
            return Ok(spread.line());
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_missing_are_named() {
        let spread = Spread { held: 28, not_yet: vec!["press-07".into(), "oven-02".into()] };
        assert_eq!(spread.line(), "held by 28 of 30, not yet: press-07, oven-02");
        assert_eq!(Spread { held: 2, not_yet: vec![] }.line(), "held by 2 of 2");
        let many = (0..25).map(|number| number.to_string()).collect();
        assert!(Spread { held: 0, not_yet: many }.line().ends_with("18, 19 and 5 more"));
    }
}
