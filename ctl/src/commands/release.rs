//! `release add`: an image into a release folder, and its profile, signed, into the fleet.

use std::path::Path;

use daymark_protocol::resource::{Role, Scope, Spec};
use indicatif::{ProgressBar, ProgressStyle};

use crate::change::Change;
use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::release::{AddProgress, add_image, read_profile};
use crate::session::Session;
use crate::{output, times};

/// Runs `release add`.
pub(crate) async fn add(mut session: Session, image: &Path, profile: &Path, to: &Path) -> Outcome {
    session.keys_for(Role::Release)?;
    let spec = read_profile(profile).map_err(Failure::usage)?;
    let bar = progress_bar(image);
    let added = add_image(image, spec, to, &mut |progress: AddProgress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    })
    .map_err(|error| Failure { exit: Exit::Usage, ..Failure::from(error) })?;
    bar.finish_and_clear();
    let there = if added.was_there { " (was there already)" } else { "" };
    output::text(&format!(
        "{} {}: {} in {} chunks, {} packed, in {:.1} s{there}",
        added.profile.profile_name,
        added.profile.os_image_version,
        times::bytes(added.image_bytes),
        added.chunks,
        times::bytes(added.pack_bytes),
        added.took.as_secs_f64()
    ));
    let fleet = session.fleet()?;
    let spec = Spec::OsProfile(Box::new(added.profile));
    let change = Change::put(session.standing(), &fleet, Scope::Fleet, spec, None, None)?;
    submit::run(&mut session, vec![change]).await
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
