//! Reads an OS profile in EIM's YAML form: `appVersion`, `metadata`, `spec`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use daymark_protocol::resource::OsProfileSpec;
use serde::Deserialize;
use serde_json::Value;

/// Largest profile that is read: real ones have 2 KiB, certificates included.
const PROFILE_BYTES_MAX: u64 = 256 * 1024;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct BadProfile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and where.
    pub problem: String,
}

/// The file's outer form.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileFile {
    app_version: String,
    /// EIM's notes on its own release; nothing here depends on them.
    #[serde(default, rename = "metadata")]
    _metadata: BTreeMap<String, Value>,
    spec: BTreeMap<String, Value>,
}

/// Reads and checks a profile. Unknown fields are refused by name.
///
/// # Errors
/// If the file cannot be read or is not such a profile.
pub fn read_profile(path: &Path) -> Result<OsProfileSpec, BadProfile> {
    let bad = |problem: String| BadProfile { path: path.to_owned(), problem };
    let bytes = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
    if bytes > PROFILE_BYTES_MAX {
        return Err(bad(format!("a profile has at most {PROFILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    parse_profile(&text).map_err(bad)
}

pub(crate) fn parse_profile(text: &str) -> Result<OsProfileSpec, String> {
    let file: ProfileFile = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    if file.app_version != "apps/v1" {
        return Err(format!("appVersion is {:?}; apps/v1 is known", file.app_version));
    }
    let spec = file.spec.into_iter().filter_map(|(name, value)| {
        let value = in_our_form(&name, value)?;
        Some((name, value))
    });
    let profile: OsProfileSpec =
        serde_json::from_value(spec.collect()).map_err(|error| format!("spec: {error}"))?;
    profile.validate().map_err(|error| format!("spec: {error}"))?;
    Ok(profile)
}

/// EIM's files leave fields empty that are not given, write a bundle as a mapping where its API has
/// JSON text, and people write partition numbers without quotes.
fn in_our_form(name: &str, mut value: Value) -> Option<Value> {
    if value.is_null() || value == Value::String(String::new()) {
        return None;
    }
    if name == "platformBundle" && value.is_object() {
        return Some(Value::String(value.to_string()));
    }
    if name == "layout"
        && let Value::Object(parts) = &mut value
    {
        for part in parts.values_mut() {
            if let Some(number) = part.get_mut("partition").filter(|number| number.is_u64()) {
                *number = Value::String(number.to_string());
            }
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use daymark_protocol::resource::OsType;

    use super::*;

    const SAMPLE: &str = "\
appVersion: apps/v1
metadata:
  release: 0.0.0-dev
spec:
  name: Sample Edge OS 3.1.20260701
  type: OS_TYPE_IMMUTABLE
  provider: OS_PROVIDER_KIND_INFRA
  architecture: x86_64
  profileName: sample-edge  # as the file is named
  osImageUrl: files/sample-edge-3.1.20260701.raw.gz
  osImageVersion: 3.1.20260701
  osImageSha256: 6f7aef82c1aae6c914a9f173a6be91b0a222027937f5afcc87c2b12a9d71c056
  osPackageManifestURL: \"\"
  securityFeature: SECURITY_FEATURE_NONE
  description: A sample
  platformBundle:
  layout:
    rootfs: {partition: 2}
    uki:
      partition: ESP
      file: {fileSystem: vfat, path: EFI/Linux/linux.efi}
";

    #[test]
    fn a_profile_in_eim_s_form_is_read() {
        let profile = parse_profile(SAMPLE).unwrap();
        assert_eq!(profile.os_type, OsType::Immutable);
        assert_eq!(profile.profile_name, "sample-edge");
        assert_eq!(profile.os_image_version, "3.1.20260701");
        assert_eq!(profile.platform_bundle, None);
        assert_eq!(profile.layout["rootfs"].partition, "2");
        assert_eq!(profile.layout["uki"].file.as_ref().unwrap().path, "EFI/Linux/linux.efi");
        let bundle = SAMPLE.replace("platformBundle:\n", "platformBundle:\n    script: a:1\n");
        let bundle = parse_profile(&bundle).unwrap().platform_bundle;
        assert_eq!(bundle.as_deref(), Some(r#"{"script":"a:1"}"#));
    }

    #[test]
    fn unknown_and_missing_fields_are_named() {
        for (from, to, named) in [
            ("  description:", "  descripton:", "descripton"),
            ("metadata:", "metadatas:", "metadatas"),
            ("  osImageVersion: 3.1.20260701\n", "", "osImageVersion"),
            ("fileSystem: vfat", "fileSystem: ext4", "ext4"),
            ("apps/v1", "apps/v2", "apps/v2"),
            ("c056\n", "c05\n", "64 lower-case hex digits"),
        ] {
            let problem = parse_profile(&SAMPLE.replace(from, to)).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }

    /// Every real profile is read: in the folder that `DAYMARK_OS_PROFILES` names, or else beside
    /// the project, where they are not part of it.
    #[test]
    fn real_profiles_are_read_in_place() {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/eim/os-profiles");
        let folder = std::env::var_os("DAYMARK_OS_PROFILES").unwrap_or_else(|| beside.into());
        if !Path::new(&folder).exists() {
            let _ = writeln!(std::io::stderr(), "skipped: no OS profiles in {}", folder.display());
            return;
        }
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let profile = read_profile(&path).unwrap();
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                assert!(!profile.os_image_version.is_empty(), "{stem}");
                seen += 1;
            }
        }
        assert!(seen > 0, "no profile in the folder");
    }
}
