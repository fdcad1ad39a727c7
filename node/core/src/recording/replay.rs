//! A recorded run, run again step by step.

use std::fmt;

use daymark_protocol::id::KeyId;
use daymark_protocol::trust::SigningKey;

use super::{BadStart, FORMAT, Mark, RecordedStart, RecordedStep};
use crate::config::CoreConfig;
use crate::effect::Batch;
use crate::node::Node;

/// Characters of an event or an effect that a difference shows.
const SHOWN_CHARS: usize = 400;

/// Why a recording cannot be replayed, or differs.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line that is none of a recording.
    #[error("line {line} is none of a recording")]
    Unreadable {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// No node can be made of its first line.
    #[error("the recording's start cannot be taken up")]
    Start(#[from] BadStart),
    /// The key of another machine.
    #[error("the recording is of host {recorded}, and the key of {given}")]
    AnotherKey {
        /// Whose run it is.
        recorded: KeyId,
        /// Whose key it is.
        given: KeyId,
    },
    /// The node does otherwise.
    #[error(transparent)]
    Differs(Box<Difference>),
}

/// The first step in which the node does otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Difference {
    /// The step; 0 is the start.
    pub step: usize,
    /// What happened, shortened.
    pub event: String,
    /// Which of its effects and writes differs, from 0.
    pub place: usize,
    /// What came of it then; `None`: nothing more.
    pub recorded: Option<Mark>,
    /// What comes of it now; `None`: nothing more.
    pub replayed: Option<Mark>,
    /// What comes of it now in full, shortened.
    pub effect: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |mark: &Option<Mark>| {
            mark.as_ref().map_or_else(|| "nothing more".to_owned(), ToString::to_string)
        };
        let Self { step, event, place, recorded, replayed, effect } = self;
        let (recorded, replayed) = (told(recorded), told(replayed));
        write!(
            f,
            "step {step} differs at its effect {place}: {recorded} was recorded, {replayed} comes \
             of it now\n  event   {event}\n  effects {effect}"
        )
    }
}

/// What a replay came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Steps, the start not counted.
    pub steps: usize,
    /// Effects and writes that were compared, by variant.
    pub compared: std::collections::BTreeMap<String, usize>,
}

/// A run being replayed.
#[derive(Debug)]
pub struct Replay {
    node: Node,
    started: Option<Batch>,
    replayed: Replayed,
    lines: usize,
    agent: String,
}

impl Replay {
    /// Starts a node from the first line of a recording, with the machine's own key.
    ///
    /// # Errors
    /// If the line is none, or of another machine.
    pub fn begin(line: &str, key: SigningKey) -> Result<Self, ReplayError> {
        let start: RecordedStart = serde_json::from_str(line)
            .map_err(|source| ReplayError::Unreadable { line: 1, source })?;
        if start.format != FORMAT {
            return Err(BadStart::Format(start.format).into());
        }
        let given = key.public().id();
        if given != start.host {
            return Err(ReplayError::AnotherKey { recorded: start.host, given });
        }
        let config = CoreConfig::new(start.clock, start.build_time, start.links);
        let config = config.map_err(BadStart::Config)?;
        let (reading, agent) = (start.reading, start.agent.clone());
        let (node, started) = Node::new(config, start.start(key)?, reading);
        Ok(Self { node, started: Some(started), replayed: Replayed::default(), lines: 1, agent })
    }

    /// Version of the agent that was recorded: another one may rightly do otherwise.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Takes the next line: repeats its step and compares what comes of it.
    ///
    /// # Errors
    /// If the line is none, or the node does otherwise; the replay is over then.
    pub fn step(&mut self, line: &str) -> Result<(), ReplayError> {
        self.lines += 1;
        let unreadable = |source| ReplayError::Unreadable { line: self.lines, source };
        let RecordedStep { event, marks } = serde_json::from_str(line).map_err(unreadable)?;
        let told = shortened(&event.as_ref().map(|(_, event)| event));
        let batch = match (event, self.started.take()) {
            (None, Some(started)) => started,
            (Some((reading, event)), None) => {
                self.replayed.steps += 1;
                self.node.step(reading, event)
            }
            (None, None) | (Some(_), Some(_)) => {
                let misplaced = serde::de::Error::custom("the start stands first, and once");
                return Err(ReplayError::Unreadable { line: self.lines, source: misplaced });
            }
        };
        let difference = self.replayed.compare(told, &marks, &batch);
        difference.map_or(Ok(()), |difference| Err(ReplayError::Differs(Box::new(difference))))
    }

    /// What the lines so far came to.
    pub fn replayed(&self) -> &Replayed {
        &self.replayed
    }
}

impl Replayed {
    fn compare(&mut self, event: String, recorded: &[Mark], batch: &Batch) -> Option<Difference> {
        let replayed = batch.marks();
        let longest = recorded.len().max(replayed.len());
        let place = (0..longest).find(|place| recorded.get(*place) != replayed.get(*place));
        let Some(place) = place else {
            for mark in recorded {
                *self.compared.entry(mark.variant().to_owned()).or_default() += 1;
            }
            return None;
        };
        Some(Difference {
            step: self.steps,
            event,
            place,
            recorded: recorded.get(place).cloned(),
            replayed: replayed.get(place).cloned(),
            effect: shortened(batch),
        })
    }
}

fn shortened(it: &impl fmt::Debug) -> String {
    let told = format!("{it:?}");
    match told.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &told[..end]),
        None => told,
    }
}
