//! `label host`, `move host` and `revoke host`: the next version of a machine's membership. Its key, name and
//! baseline stay what they were enrolled with.

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{HostSpec, Kind, Scope, Spec};
use daymark_protocol::trust::Version;

use crate::change::{self, Change, ChangeEffect};
use crate::cli::{LabelCommand, MoveCommand, RevokeCommand};
use crate::commands::submit;
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{names, targets};

/// Runs `revoke host`: the machine's membership ends by a tombstone, and its history stays.
pub(crate) async fn revoke(mut session: Session, command: RevokeCommand) -> Outcome {
    let RevokeCommand::Host { host } = command;
    let key = names::find_host(session.standing(), &host)?;
    let change = Change::delete(session.standing(), Kind::Host, &key.into())?;
    submit::run(&mut session, vec![change]).await
}

/// Runs `label`: sets labels, or takes away those written as `KEY-`.
pub(crate) async fn label(mut session: Session, command: LabelCommand) -> Outcome {
    let LabelCommand::Host { host, labels } = command;
    let (key, held, mut spec) = held(&session, &host)?;
    let (gone, set): (Vec<String>, Vec<String>) =
        labels.into_iter().partition(|label| label.ends_with('-') && !label.contains('='));
    for label in gone {
        let label = label.trim_end_matches('-');
        if spec.labels.remove(label).is_none() {
            return Err(Failure::usage(format!("{host} has no label {label:?}"))
                .next(format!("`daymarkctl get hosts {host} -o wide` shows its labels")));
        }
    }
    spec.labels.extend(targets::labels(&set)?);
    let change = next(&session, key, &held, spec, held.scope.clone())?;
    submit::run(&mut session, vec![change]).await
}

/// Runs `move`: the host's next version lives in the other site, and is known in both (RULES S4).
pub(crate) async fn relocate(mut session: Session, command: MoveCommand) -> Outcome {
    let MoveCommand::Host { host } = command;
    let site = session.global.site.as_deref().ok_or_else(|| {
        Failure::usage("no site is named").next("say where it goes with --site SITE")
    })?;
    let site = names::find_site(session.standing(), site)?;
    let (key, held, spec) = held(&session, &host)?;
    let change = next(&session, key, &held, spec, Scope::Site(site))?;
    submit::run(&mut session, vec![change]).await
}

fn held(session: &Session, host: &str) -> Outcome<(KeyId, Version, HostSpec)> {
    let key = names::find_host(session.standing(), host)?;
    names::host_spec(session.standing(), &key)
        .map(|(version, spec)| (key, version.clone(), spec.clone()))
        .ok_or_else(|| Failure::usage(format!("{host:?} is not enrolled")))
}

fn next(
    session: &Session,
    key: KeyId,
    held: &Version,
    spec: HostSpec,
    scope: Scope,
) -> Outcome<Change> {
    let (name, spec) = (spec.name.clone(), Spec::Host(spec));
    spec.validate().map_err(|error| Failure::usage(format!("host {name:?}: {error}")))?;
    let standing = session.standing();
    let moves = scope != held.scope;
    let before = held.spec.as_ref().ok().and_then(Option::as_ref);
    let mut differences = change::differences(standing, before, &spec, None, None);
    let place = |scope: &Scope| match scope {
        Scope::Site(site) => names::name_of(standing, Kind::Site, site),
        Scope::Fleet | Scope::Region(_) => scope.to_string(),
    };
    if moves {
        differences.push(("site".into(), place(&held.scope), place(&scope)));
    }
    let site_of = |scope: &Scope| match scope {
        Scope::Site(site) => Some(site.clone()).filter(|site| site.as_str() != "none"),
        Scope::Fleet | Scope::Region(_) => None,
    };
    let id = key.into();
    Ok(Change {
        kind: Kind::Host,
        version: change::next_version(standing, Kind::Host, &id)?,
        id,
        name,
        target: None,
        site: site_of(&scope),
        moved_from: match &held.scope {
            // The site `none` is left like any other: who is there must learn of it too.
            Scope::Site(left) if moves => Some(left.clone()),
            Scope::Site(_) | Scope::Fleet | Scope::Region(_) => None,
        },
        replaces: None,
        scope,
        until: None,
        spec: Some(spec),
        effect: match differences.is_empty() {
            true => ChangeEffect::Unchanged,
            false => ChangeEffect::Update(differences),
        },
    })
}
