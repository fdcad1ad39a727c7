//! Everything a node may ask its host to do.

use daymark_protocol::decide::ResolvedTarget;
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::trust::FloorRecord;
use serde::{Deserialize, Serialize};

use crate::durable::DurableState;
use crate::event::{GossipId, RequestId};

/// An operation under way; minted by the core, never reused in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpId(pub u64);

/// How messages travel between two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// Open to strangers: roots, and the asker's own Host statements.
    Join,
    /// Authority data; needs [`Admission::Authority`].
    Sync,
}

/// What a peer's connections let through (RULES A1, A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// Identify and join only.
    Stranger,
    /// The control channel as well, and nothing else: a person's laptop that showed a role key.
    Visitor,
    /// Authority data as well: enrolled once and not revoked.
    Authority,
    /// Everything: enrolled now.
    Member,
}

/// A gossip topic: one per document group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Topic(pub String);

/// A verdict on a gossip message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Do not forward it, nobody is to blame.
    Ignore,
    /// Do not forward it, its sender is to blame.
    Reject,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a message to a connected peer. Dropped without a word if it is not connected.
    Send {
        /// To whom.
        peer: KeyId,
        /// Over what.
        channel: Channel,
        /// At most [`daymark_protocol::limits::MESSAGE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Receive a topic's messages from now on.
    Subscribe(Topic),
    /// Receive a topic's messages no longer.
    Unsubscribe(Topic),
    /// Publish on a topic.
    Publish {
        /// The topic.
        topic: Topic,
        /// At most [`daymark_protocol::limits::MESSAGE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// Judge a gossip message.
    Verdict {
        /// Which.
        id: GossipId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Set what a peer's connections let through; connections made under another admission are
    /// closed and, if this node dialled them, redialled.
    Admit {
        /// The peer.
        peer: KeyId,
        /// What they let through.
        admission: Admission,
    },
    /// Pass gossip on to a connected peer always, or no longer, whatever mesh gossip draws: it
    /// joins this site with another. Ends with the peer's last connection.
    Bridge {
        /// The peer.
        peer: KeyId,
        /// Whether it is one from now on.
        open: bool,
    },
    /// Dial a peer.
    Dial {
        /// The peer.
        peer: KeyId,
        /// Where it may be.
        addresses: Vec<String>,
    },
    /// Answer a request of the control socket.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Start an operation; it ends with [`crate::event::Event::OpDone`].
    Perform {
        /// Its id.
        op: OpId,
        /// What to do.
        act: Act,
    },
    /// Stop an operation if it still runs; its end is reported all the same.
    Cancel {
        /// Which.
        op: OpId,
    },
}

/// What the machine is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Fetch the image that `target` names into the inactive slot, from the machine's own slots,
    /// peers and release sources; verify every chunk before it is written and every part after.
    Stage {
        /// Number of the attempt.
        attempt: u64,
        /// What to stage.
        target: Box<ResolvedTarget>,
    },
    /// Switch the boot entry to the staged slot for one try. Must be durable when it ends.
    Activate {
        /// Number of the attempt.
        attempt: u64,
        /// What was staged.
        target: Box<ResolvedTarget>,
    },
    /// Restart the machine. Ends, if at all, only in failure.
    Reboot,
    /// Run the health checks of the image, the profile and the configuration.
    CheckHealth {
        /// Checks that the profile names.
        checks: Vec<String>,
        /// Whether at least one peer must be seen again.
        peer_expected: bool,
    },
    /// Make the running boot the default.
    Confirm,
    /// Make the slot that ran before the boot default again and take back a switch that is armed.
    /// Does not restart the machine; works also if the running boot was already confirmed, since
    /// nothing was written to that slot meanwhile.
    FallBack {
        /// The slot, as the platform names it; `None` if it names none.
        slot: Option<String>,
    },
    /// Write custom configuration where the platform reads it, or take it away.
    DeliverConfig {
        /// Its name.
        name: String,
        /// Its content; empty: take it away.
        config: String,
    },
}

/// The answer to a request of the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What became of each submitted item, in order.
    Submitted(Vec<ItemOutcome>),
    /// It is done.
    Done,
    /// It was refused, and why.
    Refused(String),
}

/// What became of a submitted item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "reason")]
pub enum ItemOutcome {
    /// New here, and kept.
    New,
    /// Already held.
    Known,
    /// Held in memory until a root or a counterpart arrives.
    Held(String),
    /// Well-formed, but there is no room for it (RULES D3).
    NotKept(String),
    /// Refused for good, and why.
    Refused(String),
}

/// Something that must become durable.
#[derive(Clone, Debug)]
pub enum Write {
    /// Replicated data: an entry of a document.
    PutEntry {
        /// The document.
        document: DocumentId,
        /// SHA-256 of the bytes.
        hash: Digest,
        /// The entry.
        bytes: Vec<u8>,
    },
    /// Replicated data: an entry that is no longer kept.
    DropEntry {
        /// The document.
        document: DocumentId,
        /// SHA-256 of its bytes.
        hash: Digest,
    },
    /// Replicated data: a report.
    PutReport {
        /// The host.
        host: KeyId,
        /// Its generation.
        generation: u64,
        /// Its count.
        count: u64,
        /// The report.
        bytes: Vec<u8>,
    },
    /// Replicated data: all reports of a host below a generation.
    DropReports {
        /// The host.
        host: KeyId,
        /// The first generation that stays.
        below: u64,
    },
    /// Replicated data: a blob.
    PutBlob {
        /// SHA-256 of the bytes.
        digest: Digest,
        /// The blob.
        bytes: Vec<u8>,
    },
    /// Replicated data: a blob that nothing names any more.
    DropBlob {
        /// SHA-256 of its bytes.
        digest: Digest,
    },
    /// A root, or the rival roots of one version, kept in a file of their own.
    PutRoot {
        /// The version.
        version: u64,
        /// The envelope; of rivals one on each line.
        bytes: Vec<u8>,
    },
    /// A line of the floor journal.
    AppendFloor(FloorRecord),
    /// The small file of everything else that cannot be got back.
    PutState(Box<DurableState>),
}

impl Write {
    /// Whether this write relies on a file and a sync, rather than on the store of replicated
    /// data, which peers can give back.
    pub fn is_irreplaceable(&self) -> bool {
        match self {
            Self::PutRoot { .. } | Self::AppendFloor(_) | Self::PutState(_) => true,
            Self::PutEntry { .. }
            | Self::DropEntry { .. }
            | Self::PutReport { .. }
            | Self::DropReports { .. }
            | Self::PutBlob { .. }
            | Self::DropBlob { .. } => false,
        }
    }
}

/// What one step asks for. The order is fixed by type: the host performs the immediate effects,
/// makes the writes durable, and only [`Batch::confirm_durable`] yields the rest. A host that
/// cannot make them durable stops.
#[derive(Debug, Default)]
#[must_use]
pub struct Batch {
    immediate: Vec<Effect>,
    writes: Vec<Write>,
    deferred: Vec<Effect>,
}

impl Batch {
    /// An effect that promises nothing.
    pub(crate) fn now(&mut self, effect: Effect) {
        self.immediate.push(effect);
    }

    /// Something to make durable.
    pub(crate) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// The durable state, before the reports that tell of it: a report that outlived a power cut
    /// must not tell of an attempt that never began (I12).
    pub(crate) fn write_state(&mut self, state: DurableState) {
        let is_report = |write: &Write| matches!(write, Write::PutReport { .. });
        let place = self.writes.iter().position(is_report).unwrap_or(self.writes.len());
        self.writes.insert(place, Write::PutState(Box::new(state)));
    }

    /// An effect that relies on this batch's writes.
    pub(crate) fn after(&mut self, effect: Effect) {
        self.deferred.push(effect);
    }

    /// Takes the effects that promise nothing.
    pub fn take_immediate(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.immediate)
    }

    /// What must become durable, in this order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// What of all this a recording keeps: a mark for each effect and write, in order.
    pub(crate) fn marks(&self) -> Vec<crate::recording::Mark> {
        use crate::recording::Mark;
        let immediate = self.immediate.iter().map(Mark::of);
        let writes = self.writes.iter().map(Mark::of);
        let deferred = self.deferred.iter().map(Mark::of);
        immediate.chain(writes).chain(deferred).collect()
    }

    /// The effects that rely on the writes. Call only when all of them are durable.
    pub fn confirm_durable(self) -> Vec<Effect> {
        debug_assert!(self.immediate.is_empty(), "immediate effects are taken first");
        self.deferred
    }
}
