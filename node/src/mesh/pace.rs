//! How fast the join exchange may go: strangers wait, nothing is lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages a peer may send at once before it is slowed down: a chain of 1,024 roots takes 16
/// messages, and some more go with it.
const PEER_BURST: f64 = 32.0;
/// Messages a second that a peer may go on sending.
const PEER_PER_SECOND: f64 = 4.0;
/// Messages that all peers together may send at once.
const TOTAL_BURST: f64 = 128.0;
/// Messages a second that all peers together may go on sending: 2 MiB/s at most.
const TOTAL_PER_SECOND: f64 = 32.0;

/// A token bucket that may be overdrawn: who takes from an empty one waits.
#[derive(Debug)]
struct Bucket {
    burst: f64,
    per_second: f64,
    level: f64,
    filled: Instant,
}

impl Bucket {
    fn new(burst: f64, per_second: f64, now: Instant) -> Self {
        Self { burst, per_second, level: burst, filled: now }
    }

    /// Takes one and says how long to wait.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.burst) - 1.0;
        self.filled = now;
        Duration::from_secs_f64((-self.level / self.per_second).max(0.0))
    }
}

/// The pace of one peer's join messages; peers share a total.
#[derive(Debug)]
pub(super) struct JoinPace {
    own: Bucket,
    total: Arc<Mutex<Bucket>>,
}

/// What all join messages share.
#[derive(Clone, Debug)]
pub(super) struct JoinTotal(Arc<Mutex<Bucket>>);

impl JoinTotal {
    /// Full at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Bucket::new(TOTAL_BURST, TOTAL_PER_SECOND, now))))
    }

    /// The pace of a new peer.
    pub(super) fn peer(&self, now: Instant) -> JoinPace {
        JoinPace { own: Bucket::new(PEER_BURST, PEER_PER_SECOND, now), total: Arc::clone(&self.0) }
    }
}

impl JoinPace {
    /// Counts one message and says how long to wait before it is passed on.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        self.own.take(now).max(total.take(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_slowed_to_the_rate_and_recovers() {
        let mut now = Instant::now();
        let mut pace = JoinTotal::new(now).peer(now);
        let free = (0..100).take_while(|_| pace.take(now).is_zero()).count();
        assert_eq!(free, 32);
        let start = now;
        for _ in 0..40 {
            now += pace.take(now);
        }
        let rate = 40.0 / (now - start).as_secs_f64();
        assert!((3.5..4.5).contains(&rate), "{rate} messages a second");
        assert!(pace.take(now + Duration::from_secs(60)).is_zero());
    }

    #[test]
    fn many_strangers_share_one_total() {
        let now = Instant::now();
        let total = JoinTotal::new(now);
        let mut free = 0;
        for _ in 0..100 {
            let mut pace = total.peer(now);
            free += (0..32).filter(|_| pace.take(now).is_zero()).count();
        }
        assert_eq!(free, 128);
    }
}
