//! What the world records: the only thing that checks see, beside the world's own state.

use daymark_core::effect::{Act, Admission, Write};
use daymark_protocol::decide::Decision;
use daymark_protocol::id::KeyId;

use crate::host::ImageId;

/// Who restarted a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restarter {
    /// Its agent.
    Agent,
    /// The power, a watchdog or a switch.
    Power,
    /// A person, into a slot of their choice.
    Person,
}

/// Something that a host did, or that befell it.
#[derive(Clone, Copy, Debug)]
pub enum Deed<'a> {
    /// A process started.
    Started,
    /// A process ended.
    Ended,
    /// A write became durable.
    Wrote(&'a Write),
    /// The agent ordered an act.
    Ordered(&'a Act),
    /// The first byte of an image went, or goes again, to a slot.
    SlotWritten {
        /// The slot.
        slot: usize,
        /// The image.
        image: ImageId,
    },
    /// The machine restarted.
    Restarted {
        /// By whom.
        by: Restarter,
        /// Whether the boot switch was armed: it was to try another slot.
        armed: bool,
        /// Whether what came up is another image than ran before.
        changed: bool,
    },
    /// A message was heard from a peer, and so many were sent back to it at once.
    Answered {
        /// The peer.
        peer: usize,
        /// Messages sent to it.
        with: usize,
    },
    /// A message left.
    Sent {
        /// Its length.
        bytes: usize,
    },
    /// The gate for a peer was set.
    Admitted {
        /// The peer.
        peer: KeyId,
        /// What it lets through.
        admission: Admission,
    },
    /// A second node from the same disk was asked what to do.
    Compared {
        /// What the running node says.
        own: &'a Decision,
        /// What the other says.
        twin: &'a Decision,
    },
}
