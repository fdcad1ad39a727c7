//! Every configuration key, once: its type, its default and what it means. Reading, checking,
//! environment variables and `config show` all work from this table.

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One string.
    Text,
    /// A list of strings; in the environment separated by commas.
    Texts,
    /// A whole number between the bounds, both included.
    Number(i64, i64),
    /// True or false.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Dotted path, as in a TOML file.
    pub(crate) path: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Default as TOML; empty: none.
    pub(crate) default: &'static str,
    /// What it means, one line.
    pub(crate) doc: &'static str,
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { path, kind, default, doc }
}

/// Prefix of the keys whose last two names the operator chooses: slot and part.
pub(crate) const SLOT_PREFIX: &str = "platform.slots.";

/// The table.
pub(crate) const KEYS: &[Key] = &[
    key("data_dir", Kind::Text, "\"/var/lib/daymark\"", "folder of identity, floors and replica"),
    key(
        "control.socket",
        Kind::Text,
        "\"/run/daymark/control.sock\"",
        "Unix socket of the control API",
    ),
    key(
        "network.listen",
        Kind::Texts,
        "[\"[::]:7440\", \"0.0.0.0:7440\"]",
        "addresses to listen on, TCP and QUIC; empty: dial only",
    ),
    key("network.interfaces", Kind::Texts, "[]", "interfaces that may be used; empty: all"),
    key("network.allow", Kind::Texts, "[]", "networks (CIDR) that may be talked to; empty: all"),
    key("network.peers", Kind::Texts, "[]", "addresses (IP:PORT or multiaddr) to dial"),
    key("network.mdns", Kind::Flag, "true", "find peers on the local link"),
    key("network.connections_max", Kind::Number(1, 4096), "256", "most connections at once"),
    key(
        "clock",
        Kind::Choice(&["os", "rtc"]),
        "\"os\"",
        "`rtc`: trust the clock although nothing says that it is synchronised",
    ),
    key("release.sources", Kind::Texts, "[]", "release services: URLs or folders"),
    key("fetch.origin_wait_s", Kind::Number(0, 3600), "10", "wait for peers before the origin"),
    key(
        "platform.kind",
        Kind::Choice(&["slots", "command", "none"]),
        "\"none\"",
        "how the OS of this machine is changed",
    ),
    key("platform.slots.boot.file", Kind::Text, "", "state file of the boot switch"),
    key("platform.slots.tries", Kind::Number(1, 10), "1", "boots that a new slot gets"),
    key(
        "platform.reboot",
        Kind::Text,
        "\"systemctl reboot\"",
        "command that restarts the machine; `exit`: leave with status 75 for daymark-boot",
    ),
    key("platform.command.program", Kind::Text, "", "the operator's program"),
    key("platform.command.timeout_s", Kind::Number(1, 86_400), "3600", "its longest run"),
    key("platform.config_dir", Kind::Text, "", "where custom configuration is delivered"),
    key("health.commands", Kind::Texts, "[]", "shell commands that must succeed after an update"),
    key("health.units", Kind::Texts, "[]", "systemd units that must be active after an update"),
    key("health.timeout_s", Kind::Number(1, 3600), "120", "longest wait for health"),
    key("inhibit.dir", Kind::Text, "\"/etc/daymark/inhibit.d\"", "programs that may veto"),
    key("os_release", Kind::Text, "\"/etc/os-release\"", "names the OS that is installed"),
    key(
        "identity.machine_id",
        Kind::Text,
        "\"/etc/machine-id\"",
        "file of the machine-id; empty: it has none that lasts",
    ),
    key(
        "identity.serial",
        Kind::Texts,
        "[\"/sys/class/dmi/id/product_serial\", \"/sys/firmware/devicetree/base/serial-number\"]",
        "files of the board's serial number; the first that says one counts",
    ),
    key(
        "log.level",
        Kind::Text,
        "\"info\"",
        "`error`, `warn`, `info`, `debug`, `trace`, or a filter",
    ),
    key("log.format", Kind::Choice(&["text", "json"]), "\"text\"", "form of the log"),
];

/// The table's key of that path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The environment variable of a key.
pub(crate) fn variable(path: &str) -> String {
    format!("DAYMARK_{}", path.replace('.', "_").to_uppercase())
}

/// Whether `path` names a part of a slot: `platform.slots.SLOT.PART`.
pub(crate) fn slot_part(path: &str) -> Option<(&str, &str)> {
    let (slot, part) = path.strip_prefix(SLOT_PREFIX)?.split_once('.')?;
    let clean = |name: &str| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    (slot != "boot" && clean(slot) && clean(part)).then_some((slot, part))
}

/// The known path nearest to a misspelt one, if any is near.
pub(crate) fn nearest(path: &str) -> Option<&'static str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .map(|key| {
            let whole = strsim::levenshtein(path, key.path);
            // A right name in the wrong section is a near miss too.
            let moved = if last(path) == last(key.path) { 1 } else { usize::MAX };
            (whole.min(moved), key.path)
        })
        .min()
        .filter(|(distance, _)| *distance <= 3.min(1 + path.len() / 8))
        .map(|(_, path)| path)
}
