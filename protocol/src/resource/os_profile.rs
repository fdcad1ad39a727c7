//! OS profiles: what an image is, and the digests that the `release` role signs for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_bytes, check_filled, check_version};

use crate::id::Digest;

/// How an OS changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OsType {
    /// Packages (EIM: MUTABLE).
    #[serde(rename = "OS_TYPE_MUTABLE")]
    Mutable,
    /// Images in slots (EIM: IMMUTABLE).
    #[serde(rename = "OS_TYPE_IMMUTABLE")]
    Immutable,
}

/// The name of a part of a slot (`rootfs`, `uki`, `agent`, …): 1 to 32 of `[a-z0-9-]`.
pub type PartName = String;

/// A signed profile with one image. Fields of EIM's profile YAML keep their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the undocumented ones are EIM's, carried as they are")]
pub struct OsProfileSpec {
    pub name: String,
    #[serde(rename = "type")]
    pub os_type: OsType,
    pub provider: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    pub profile_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os_image_url: String,
    /// Image version, dotted numbers (RULES Q21); EIM's image id.
    pub os_image_version: String,
    /// SHA-256 of the image file as published (64 lower-case hex digits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_image_sha256: Option<Digest>,
    #[serde(default, rename = "osPackageManifestURL", skip_serializing_if = "String::is_empty")]
    pub os_package_manifest_url: String,
    #[serde(default, rename = "osExistingCvesURL", skip_serializing_if = "String::is_empty")]
    pub os_existing_cves_url: String,
    #[serde(default, rename = "osFixedCvesURL", skip_serializing_if = "String::is_empty")]
    pub os_fixed_cves_url: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub security_feature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_bundle: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tls_ca_certificate: String,

    /// Daymark: which piece of a whole-disk image becomes which part of a slot. Empty: the image
    /// is a bare file system and the only part is `rootfs`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layout: BTreeMap<PartName, LayoutPart>,
    /// Daymark: SHA-256 of the image index; what the signature authorises to install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<Digest>,
    /// Daymark: size of the index in bytes, so that it is bounded before it is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_bytes: Option<u64>,
    /// Daymark: raw digests of each part, checked after reboot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<PartName, PartDigest>,
    /// Daymark: no host of this profile goes below this version, whoever asks (I4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<String>,
    /// Daymark: how long activation takes at first, in seconds, until a host has measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_seconds: Option<u32>,
    /// Daymark: systemd units or commands that must be healthy before a boot is confirmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<String>,
}

/// Where a part comes from in a whole-disk image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LayoutPart {
    /// GPT partition, by label or 1-based number.
    pub partition: String,
    /// What to take from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PartSource>,
}

/// A file within a partition's file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartSource {
    /// The file system.
    pub file_system: FileSystem,
    /// Path within it, such as `EFI/Linux/linux.efi`.
    pub path: String,
}

/// File systems that `release add` can take a file out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// FAT, as on an EFI system partition.
    Vfat,
}

/// The signed size and digest of a part's raw bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartDigest {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
}

/// Longest name of an OS or a profile, in bytes: bounds what tables and reports repeat.
const OS_NAME_BYTES_MAX: usize = 200;
/// Longest name of a part.
const PART_NAME_BYTES_MAX: usize = 32;
/// EIM's word for a choice that was not made.
const UNSPECIFIED: &str = "OS_PROVIDER_KIND_UNSPECIFIED";

impl OsProfileSpec {
    /// Checks EIM's limits and the form of what Daymark adds.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_filled("name", &self.name)?;
        check_bytes("name", &self.name, OS_NAME_BYTES_MAX)?;
        check_filled("profileName", &self.profile_name)?;
        check_bytes("profileName", &self.profile_name, OS_NAME_BYTES_MAX)?;
        check(!self.provider.is_empty() && self.provider != UNSPECIFIED, "provider", || {
            "is not given: write OS_PROVIDER_KIND_INFRA or OS_PROVIDER_KIND_LENOVO".into()
        })?;
        check_version("osImageVersion", &self.os_image_version)?;
        if let Some(minimum) = &self.minimum_version {
            check_version("minimumVersion", minimum)?;
        }
        check(self.index_digest.is_some() == self.index_bytes.is_some(), "indexBytes", || {
            "belongs to indexDigest: write both or neither".into()
        })?;
        self.layout.keys().try_for_each(|name| check_part("layout", name))?;
        self.parts.keys().try_for_each(|name| check_part("parts", name))
    }
}

fn check_part(field: &'static str, name: &str) -> Result<(), InvalidSpec> {
    let clean = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let fits = !name.is_empty() && name.len() <= PART_NAME_BYTES_MAX;
    check(clean && fits, field, || {
        let shown: String = name.chars().take(80).collect();
        format!("names a part {shown:?}: write 1 to 32 lower-case letters, digits and -")
    })
}
