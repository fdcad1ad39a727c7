//! What is going to happen, ordered by time and then by the order in which it was said.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use daymark_core::effect::Channel;
use daymark_core::event::Carried;

use crate::faults::Fault;
use crate::network::Cut;
use crate::overlay::Rumour;

/// One end of a connection that a message travels on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) epoch: u32,
}

/// Something that befalls a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Kill,
    PowerCut,
    FullDisk,
    ReadOnlyDisk,
    RottenByte,
    ClockStep,
    WrongBoot,
}

/// What became of a chunk that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Chunk,
    WrongFrom(usize),
    WrongFromOrigin,
    Nothing,
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Start {
        host: usize,
        life: u32,
    },
    Wake {
        host: usize,
        life: u32,
    },
    Inspect {
        host: usize,
        life: u32,
    },
    Message {
        way: Way,
        channel: Channel,
        bytes: Arc<[u8]>,
        taint: Option<Fault>,
    },
    Gossip {
        way: Way,
        rumour: Box<Rumour>,
        taint: Option<Fault>,
    },
    /// Word of recent messages.
    Have {
        way: Way,
        topic: u16,
        ids: Vec<u64>,
    },
    /// A wish for one.
    Want {
        way: Way,
        id: u64,
    },
    Heartbeat {
        host: usize,
        life: u32,
    },
    Dial {
        from: usize,
        to: usize,
        tries: u32,
    },
    Replug {
        one: usize,
        other: usize,
    },
    /// An end notices that a connection is gone.
    Lost {
        way: Way,
    },
    ActEnds {
        host: usize,
        life: u32,
    },
    Chunk {
        host: usize,
        life: u32,
        came: Came,
    },
    Boot {
        host: usize,
        wrong: bool,
    },
    Trouble {
        host: usize,
        trouble: Trouble,
    },
    Night {
        host: usize,
        on: bool,
    },
    CutBegins {
        number: u64,
        cut: Cut,
        until_ms: u64,
    },
    CutEnds {
        number: u64,
    },
    Script(usize),
    Hand {
        to: usize,
        items: Vec<Carried>,
    },
    /// The second signer of an order signed.
    Cosign {
        to: usize,
        version: String,
        items: Vec<Carried>,
    },
    Stick {
        event: usize,
    },
    Mischief {
        host: usize,
    },
    Compare,
    Calm,
    SwitchOn {
        host: usize,
    },
}

impl Next {
    /// Names of the kinds of things that happen, for the figures.
    pub(super) const KINDS: [&str; 8] = [
        "starts",
        "wakes",
        "acts and looks",
        "messages",
        "gossip",
        "gossip control",
        "connections",
        "script and faults",
    ];

    pub(super) const GOSSIP: usize = 4;
    pub(super) const GOSSIP_CONTROL: usize = 5;

    /// Which of them it is.
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Start { .. } | Self::Boot { .. } | Self::SwitchOn { .. } => 0,
            Self::Wake { .. } => 1,
            Self::Inspect { .. } | Self::ActEnds { .. } | Self::Chunk { .. } | Self::Compare => 2,
            Self::Message { .. } => 3,
            Self::Gossip { .. } => Self::GOSSIP,
            Self::Have { .. } | Self::Want { .. } | Self::Heartbeat { .. } => Self::GOSSIP_CONTROL,
            Self::Dial { .. } | Self::Replug { .. } | Self::Lost { .. } => 6,
            Self::Trouble { .. }
            | Self::Night { .. }
            | Self::CutBegins { .. }
            | Self::CutEnds { .. }
            | Self::Script(_)
            | Self::Hand { .. }
            | Self::Cosign { .. }
            | Self::Stick { .. }
            | Self::Mischief { .. }
            | Self::Calm => 7,
        }
    }
}

#[derive(Debug)]
struct Entry {
    at_ms: u64,
    sequence: u64,
    next: Next,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.at_ms, other.sequence).cmp(&(self.at_ms, self.sequence))
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at_ms: u64, next: Next) {
        self.sequence += 1;
        self.heap.push(Entry { at_ms, sequence: self.sequence, next });
    }

    /// When the next thing happens.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at_ms)
    }

    pub(super) fn pop(&mut self) -> Option<(u64, Next)> {
        self.heap.pop().map(|entry| (entry.at_ms, entry.next))
    }
}
