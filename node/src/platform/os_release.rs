//! The os-release file: what is installed on an OS that Daymark did not install.

use std::collections::BTreeMap;
use std::path::Path;

use daymark_protocol::decide::{Installed, InstalledSource};
use daymark_protocol::resource::OsType;

/// The fields of os-release(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsRelease(BTreeMap<String, String>);

impl OsRelease {
    /// Reads the file; empty if there is none.
    pub fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Parses `NAME=value` lines with the shell's quotes.
    pub fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            let clean =
                name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            clean.then(|| (name.to_owned(), unquote(value)))
        });
        Self(fields.collect())
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The name for people.
    pub fn pretty_name(&self) -> Option<&str> {
        self.field("PRETTY_NAME")
    }

    /// An OS that names its image is immutable; any other is changed by packages.
    pub fn os_type(&self) -> OsType {
        if self.field("IMAGE_ID").or_else(|| self.field("IMAGE_VERSION")).is_some() {
            OsType::Immutable
        } else {
            OsType::Mutable
        }
    }

    /// What IMAGE_ID and IMAGE_VERSION say is installed.
    pub fn installed(&self) -> Option<Installed> {
        let version = self.field("IMAGE_VERSION")?;
        Some(Installed {
            profile: self.field("IMAGE_ID").map(str::to_owned),
            version: Some(version.to_owned()),
            index_digest: None,
            image_sha256: None,
            source: InstalledSource::OsRelease,
        })
    }
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    let single = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
    if let Some(literal) = single {
        return literal.to_owned();
    }
    let double = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let mut plain = String::new();
    let mut letters = double.unwrap_or(value).chars();
    while let Some(letter) = letters.next() {
        plain.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_with_its_version() {
        let text = "NAME=\"Edge Microvisor\"\n# comment\nIMAGE_ID='edge'\nIMAGE_VERSION=3.0.1\n\
                    PRETTY_NAME=\"Edge \\\"3\\\"\"\nbad line\n";
        let release = OsRelease::parse(text);
        assert_eq!(release.os_type(), OsType::Immutable);
        assert_eq!(release.pretty_name(), Some("Edge \"3\""));
        let installed = release.installed().unwrap();
        assert_eq!(installed.profile.as_deref(), Some("edge"));
        assert_eq!(installed.version.as_deref(), Some("3.0.1"));
        assert_eq!(installed.source, InstalledSource::OsRelease);
    }

    #[test]
    fn a_distribution_of_packages_is_mutable_and_its_version_is_no_image() {
        let release = OsRelease::parse("ID=debian\nVERSION_ID=\"12\"\nIMAGE_VERSION=\n");
        assert_eq!(release.os_type(), OsType::Mutable);
        assert_eq!(release.installed(), None);
        assert_eq!(OsRelease::read(Path::new("/nonexistent")).os_type(), OsType::Mutable);
    }
}
