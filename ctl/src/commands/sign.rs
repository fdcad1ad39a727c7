//! `sign`: adds this machine's signatures to statements and to roots that wait for them.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::Context;

use crate::cli::SignArgs;
use crate::commands::get::Fact;
use crate::commands::submit;
use crate::draft_root::DraftRoot;
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::KeyInfo;
use crate::session::Session;
use crate::signing::Signer;
use crate::{conflicts, output, passphrase, review};

/// Runs `sign`.
pub(crate) async fn run(mut session: Session, args: SignArgs) -> Outcome {
    let waits_for_root = session.replica().chain().newest().is_none();
    if waits_for_root && args.what.is_empty() {
        return sign_root(&mut session, None);
    }
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
        exit = sign_root(&mut session, Some(Path::new(&file)))?;
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
    let mut signer = Signer::new(session);
    let mut items = Vec::new();
    for digest in statements {
        let held = session.replica().statement(digest).cloned();
        let Some(held) = held else { continue };
        for line in review::statement(session, &held.statement) {
            output::text(&line);
        }
        conflicts::refuse_contradiction(session.standing(), &held.statement)?;
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
        items.extend(signer.sign(&held.statement, role)?);
    }
    if items.is_empty() {
        return Ok(Exit::Done);
    }
    submit::submit(session, &items, statements).await
}

/// Adds this machine's signatures to the fleet's root: the one of a file, which gets them too, or
/// the one that the context holds.
fn sign_root(session: &mut Session, file: Option<&Path>) -> Outcome {
    let held = session.draft_root()?;
    let mut draft = match file {
        Some(path) => {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            DraftRoot::read(&session.context.pin, &bytes).map_err(|failure| Failure {
                error: failure.error.context(format!("cannot sign {}", path.display())),
                ..failure
            })?
        }
        None => held.clone().ok_or_else(|| Failure::usage("this context holds no root"))?,
    };
    if let Some(held) = &held {
        draft.merge(held);
    }
    let signers = root_signers(session, &draft)?;
    for line in review::root(&draft.root) {
        output::text(&line);
    }
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    if !session.global.yes && !output::confirm("Add your signature?") {
        return Err(Failure::refused("nothing was signed").next("say --yes to sign without asking"));
    }
    for key in signers {
        let signing = passphrase::open(&session.home.keys(), &key.name)?;
        let signature = signing.sign(Context::Root, draft.payload());
        draft.add(key.id, signature);
    }
    let bytes = draft.to_json();
    if let Some(path) = file {
        fs::write(path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    session.take(&[Item::Root { version: draft.root.version, bytes: Bytes(bytes) }])?;
    let (have, need) = draft.progress();
    output::text(&format!("The root has {have} of {need} signatures."));
    if have >= need {
        return Ok(Exit::Done);
    }
    output::text("Next: `daymarkctl sync FOLDER`, and pass the folder to another member.");
    Ok(Exit::Pending)
}

/// This machine's keys that may sign a root and have not.
fn root_signers(session: &Session, draft: &DraftRoot) -> Outcome<Vec<KeyInfo>> {
    let may = draft.root.role(Role::Root).map(|keys| keys.keys.clone()).unwrap_or_default();
    let chosen = &session.global.keys;
    let mut keys = session.home.keys().list()?;
    keys.retain(|key| chosen.is_empty() || chosen.contains(&key.name));
    keys.retain(|key| may.contains(&key.id));
    if keys.is_empty() {
        return Err(Failure::refused("no key of this machine has the role root in it").next(
            format!("it is held by {}", submit::holders(&draft.root, may.iter()).join(", ")),
        ));
    }
    keys.retain(|key| !draft.is_signed_by(&key.id));
    if keys.is_empty() {
        return Err(Failure::refused("this machine's keys have signed this root already")
            .next("another member must sign; `daymarkctl sync FOLDER` takes it there"));
    }
    Ok(keys)
}

/// The rows of `get approvals`.
pub(crate) fn approvals(session: &Session) -> Vec<Fact> {
    let root = session.root().ok();
    session
        .replica()
        .judgement()
        .pending()
        .map(|(digest, pending)| {
            let who = root.map(|root| submit::holders(root, &pending.may_sign)).unwrap_or_default();
            let what = session
                .replica()
                .statement(digest)
                .map_or_else(String::new, |held| review::headline(&held.statement));
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
