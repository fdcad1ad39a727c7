//! `release add`: an image into a release folder, and its profile, signed, into the fleet.

use std::path::Path;

use daymark_protocol::resource::{Kind, Role, Scope, Spec};
use indicatif::{ProgressBar, ProgressStyle};

use crate::change::Change;
use crate::commands::submit;
use crate::exit::{Failure, Outcome};
use crate::release::{self, profile_yaml};
use crate::session::Session;
use crate::{output, times};

/// Runs `release add`.
pub async fn add(mut session: Session, image: &Path, profile: &Path, to: &Path) -> Outcome {
    session.keys_for(Role::Release)?;
    let spec = profile_yaml::read(profile).map_err(|error| Failure::usage(format!("{error:#}")))?;
    let bar = progress_bar(image);
    let added = release::add(image, spec, to, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .map_err(|error| Failure::new(release_exit(&error), format!("{:#}", anyhow::Error::new(error))))?;
    bar.finish_and_clear();
    output::text(&format!(
        "{} {}: {} in {} chunks, {} packed, in {:.1} s",
        added.profile.profile_name,
        added.profile.os_image_version,
        times::bytes(added.summary.image_bytes),
        added.summary.chunks,
        times::bytes(added.summary.packed_bytes),
        added.summary.elapsed.as_secs_f64()
    ));
    let fleet = session.fleet()?;
    let spec = Spec::OsProfile(Box::new(added.profile));
    debug_assert_eq!(spec.kind(), Kind::OsProfile);
    let change = Change::put(session.standing(), &fleet, Scope::Fleet, spec, None, None)?;
    submit::run(&mut session, vec![change]).await
}

fn release_exit(_error: &release::ReleaseError) -> crate::exit::Exit {
    crate::exit::Exit::Usage
}

/// A bar that is shown on terminals only.
fn progress_bar(image: &Path) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(
        image.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    );
    bar
}
