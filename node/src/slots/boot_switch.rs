//! What decides which slot the machine starts: a boot loader's entries, or the boot program's file.

/// A boot switch that could not be read or set.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} the boot switch at {place}")]
pub struct BootSwitchError {
    /// What was attempted: `read`, `set`.
    pub act: &'static str,
    /// The file or boot loader.
    pub place: String,
    /// Why it failed.
    pub source: std::io::Error,
}

/// What the boot switch says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootState {
    /// The slot that runs; `None` if the machine was not started from one of the slots.
    pub booted: Option<String>,
    /// The slot that starts when nothing is being tried: the last good one.
    pub default: Option<String>,
    /// The slot that the next start tries, once.
    pub next_try: Option<String>,
    /// Whether the running boot is a try that nobody has confirmed.
    pub unconfirmed: bool,
}

/// Sets what boots next. Every change is durable when its method returns.
pub trait BootSwitch: std::fmt::Debug + Send + Sync {
    /// What is booted, and what boots next.
    ///
    /// # Errors
    /// If it cannot be read or makes no sense.
    fn state(&self) -> Result<BootState, BootSwitchError>;

    /// Makes the next start try `slot`, once; a start after that, unconfirmed, takes the default.
    ///
    /// # Errors
    /// If it cannot be made durable; the switch then stands as before.
    fn set_try(&self, slot: &str) -> Result<(), BootSwitchError>;

    /// Makes the running slot the default.
    ///
    /// # Errors
    /// If it cannot be made durable; the switch then stands as before.
    fn confirm(&self) -> Result<(), BootSwitchError>;

    /// Makes the next start take `slot`, or else the default, whatever was to be tried, and makes
    /// `slot` the default. Always allowed (I2).
    ///
    /// # Errors
    /// If it cannot be made durable; the switch then stands as before.
    fn fall_back(&self, slot: Option<&str>) -> Result<(), BootSwitchError>;
}
