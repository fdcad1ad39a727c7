//! A switch in user space that delays and loses frames: hosts hang on it by TAP devices. One thread
//! moves everything; what is lost follows from a seed. It knows Ethernet addresses and nothing
//! above.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Longest frame that is taken.
const FRAME_BYTES_MAX: usize = 65_536;
/// Frames read of one host before the next one's turn.
const BURST: usize = 64;
/// Longest wait, so that an end is noticed.
const WAIT: Duration = Duration::from_millis(50);

/// What the relay does to frames.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How much later each frame arrives.
    pub delay: Duration,
    /// How many of a thousand are lost.
    pub lost_per_mille: u64,
    /// What decides which.
    pub seed: u64,
}

/// What it did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Frames that arrived late.
    pub delayed: u64,
    /// Frames that were lost.
    pub lost: u64,
}

/// A running relay, ended when dropped.
#[derive(Debug)]
pub struct Relay {
    counts: Arc<[AtomicU64; 2]>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// A TAP device of that name, in this process's namespace.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn tap(name: &str) -> anyhow::Result<SyncDevice> {
        let device = DeviceBuilder::new().name(name).layer(Layer::L2).build_sync()?;
        device.set_nonblocking(true)?;
        Ok(device)
    }

    /// Joins devices, wherever they were moved to.
    pub(crate) fn start(taps: Vec<SyncDevice>, weather: Weather) -> Self {
        let (counts, ends) = (Arc::new([const { AtomicU64::new(0) }; 2]), Arc::default());
        let mut switch = Switch {
            taps,
            weather,
            drawn: weather.seed,
            homes: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            sent: 0,
            counts: Arc::clone(&counts),
        };
        let ended = Arc::clone(&ends);
        let thread = std::thread::spawn(move || switch.turn(&ended));
        Self { counts, ends, thread: Some(thread) }
    }

    /// What it did so far.
    pub fn relayed(&self) -> Relayed {
        let [delayed, lost] = [0, 1].map(|which: usize| self.counts[which].load(Ordering::Relaxed));
        Relayed { delayed, lost }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has failed the test already.
            let _ = thread.join();
        }
    }
}

/// A frame under way: when it arrives, in what order, where, and what.
type UnderWay = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Switch {
    taps: Vec<SyncDevice>,
    weather: Weather,
    drawn: u64,
    homes: BTreeMap<[u8; 6], usize>,
    under_way: BinaryHeap<UnderWay>,
    sent: u64,
    counts: Arc<[AtomicU64; 2]>,
}

impl Switch {
    fn turn(&mut self, ends: &AtomicBool) {
        while !ends.load(Ordering::Relaxed) {
            for host in self.ready() {
                self.read(host);
            }
            self.deliver();
        }
    }

    /// Hosts that sent something, waited for until the next frame is due.
    fn ready(&self) -> Vec<usize> {
        let due = self.under_way.peek().map(|Reverse((at, ..))| *at);
        let wait = due.map_or(WAIT, |at| at.saturating_duration_since(Instant::now()).min(WAIT));
        let mut fds: Vec<PollFd<'_>> =
            self.taps.iter().map(|tap| PollFd::new(tap, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        if poll(&mut fds, Some(&timeout)).is_err() {
            return Vec::new();
        }
        let hosts = fds.iter().enumerate();
        hosts.filter(|(_, fd)| !fd.revents().is_empty()).map(|(host, _)| host).collect()
    }

    fn read(&mut self, from: usize) {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        for _ in 0..BURST {
            let Ok(length) = self.taps[from].recv(&mut frame) else { return };
            let Some((to, sender)) = frame.get(..length).and_then(addresses) else { continue };
            self.homes.insert(sender, from);
            match self.homes.get(&to) {
                Some(home) => self.send(*home, &frame[..length]),
                None => {
                    let others = (0..self.taps.len()).filter(|other| *other != from);
                    others.for_each(|other| self.send(other, &frame[..length]));
                }
            }
        }
    }

    fn send(&mut self, to: usize, frame: &[u8]) {
        if self.draw() % 1000 < self.weather.lost_per_mille {
            self.counts[1].fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.sent += 1;
        let at = Instant::now() + self.weather.delay;
        self.under_way.push(Reverse((at, self.sent, to, frame.to_vec())));
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, to, frame))) = self.under_way.pop() else { return };
            // A host that is down takes nothing.
            if self.taps[to].send(&frame).is_ok() {
                self.counts[0].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The next number of a sequence that the seed gives (splitmix64).
    fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.drawn ^ (self.drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// To whom a frame goes and from whom it is; a group is nobody's home.
fn addresses(frame: &[u8]) -> Option<([u8; 6], [u8; 6])> {
    let to = frame.get(..6)?.try_into().ok()?;
    Some((to, frame.get(6..12)?.try_into().ok()?))
}
