//! One target's campaign: the corpus as it is, then ever new mutations of what told something new.
//!
//! What tells something new is what the decoder said: each refusal names the field that it stumbled
//! on, so that a new sentence is a new path. No compiler support is needed for that, and the same
//! seed draws the same inputs on every machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::guard::{self, Harm, Watchdog};
use crate::mutate::mutated;
use crate::random::Random;
use crate::target::{Target, Told};

/// Most inputs that are built upon; beyond, a drawn one makes room.
const POOL_MAX: usize = 4_000;
/// Letters of what was said that tell paths apart.
const SAID_CHARS: usize = 160;

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Inputs that were run.
    pub(crate) executions: u64,
    /// How many of them were accepted.
    pub(crate) accepted: u64,
    /// Different things that the decoder said.
    pub(crate) said: usize,
    /// The most that one input took, bytes.
    pub(crate) took_max: usize,
}

/// Harm and the input that did it.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// What happened.
    pub(crate) harm: Harm,
    /// The input.
    pub(crate) input: Vec<u8>,
}

/// A campaign.
#[derive(Debug)]
pub(crate) struct Campaign<'a> {
    target: &'a Target,
    pool: Vec<Vec<u8>>,
    /// Inputs of the corpus, the first of the pool: half of the draws begin with one of them.
    honest: usize,
    said: BTreeSet<(bool, String)>,
    random: Random,
    tally: Tally,
    watchdog: &'a Watchdog,
    keep_each: Option<&'a Path>,
}

impl<'a> Campaign<'a> {
    /// A campaign from a seed; `keep_each` is where each input is kept before it is run.
    pub(crate) fn new(
        target: &'a Target,
        seed: &str,
        watchdog: &'a Watchdog,
        keep_each: Option<&'a Path>,
    ) -> Self {
        Self {
            target,
            pool: Vec::new(),
            honest: 0,
            said: BTreeSet::new(),
            random: Random::of(seed, target.name),
            tally: Tally::default(),
            watchdog,
            keep_each,
        }
    }

    /// Runs the corpus, then mutations for so long.
    pub(crate) fn run(mut self, corpus: Vec<Vec<u8>>, lasting: Duration) -> Result<Tally, Finding> {
        for input in corpus {
            self.try_input(&input)?;
            self.pool.push(input);
        }
        self.honest = self.pool.len();
        self.pool.push(Vec::new());
        let began = Instant::now();
        while began.elapsed() < lasting {
            // The clock costs more than most decoders do.
            for _ in 0..64 {
                let input = self.draw();
                if self.try_input(&input)? {
                    self.add(input);
                }
            }
        }
        self.tally.said = self.said.len();
        Ok(self.tally)
    }

    fn draw(&mut self) -> Vec<u8> {
        let of = if self.random.below(2) == 0 { self.honest } else { self.pool.len() };
        let (first, other) = (self.random.below(of), self.random.below(self.pool.len()));
        let Target { words, input_bytes_max, .. } = self.target;
        mutated(&self.pool[first], &self.pool[other], words, *input_bytes_max, &mut self.random)
    }

    fn add(&mut self, input: Vec<u8>) {
        if self.pool.len() < POOL_MAX {
            self.pool.push(input);
        } else {
            let at = self.honest + self.random.below(self.pool.len() - self.honest);
            self.pool[at] = input;
        }
    }

    /// Whether an input told something new.
    fn try_input(&mut self, input: &[u8]) -> Result<bool, Finding> {
        self.watchdog.tell(input);
        if let Some(file) = self.keep_each {
            // Only a process that was killed is run like this; what cannot be kept is lost.
            let _ = std::fs::write(file, input);
        }
        self.tally.executions += 1;
        let (told, took) = guard::run(self.target, input)
            .map_err(|harm| Finding { harm, input: input.to_vec() })?;
        self.tally.took_max = self.tally.took_max.max(took);
        self.tally.accepted += u64::from(told.is_ok());
        Ok(self.said.insert(path_of(&told)))
    }
}

/// What was said without its numbers and quotes, which differ without end.
fn path_of(told: &Told) -> (bool, String) {
    let (accepted, said) = match told {
        Ok(said) => (true, said),
        Err(said) => (false, said),
    };
    let mut quoted = false;
    let plain = said.chars().filter(|letter| {
        quoted ^= matches!(letter, '"' | '`');
        !quoted && !letter.is_ascii_digit()
    });
    (accepted, plain.take(SAID_CHARS).collect())
}
