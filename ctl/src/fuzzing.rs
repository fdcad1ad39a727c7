//! Entrances to decoders that are private otherwise, for the fuzz targets. Exists only under the
//! feature `fuzzing`.

use std::path::Path;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::OsProfileSpec;
use daymark_protocol::trust::{PublicKey, RootChain};

use crate::exit::Outcome;
use crate::release::user_image::UserImage;

fn told<T>(outcome: Outcome<T>) -> Result<T, String> {
    outcome.map_err(|failure| failure.error.to_string())
}

/// The names and kinds of the resources of a YAML file.
///
/// # Errors
/// What is wrong with it.
pub fn resource_file(text: &str) -> Result<Vec<String>, String> {
    let resources = told(crate::files::parse("file", text))?;
    Ok(resources.iter().map(|one| format!("{:?} {:?}", one.kind, one.name().ok())).collect())
}

/// An OS profile in EIM's form.
///
/// # Errors
/// What is wrong with it.
pub fn os_profile(text: &str) -> Result<OsProfileSpec, String> {
    crate::release::profile_yaml::parse_profile(text)
}

/// A public key in any of its forms.
///
/// # Errors
/// What is wrong with it.
pub fn public_key(text: &str) -> Result<PublicKey, String> {
    told(crate::public_keys::line(text, Some("file".into()))).map(|person| person.key)
}

/// Writes a seed down on paper.
pub fn paper_of(seed: &[u8; 32]) -> String {
    crate::keys::paper::write(seed).to_string()
}

/// Reads a seed back from paper.
///
/// # Errors
/// The line that is wrong.
pub fn paper(text: &str) -> Result<[u8; 32], String> {
    told(crate::keys::paper::read(text)).map(|seed| *seed)
}

/// The title of a draft and how many of its signatures verify.
///
/// # Errors
/// What is wrong with it.
pub fn draft(bytes: &[u8], chain: &RootChain) -> Result<String, String> {
    told(crate::drafts::Draft::read(bytes, chain)).map(|draft| draft.title())
}

/// The machine of an enrolment request.
///
/// # Errors
/// What is wrong with it.
pub fn enrolment_request(bytes: &[u8]) -> Result<KeyId, String> {
    told(crate::commands::enroll::request::parse(Path::new("request"), bytes))
        .map(|request| request.host)
}

/// Opens an image: its packing, its partitions, and the kernel in its ESP; what was taken.
///
/// # Errors
/// What is wrong with it.
pub fn image(path: &Path, scratch: &Path) -> Result<String, String> {
    let image = UserImage::open(path, scratch).map_err(|error| error.to_string())?;
    Ok(format!("{} {}", image.taken, image.kernel.is_some()))
}
