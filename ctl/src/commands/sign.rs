//! `sign`: adds this machine's signatures to statements and to roots that wait for them.

use std::fs;
use std::path::Path;

use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Context, Envelope, Root, Statement};

use crate::cli::{Format, SignArgs};
use crate::commands::get::Fact;
use crate::commands::submit::{self, Keys};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::passphrase;
use crate::session::Session;
use crate::{targets, times};

/// Runs `sign`.
pub async fn run(mut session: Session, args: SignArgs) -> Outcome {
    let mut files = Vec::new();
    let mut statements: Vec<Digest> = Vec::new();
    if args.all {
        statements.extend(session.replica().judgement().pending().map(|(digest, _)| *digest));
    }
    for what in &args.what {
        if Path::new(what).exists() {
            files.push(what.clone());
        } else {
            statements.push(pending(&session, what)?);
        }
    }
    if files.is_empty() && statements.is_empty() {
        output::text("Nothing waits for a signature.");
        return Ok(Exit::Done);
    }
    let mut exit = Exit::Done;
    for file in files {
        exit = sign_root(&mut session, Path::new(&file))?;
    }
    if statements.is_empty() {
        return Ok(exit);
    }
    sign_statements(&mut session, &statements).await
}

fn pending(session: &Session, start: &str) -> Outcome<Digest> {
    let fits: Vec<Digest> = session
        .replica()
        .judgement()
        .pending()
        .map(|(digest, _)| *digest)
        .filter(|digest| digest.to_string().starts_with(start))
        .collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        [] => Err(Failure::usage(format!("no statement {start:?} waits for a signature"))
            .next("`daymarkctl get approvals` lists them; `daymarkctl sync` fetches new ones")),
        _ => {
            Err(Failure::usage(format!("{start:?} fits several statements"))
                .next("type more of it"))
        }
    }
}

async fn sign_statements(session: &mut Session, statements: &[Digest]) -> Outcome {
    let mut keys = Keys::default();
    let mut items = Vec::new();
    for digest in statements {
        let held = session.replica().statement(digest).cloned();
        let Some(held) = held else { continue };
        for line in describe(session, &held.statement) {
            output::text(&line);
        }
        if session.global.dry_run {
            continue;
        }
        if !session.global.yes && !output::confirm("Add your signature?") {
            return Err(Failure::refused("nothing was signed"));
        }
        let role = session
            .replica()
            .judgement()
            .pending()
            .find(|(pending, _)| *pending == digest)
            .map_or(Role::Policy, |(_, pending)| pending.role);
        items.extend(submit::sign_statement(session, &held.statement, role, &mut keys)?);
    }
    if items.is_empty() {
        return Ok(Exit::Done);
    }
    submit::submit(session, &items, statements).await
}

/// What a statement says, for whoever is asked to sign it.
fn describe(session: &Session, statement: &Statement) -> Vec<String> {
    let payload = statement.payload();
    let mut lines = vec![format!(
        "Statement {} of {}, scope {}{}",
        statement.digest().short(),
        times::show(payload.issued),
        payload.scope,
        if payload.reason.is_empty() { String::new() } else { format!(": {}", payload.reason) }
    )];
    for resource in &payload.resources {
        let name = match resource.spec() {
            Ok(Some(spec)) => crate::names::spec_name(spec),
            Ok(None) | Err(_) => resource.id.to_string(),
        };
        let mark = if resource.gone { "-" } else { "+" };
        lines.push(format!(
            "  {mark} {} {name} (version {}) for {}",
            resource.kind,
            resource.version,
            targets::show(session.standing(), resource.target.as_ref())
        ));
        if let (Some(spec), Format::Wide) = (&resource.raw_spec, session.global.output) {
            lines.push(format!("    {}", spec.get()));
        }
    }
    lines
}

fn sign_root(session: &mut Session, path: &Path) -> Outcome {
    let mut envelope = Envelope::parse(&fs::read(path)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    if envelope.context != Context::Root {
        return Err(Failure::usage(format!("{} is not the draft of a root", path.display())));
    }
    let root = Root::parse(&envelope.payload)?;
    let may = root.role(Role::Root).map(|keys| keys.keys.clone()).unwrap_or_default();
    let signed: Vec<_> = envelope.signatures.iter().map(|(id, _)| *id).collect();
    let own = session.home.keys().list()?;
    let mine: Vec<_> =
        own.iter().filter(|key| may.contains(&key.id) && !signed.contains(&key.id)).collect();
    if mine.is_empty() {
        return Err(Failure::refused("no key of this machine can add a signature to this root"));
    }
    output::text(&format!(
        "Root {} of fleet {}: {} keys, expires {}",
        root.version,
        root.fleet_name,
        root.keys.len(),
        times::show(root.expires)
    ));
    if !session.global.yes && !output::confirm("Add your signature?") {
        return Err(Failure::refused("nothing was signed"));
    }
    for key in mine {
        let signing = passphrase::open(&session.home.keys(), &key.name)?;
        envelope.signatures.push((key.id, signing.sign(Context::Root, &envelope.payload)));
    }
    let bytes = envelope.to_json();
    fs::write(path, &bytes)?;
    session.take(&[Item::Root { version: root.version, bytes: Bytes(bytes) }])?;
    let need = root.role(Role::Root).map_or(1, |keys| keys.threshold);
    let have = envelope.signatures.len();
    output::text(&format!("{} has {have} of {need} signatures.", path.display()));
    Ok(if have >= need as usize { Exit::Done } else { Exit::Pending })
}

/// The rows of `get approvals`.
pub fn approvals(session: &Session) -> Vec<Fact> {
    let root = session.root().ok();
    session
        .replica()
        .judgement()
        .pending()
        .map(|(digest, pending)| {
            let who: Vec<String> = pending
                .may_sign
                .iter()
                .map(|id| {
                    root.and_then(|root| root.keys.get(id))
                        .map_or_else(|| id.short(), |key| key.holder.clone())
                })
                .collect();
            let what = session.replica().statement(digest).map_or_else(String::new, |held| {
                describe(session, &held.statement).split_off(1).join(";").trim().to_owned()
            });
            Fact {
                name: digest.short(),
                about: format!(
                    "{} of {} signatures of {}; may sign: {}",
                    pending.quorum.have.len(),
                    pending.quorum.need,
                    pending.role,
                    who.join(", ")
                ),
                what,
            }
        })
        .collect()
}
