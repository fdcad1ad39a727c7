//! What people do in a scenario, and what befalls machines at a known time.

use serde::Deserialize;

use super::span::Span;

/// When machines may restart.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[serde(tag = "kind")]
pub enum Window {
    /// Once; with an open end if `to` is left out. Times since the world began.
    Once {
        /// Its start.
        from: Span,
        /// Its end.
        to: Option<Span>,
    },
    /// Every week.
    Weekly {
        /// 0 is Sunday.
        weekday: u8,
        /// Hour of its start.
        hour: u8,
        /// How long it is.
        length: Span,
        /// `UTC` or `Europe/Berlin`.
        #[serde(default)]
        zone: Zone,
    },
}

/// The zones that the reference model knows the clock changes of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Zone {
    /// Universal time.
    #[default]
    #[serde(rename = "UTC")]
    Utc,
    /// One hour ahead; two from the last Sunday of March to that of October, 1:00 UTC.
    #[serde(rename = "Europe/Berlin")]
    Berlin,
}

/// Something that people do, or that befalls them, at a known time.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[serde(tag = "do")]
pub enum Happening {
    /// An image is released and ordered.
    Order(Order),
    /// One key halts everything.
    Halt {
        /// When.
        at: Span,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
    },
    /// The threshold lifts all halts.
    Resume {
        /// When.
        at: Span,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
        /// Whether too few keys sign it.
        #[serde(default)]
        too_few: bool,
    },
    /// No window opens meanwhile.
    Blackout {
        /// When it is said.
        at: Span,
        /// Its start.
        from: Span,
        /// Its end.
        until: Span,
        /// To whom it is handed; nobody if left out: then only orders that see it know of it.
        to: Option<usize>,
    },
    /// The last order again under the same version, with another window, by other signers.
    Contradict {
        /// When.
        at: Span,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
    },
    /// An image is released that nobody orders.
    Release {
        /// When.
        at: Span,
        /// Which.
        version: String,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
    },
    /// A statement of a kind that this agent does not know.
    Future {
        /// When.
        at: Span,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
        /// Whether it closes.
        #[serde(default)]
        closes: bool,
    },
    /// New roots come with the same keys.
    Rotate {
        /// When.
        at: Span,
        /// How many.
        times: u32,
        /// To whom they are handed.
        #[serde(default)]
        to: usize,
    },
    /// An administrator's policy key leaves with a new root.
    Leave {
        /// When.
        at: Span,
        /// Which of the policy keys.
        key: usize,
        /// Whether it is retired, and the root keeps what it signed; else it is dropped from its roles.
        #[serde(default)]
        keep: bool,
        /// To whom the root is handed.
        #[serde(default)]
        to: usize,
    },
    /// Two groups of administrators, who do not know of each other, sign different next roots.
    Rivals {
        /// When.
        at: Span,
        /// Which of the policy keys one of the roots throws out, and keeps what it signed.
        key: usize,
        /// To whom each of the two is handed.
        to: [usize; 2],
    },
    /// Enough administrators for both settle rival roots.
    Settle {
        /// When.
        at: Span,
        /// To whom the root is handed.
        #[serde(default)]
        to: usize,
    },
    /// A machine gets another name.
    Rename {
        /// When.
        at: Span,
        /// Which.
        host: usize,
        /// The new name.
        name: String,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
    },
    /// A machine is removed from the fleet.
    Remove {
        /// When.
        at: Span,
        /// Which.
        host: usize,
        /// To whom it is handed.
        #[serde(default)]
        to: usize,
    },
    /// A machine's disk is copied with its key, and the copy runs beside it in a machine alike.
    Clone {
        /// When.
        at: Span,
        /// Which.
        host: usize,
    },
    /// Somebody carries a stick between two machines, again and again.
    Stick {
        /// When first.
        at: Span,
        /// How often.
        every: Span,
        /// The two machines.
        between: [usize; 2],
    },
    /// The network falls apart.
    Partition {
        /// When.
        at: Span,
        /// Until when.
        until: Span,
        /// How.
        into: Parts,
    },
    /// Everyone loses power at once.
    Blackstart {
        /// When.
        at: Span,
    },
    /// A machine is switched off, and on again.
    Off {
        /// When.
        at: Span,
        /// Which.
        host: usize,
        /// Until when.
        until: Span,
        /// Whether its clock's battery dies meanwhile: until the time service sets it, it says 2000.
        #[serde(default)]
        battery_dies: bool,
    },
}

/// How a network falls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Parts {
    /// Each site by itself.
    Sites,
    /// Machines of even and of odd number.
    Halves,
}

/// An order.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// When it is given.
    pub at: Span,
    /// What.
    pub version: String,
    /// For which site; for everyone if left out.
    pub site: Option<String>,
    /// When machines may restart.
    pub window: Window,
    /// Over what time they spread within a window.
    #[serde(default = "spread")]
    pub spread: Span,
    /// To whom it is handed.
    #[serde(default)]
    pub to: usize,
    /// How much later the second of two signers signs.
    #[serde(default)]
    pub cosigned_after: Span,
    /// Whether its signers knew all blackouts and said so.
    #[serde(default)]
    pub sees: bool,
    /// Whether only one of the two signers ever signs.
    #[serde(default)]
    pub too_few: bool,
    /// Whether its policy has a field that only newer agents know.
    #[serde(default)]
    pub newer_field: bool,
}

fn spread() -> Span {
    Span::minutes(10)
}

impl Happening {
    /// When it happens.
    pub fn at(&self) -> Span {
        match self {
            Self::Order(Order { at, .. })
            | Self::Halt { at, .. }
            | Self::Resume { at, .. }
            | Self::Blackout { at, .. }
            | Self::Contradict { at, .. }
            | Self::Release { at, .. }
            | Self::Future { at, .. }
            | Self::Rotate { at, .. }
            | Self::Leave { at, .. }
            | Self::Rivals { at, .. }
            | Self::Settle { at, .. }
            | Self::Rename { at, .. }
            | Self::Remove { at, .. }
            | Self::Clone { at, .. }
            | Self::Stick { at, .. }
            | Self::Partition { at, .. }
            | Self::Blackstart { at }
            | Self::Off { at, .. } => *at,
        }
    }
}
