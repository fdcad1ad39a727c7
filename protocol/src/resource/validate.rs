//! EIM's limits on the fields of each kind, each refusal in one sentence that says what to write
//! instead. References to other resources and the present time are not looked at.

use super::Spec;

/// A field whose value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidSpec {
    /// The field, as it stands in a spec.
    pub field: &'static str,
    /// What is wrong and what to do, as the rest of a sentence that the field begins.
    pub problem: String,
}

impl InvalidSpec {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    pub(crate) fn unknown_zone(name: &str) -> Self {
        let shown: String = name.chars().take(80).collect();
        let data = crate::window::zone_data_version();
        Self::new(
            "zone",
            format!(
                "is {shown:?}, which zone data {data} does not have: write an IANA name such as \
                 Europe/Berlin, `site` or `UTC`"
            ),
        )
    }
}

impl Spec {
    /// Checks the limits of its kind (EIM's where EIM has the kind).
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        match self {
            Self::Region(spec) => spec.validate(),
            Self::Site(spec) => spec.validate(),
            Self::Host(spec) => spec.validate(),
            Self::OsProfile(spec) => spec.validate(),
            Self::SingleSchedule(spec) => spec.validate(),
            Self::RepeatedSchedule(spec) => spec.validate(),
            Self::Blackout(spec) => spec.validate(),
            Self::OsUpdatePolicy(spec) => spec.validate(),
            Self::Promotion(spec) => spec.validate(),
            Self::CustomConfig(spec) => spec.validate(),
            Self::Hold(spec) => check_name(&spec.name),
            Self::Retry(spec) => check_name(&spec.name),
            Self::Halt(spec) => check_name(&spec.name),
            Self::Resume(spec) => spec.validate(),
            Self::Emergency(spec) => check_name(&spec.name),
            Self::Token(spec) => spec.validate(),
        }
    }
}

/// Longest display name, in characters (EIM).
const NAME_CHARS_MAX: usize = 50;

/// A display name: there, and at most 50 characters.
pub(super) fn check_name(name: &str) -> Result<(), InvalidSpec> {
    check_filled("name", name)?;
    check(name.chars().count() <= NAME_CHARS_MAX, "name", || {
        format!("has {} characters: write at most {NAME_CHARS_MAX}", name.chars().count())
    })
}

/// A field that must not be empty.
pub(super) fn check_filled(field: &'static str, text: &str) -> Result<(), InvalidSpec> {
    check(!text.is_empty(), field, || "is missing: write it".into())
}

/// A field of bounded length.
pub(super) fn check_bytes(
    field: &'static str,
    text: &str,
    bytes_max: usize,
) -> Result<(), InvalidSpec> {
    check(text.len() <= bytes_max, field, || {
        format!("has {} bytes: write at most {bytes_max}", text.len())
    })
}

/// An image version (RULES Q21).
pub(super) fn check_version(field: &'static str, text: &str) -> Result<(), InvalidSpec> {
    text.parse::<crate::version::Version>()
        .map(|_| ())
        .map_err(|_| InvalidSpec::new(field, format!("is {:?}: {VERSION_FORM}", shown(text))))
}

/// How a version is written.
const VERSION_FORM: &str = "write three or more numbers with dots between, such as 3.0.20260602";

/// Text cut to what an error can show.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Fails with the problem unless `holds`.
pub(super) fn check(
    holds: bool,
    field: &'static str,
    problem: impl FnOnce() -> String,
) -> Result<(), InvalidSpec> {
    if holds { Ok(()) } else { Err(InvalidSpec::new(field, problem())) }
}
