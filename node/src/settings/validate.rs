//! From one value per key to [`Settings`] that hold together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::Value;

use super::layers::Layers;
use super::{
    ClockSource, Health, Log, LogFormat, Network, Platform, PlatformKind, Reboot, Settings,
    SettingsError, key,
};
use crate::platform::facts::IdentityFiles;

impl Layers {
    fn text(&self, path: &str) -> Option<String> {
        self.values.get(path).and_then(|(value, _)| value.as_str()).map(str::to_owned)
    }

    fn path(&self, path: &str) -> Option<PathBuf> {
        self.text(path).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn required(&self, path: &str, why: &str) -> Result<PathBuf, SettingsError> {
        self.path(path)
            .ok_or_else(|| SettingsError::Missing { key: path.to_owned(), why: why.to_owned() })
    }

    fn texts(&self, path: &str) -> Vec<String> {
        let items = self.values.get(path).and_then(|(value, _)| value.as_array());
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn number(&self, path: &str) -> u64 {
        let number = self.values.get(path).and_then(|(value, _)| value.as_integer());
        number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
    }

    fn flag(&self, path: &str) -> bool {
        self.values.get(path).and_then(|(value, _)| value.as_bool()).unwrap_or_default()
    }

    fn invalid(&self, path: &str, expected: impl Into<String>) -> SettingsError {
        let origin =
            self.values.get(path).map_or(super::Origin::Default, |(_, origin)| origin.clone());
        SettingsError::Value { key: path.to_owned(), origin, expected: expected.into() }
    }

    /// Checks what the values mean, alone and together.
    pub(crate) fn settings(&self) -> Result<Settings, SettingsError> {
        let data_dir = self.required("data_dir", "the agent keeps its identity there")?;
        Ok(Settings {
            control_socket: self.required("control.socket", "daymarkctl talks to it")?,
            network: self.network()?,
            clock: if self.text("clock").as_deref() == Some("rtc") {
                ClockSource::Rtc
            } else {
                ClockSource::Os
            },
            release_sources: self.release_sources()?,
            origin_wait_s: self.number("fetch.origin_wait_s"),
            platform: self.platform(&data_dir)?,
            health: Health {
                commands: self.texts("health.commands"),
                units: self.texts("health.units"),
                timeout_s: self.number("health.timeout_s"),
            },
            inhibit_dir: self.required("inhibit.dir", "programs in it may veto an update")?,
            os_release: self.required("os_release", "it names the installed OS")?,
            identity: IdentityFiles {
                machine_id: self.path("identity.machine_id"),
                serial: self.texts("identity.serial").into_iter().map(PathBuf::from).collect(),
            },
            log: Log {
                level: self.text("log.level").unwrap_or_default(),
                format: if self.text("log.format").as_deref() == Some("json") {
                    LogFormat::Json
                } else {
                    LogFormat::Text
                },
            },
            data_dir,
        })
    }

    fn network(&self) -> Result<Network, SettingsError> {
        let allow = self
            .texts("network.allow")
            .iter()
            .map(|text| {
                text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(
                    |_| {
                        self.invalid(
                            "network.allow",
                            format!("networks such as 10.1.0.0/16, not {text:?}"),
                        )
                    },
                )
            })
            .collect::<Result<_, _>>()?;
        Ok(Network {
            listen: self.texts("network.listen"),
            interfaces: self.texts("network.interfaces"),
            allow,
            peers: self.texts("network.peers"),
            mdns: self.flag("network.mdns"),
            connections_max: u32::try_from(self.number("network.connections_max"))
                .unwrap_or(u32::MAX),
        })
    }

    fn release_sources(&self) -> Result<Vec<String>, SettingsError> {
        let sources = self.texts("release.sources");
        for source in &sources {
            let url = source.starts_with("http://") || source.starts_with("https://");
            if !url && !source.starts_with('/') {
                let expected = format!("http(s) URLs or absolute folders, not {source:?}");
                return Err(self.invalid("release.sources", expected));
            }
        }
        Ok(sources)
    }

    fn platform(&self, data_dir: &std::path::Path) -> Result<Platform, SettingsError> {
        let kind = match self.text("platform.kind").as_deref() {
            Some("slots") => PlatformKind::Slots {
                slots: self.slots()?,
                boot_file: self.required(
                    "platform.slots.boot.file",
                    "platform.kind = \"slots\" switches the boot entry through it",
                )?,
                tries: u32::try_from(self.number("platform.slots.tries")).unwrap_or(1),
            },
            Some("command") => PlatformKind::Command {
                program: self.required(
                    "platform.command.program",
                    "platform.kind = \"command\" runs it for every step",
                )?,
                timeout_s: self.number("platform.command.timeout_s"),
            },
            _ => PlatformKind::None,
        };
        let reboot = match self.text("platform.reboot").unwrap_or_default().as_str() {
            "exit" => Reboot::Exit,
            "" => return Err(self.invalid("platform.reboot", "a command, or \"exit\"")),
            command => Reboot::Command(command.to_owned()),
        };
        let config_dir =
            self.path("platform.config_dir").unwrap_or_else(|| data_dir.join("custom-config"));
        Ok(Platform { kind, reboot, config_dir })
    }

    fn slots(&self) -> Result<BTreeMap<String, BTreeMap<String, PathBuf>>, SettingsError> {
        let mut slots: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
        for (path, (value, _)) in &self.values {
            if let (Some((slot, part)), Some(file)) = (key::slot_part(path), value.as_str()) {
                slots.entry(slot.to_owned()).or_default().insert(part.to_owned(), file.into());
            }
        }
        let parts: Vec<Vec<&String>> = slots.values().map(|parts| parts.keys().collect()).collect();
        match parts.as_slice() {
            [first, second] if first == second => Ok(slots),
            [_, _] => Err(SettingsError::Slots("both slots must name the same parts".to_owned())),
            other => Err(SettingsError::Slots(format!(
                "two slots are needed, platform.slots.a.PART and platform.slots.b.PART; found {}",
                other.len()
            ))),
        }
    }
}
