//! Where enrolled peers may be reached: what they tell, and what was seen (RULES A1).
//!
//! Only addresses of key ids with a Host statement are kept or dialled, and a teller can only tell
//! its own: a liveness is signed by the host it is about. So nobody can make a fleet dial others.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::KeyId;
use daymark_protocol::time::MonoTime;

/// Hosts whose addresses are kept in memory.
const HOSTS_MAX: usize = 4_096;
/// Addresses kept of a host.
const ADDRESSES_PER_HOST_MAX: usize = 8;
/// First pause after a failed dial; doubles.
const DIAL_PAUSE_MS_FIRST: u64 = 5_000;
/// Longest pause after failed dials.
const DIAL_PAUSE_MS_MAX: u64 = 10 * 60_000;

#[derive(Clone, Debug, Default)]
struct Known {
    addresses: Vec<String>,
    failures: u32,
    not_before: MonoTime,
}

/// The address book.
#[derive(Debug, Default)]
pub(crate) struct Addresses(BTreeMap<KeyId, Known>);

impl Addresses {
    /// The book as remembered from a former start.
    pub(crate) fn new(remembered: &BTreeMap<KeyId, Vec<String>>) -> Self {
        let mut book = Self::default();
        for (host, addresses) in remembered {
            book.tell(*host, addresses.clone());
        }
        book
    }

    /// Replaces what is known of a host by what it tells.
    pub(crate) fn tell(&mut self, host: KeyId, mut addresses: Vec<String>) {
        if self.0.len() < HOSTS_MAX || self.0.contains_key(&host) {
            addresses.truncate(ADDRESSES_PER_HOST_MAX);
            let known = self.0.entry(host).or_default();
            if known.addresses != addresses {
                *known = Known { addresses, ..Known::default() };
            }
        }
    }

    /// Forgets a host.
    pub(crate) fn forget(&mut self, host: &KeyId) {
        self.0.remove(host);
    }

    /// Notes that a host is connected.
    pub(crate) fn connected(&mut self, host: &KeyId) {
        if let Some(known) = self.0.get_mut(host) {
            known.failures = 0;
            known.not_before = MonoTime(0);
        }
    }

    /// Notes a dial: until a connection shows that it worked, it counts as failed.
    pub(crate) fn dialled(&mut self, host: &KeyId, now: MonoTime) {
        if let Some(known) = self.0.get_mut(host) {
            let pause = DIAL_PAUSE_MS_FIRST
                .saturating_mul(1 << known.failures.min(10))
                .min(DIAL_PAUSE_MS_MAX);
            known.failures = known.failures.saturating_add(1);
            known.not_before = now.plus_ms(pause);
        }
    }

    /// Hosts that may be dialled now.
    pub(crate) fn ready(&self, now: MonoTime) -> impl Iterator<Item = (&KeyId, &[String])> {
        self.0
            .iter()
            .filter(move |(_, known)| !known.addresses.is_empty() && known.not_before <= now)
            .map(|(host, known)| (host, known.addresses.as_slice()))
    }

    /// When the first of the hosts may be dialled that are not among `others`.
    pub(crate) fn next_ready(&self, others: &BTreeSet<KeyId>) -> Option<MonoTime> {
        let open = self
            .0
            .iter()
            .filter(|(host, known)| !known.addresses.is_empty() && !others.contains(*host));
        open.map(|(_, known)| known.not_before).min()
    }

    /// What is known of a host.
    pub(crate) fn of(&self, host: &KeyId) -> Option<&[String]> {
        self.0.get(host).map(|known| known.addresses.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_does_not_answer_is_dialled_ever_more_rarely() {
        let host = KeyId([1; 32]);
        let mut book = Addresses::new(&BTreeMap::from([(host, vec!["/ip4/1.2.3.4".into()])]));
        let ready = |book: &Addresses, at| book.ready(MonoTime(at)).count();
        assert_eq!(ready(&book, 0), 1);
        book.dialled(&host, MonoTime(0));
        assert_eq!((ready(&book, 4_999), ready(&book, 5_000)), (0, 1));
        book.dialled(&host, MonoTime(5_000));
        assert_eq!((ready(&book, 14_999), ready(&book, 15_000)), (0, 1));
        book.connected(&host);
        assert_eq!(ready(&book, 0), 1);
        book.dialled(&host, MonoTime(0));
        book.tell(host, vec!["/ip4/5.6.7.8".into()]);
        assert_eq!(ready(&book, 0), 1, "a new address is tried at once");
        assert_eq!(book.of(&host).unwrap(), ["/ip4/5.6.7.8"]);
    }

    #[test]
    fn i9_the_book_is_bounded() {
        let mut book = Addresses::default();
        for name in 0..5_000_u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&name.to_be_bytes());
            book.tell(KeyId(id), vec!["/ip4/1.2.3.4".into(); 20]);
        }
        assert_eq!(book.0.len(), HOSTS_MAX);
        assert!(book.0.values().all(|known| known.addresses.len() == 8));
    }
}
