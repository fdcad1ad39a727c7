//! Which hosts have seen which gossip message: a row of bits for each message, since all copies of
//! one ask about many hosts, one after the other.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// How long a message is remembered as seen, ms.
const SEEN_MS: u64 = 120_000;
/// Hosts in one word.
const WORD: usize = u64::BITS as usize;

/// A set of hosts, by number. Members of a site have numbers in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSet {
    /// The number of the first word that is held.
    from: usize,
    words: Vec<u64>,
}

impl HostSet {
    /// Adds a host; whether it is new.
    pub(crate) fn insert(&mut self, host: usize) -> bool {
        let at = host / WORD;
        if self.words.is_empty() {
            self.from = at;
        } else if at < self.from {
            let missing = self.from - at;
            self.words.splice(0..0, std::iter::repeat_n(0, missing));
            self.from = at;
        }
        let place = at - self.from;
        if place >= self.words.len() {
            self.words.resize(place + 1, 0);
        }
        let bit = 1 << (host % WORD);
        let new = self.words[place] & bit == 0;
        self.words[place] |= bit;
        new
    }

    /// Takes a host out.
    pub(crate) fn remove(&mut self, host: usize) {
        if let Some(word) = (host / WORD).checked_sub(self.from)
            && let Some(word) = self.words.get_mut(word)
        {
            *word &= !(1 << (host % WORD));
        }
    }

    /// Whether a host is in it.
    pub(crate) fn contains(&self, host: usize) -> bool {
        self.word(host / WORD) & (1 << (host % WORD)) != 0
    }

    /// Whether all of them are in another set too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let words = self.words.iter().enumerate();
        words.into_iter().all(|(at, word)| word & !other.word(self.from + at) == 0)
    }

    fn word(&self, at: usize) -> u64 {
        at.checked_sub(self.from).and_then(|at| self.words.get(at)).copied().unwrap_or(0)
    }
}

/// A hash for numbers and for what is a hash already, such as ids. Nothing hangs on the order in
/// which such a map holds its keys, since it is only asked for one.
#[derive(Default)]
pub(crate) struct Quick(u64);

/// A map that is only asked for one key at a time, never walked in an order that matters.
pub(crate) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(number));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The odd number nearest to 2^64 over the golden ratio spreads numbers in a row.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

/// What all hosts have seen.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    by: QuickMap<u64, HostSet>,
    /// Messages in the order in which they were first seen, and when.
    order: VecDeque<(u64, u64)>,
}

impl Heard {
    /// Notes a message at a host; whether it is new there.
    pub(crate) fn sees(&mut self, now_ms: u64, id: u64, host: usize) -> bool {
        while let Some((since_ms, old)) = self.order.front().copied()
            && since_ms + SEEN_MS <= now_ms
        {
            self.by.remove(&old);
            self.order.pop_front();
        }
        let order = &mut self.order;
        let by = self.by.entry(id).or_insert_with(|| {
            order.push_back((now_ms, id));
            HostSet::default()
        });
        by.insert(host)
    }

    /// Whether a host has seen a message.
    pub(crate) fn has(&self, id: u64, host: usize) -> bool {
        self.by.get(&id).is_some_and(|by| by.contains(host))
    }

    /// Whether all these hosts have seen a message.
    pub(crate) fn have_all(&self, id: u64, hosts: &HostSet) -> bool {
        self.by.get(&id).is_some_and(|by| hosts.is_within(by))
    }

    /// A host forgets everything, as a process that ends does.
    pub(crate) fn forgets(&mut self, host: usize) {
        for (_, id) in &self.order {
            if let Some(by) = self.by.get_mut(id) {
                by.remove(host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_hosts_is_one() {
        let mut set = HostSet::default();
        let hosts = [700, 130, 131, 64, 63, 0, 9_999];
        assert!(hosts.iter().all(|host| set.insert(*host)));
        assert!(!hosts.iter().any(|host| set.insert(*host)));
        let held = (0..20_000).filter(|host| set.contains(*host)).count();
        assert_eq!(held, hosts.len());
        let mut fewer = set.clone();
        fewer.remove(131);
        fewer.remove(50_000);
        assert!(!fewer.contains(131) && fewer.is_within(&set) && !set.is_within(&fewer));
        assert!(HostSet::default().is_within(&fewer) && !fewer.is_within(&HostSet::default()));
    }

    #[test]
    fn what_was_seen_is_remembered_for_two_minutes_and_as_long_as_the_process_lives() {
        let mut heard = Heard::default();
        assert!(heard.sees(0, 7, 1) && !heard.sees(1, 7, 1) && heard.sees(1, 7, 2));
        let mut both = HostSet::default();
        both.insert(1);
        both.insert(2);
        assert!(heard.have_all(7, &both) && !heard.have_all(8, &both));
        heard.forgets(2);
        assert!(heard.has(7, 1) && !heard.has(7, 2));
        assert!(heard.sees(SEEN_MS, 9, 1) && !heard.has(7, 1) && heard.sees(SEEN_MS, 7, 1));
    }
}
