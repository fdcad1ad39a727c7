//! `release add`: an image into a release folder, and its profile, signed, into the fleet.

use std::path::Path;

use anyhow::Context as _;
use daymark_node::durable::write_atomic;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{Kind, Role, Scope, Spec};
use daymark_protocol::trust::{Context, Envelope, Held};
use indicatif::{ProgressBar, ProgressStyle};

use crate::change::Change;
use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::release::{AddProgress, add_image, read_profile};
use crate::session::Session;
use crate::{authority, output, times};

/// Runs `release add`.
pub(crate) async fn add(mut session: Session, image: &Path, profile: &Path, to: &Path) -> Outcome {
    let may = authority::all_who_may(session.root()?, Role::Release, None);
    session.own_keys(Role::Release, &may)?;
    let spec = read_profile(profile).map_err(Failure::usage)?;
    let bar = progress_bar(image);
    let added = add_image(image, spec, to, &mut |progress: AddProgress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    })
    .map_err(|error| {
        let exit = if error.is_of_input() { Exit::Usage } else { Exit::Failed };
        Failure { exit, ..Failure::from(error) }
    })?;
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
    let (id, name) = (change.id.clone(), change.name.clone());
    let exit = submit::run(&mut session, vec![change]).await?;
    if !session.global.dry_run {
        put_profile(&session, &id, &name, to)?;
    }
    Ok(exit)
}

/// Puts the profile beside its image, signed, so that the folder alone can be taken to another
/// machine. While signatures are missing it has those that there are; adding the image again when
/// they have come writes them all.
fn put_profile(session: &Session, id: &ResourceId, name: &str, to: &Path) -> Outcome<()> {
    let version = |held: &Held| {
        let resources = &held.statement.payload().resources;
        let ours = resources
            .iter()
            .find(|resource| resource.known_kind() == Some(Kind::OsProfile) && resource.id == *id);
        ours.map(|resource| resource.version)
    };
    let held = session.replica().statements().map(|(_, held)| held);
    let Some(held) = held.max_by_key(|held| version(held)).filter(|held| version(held).is_some())
    else {
        return Ok(());
    };
    let envelope = Envelope {
        context: Context::Statement,
        payload: held.statement.bytes().to_vec(),
        signatures: held.signatures.iter().map(|(key, signature)| (*key, *signature)).collect(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let file: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let folder = to.join("profiles");
    let path = folder.join(format!("{file}.json"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| write_atomic(&path, &envelope.to_json(), 0o644))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
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
