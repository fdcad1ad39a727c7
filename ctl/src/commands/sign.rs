//! `sign`: adds this machine's signatures to statements and to roots that wait for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Context, Root, Statement, Validity};

use crate::cli::SignArgs;
use crate::commands::get::Fact;
use crate::commands::root::statement;
use crate::commands::{heartbeat, root, submit};
use crate::draft_root::DraftRoot;
use crate::drafts::{self, Draft, Said};
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::KeyInfo;
use crate::session::Session;
use crate::signing::Signer;
use crate::{authority, conflicts, output, review, rotation};

/// Runs `sign`.
pub(crate) async fn run(mut session: Session, args: SignArgs) -> Outcome {
    let unfounded = session.replica().chain().newest_version() == 0;
    if unfounded && args.what.is_empty() {
        return sign_root(&mut session, None);
    }
    let work = chosen(&session, &args)?;
    if work.for_others > 0 {
        output::text(&format!(
            "{} more wait for keys that are not on this machine; `daymarkctl get approvals` lists them.",
            work.for_others
        ));
    }
    if work.is_empty() {
        output::text("Nothing waits for a signature of this machine's keys.");
        return Ok(Exit::Done);
    }
    let mut ends = Ends::default();
    for file in &work.first_roots {
        ends.note(sign_root(&mut session, Some(file)));
    }
    for (draft, file) in work.drafts {
        ends.note(sign_draft(&mut session, draft, file.as_deref()).await);
    }
    if !work.statements.is_empty() {
        ends.note(sign_statements(&mut session, &work.statements).await);
    }
    ends.all()
}

/// How several acts ended: one that fails keeps none of the others from being done.
#[derive(Debug, Default)]
struct Ends {
    /// The first that is not [`Exit::Done`].
    exit: Option<Exit>,
    /// The failures, and how many there were.
    failure: Option<Failure>,
    failures: usize,
}

impl Ends {
    fn note(&mut self, ended: Outcome) {
        match ended {
            Ok(Exit::Done) => {}
            Ok(exit) => {
                self.exit.get_or_insert(exit);
            }
            Err(failure) => {
                self.failures += 1;
                if let Some(first) = &self.failure {
                    if failure.error.to_string() != first.error.to_string() {
                        output::note(&format!("warning: {:#}", failure.error));
                    }
                } else {
                    self.failure = Some(failure);
                }
            }
        }
    }

    /// The first failure if there was one, or else the first end that needs something more.
    fn all(self) -> Outcome {
        match self.failure {
            None => Ok(self.exit.unwrap_or(Exit::Done)),
            Some(failure) if self.failures == 1 => Err(failure),
            Some(failure) => Err(Failure {
                error: failure.error.context(format!("{} were not signed", self.failures)),
                ..failure
            }),
        }
    }
}

/// What is to be signed.
#[derive(Debug, Default)]
struct Work {
    /// Files with the fleet's first root.
    first_roots: Vec<PathBuf>,
    /// Next roots and heartbeats, with the file that is to get the signatures too.
    drafts: Vec<(Draft, Option<PathBuf>)>,
    statements: Vec<Digest>,
    /// How many were left out since no key of this machine may sign them.
    for_others: usize,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.first_roots.is_empty() && self.drafts.is_empty() && self.statements.is_empty()
    }
}

fn chosen(session: &Session, args: &SignArgs) -> Outcome<Work> {
    let mut work = Work::default();
    let drafts = drafts::open(session)?;
    let own = session.home.keys().list()?;
    // What this machine has signed already is somebody else's turn.
    // The signature of a key that a root has ended is nobody's any more.
    let mine = |digest: &Digest, root: Option<&Root>| {
        let held = session.replica().statement(digest);
        let signed = |id| held.is_some_and(|held| held.signatures.contains_key(id));
        let named = |id| root.is_none_or(|root| root.keys.contains_key(id));
        own.iter().any(|key| named(&key.id) && signed(&key.id))
    };
    if args.all {
        work.statements.extend(session.replica().judgement().pending().map(|(digest, _)| *digest));
        work.drafts.extend(drafts.iter().map(|draft| (draft.clone(), None)));
        let newest = session.replica().chain().newest();
        work.statements.retain(|digest| !mine(digest, newest));
        work.drafts.retain(|(draft, _)| !own.iter().any(|key| draft.signers().contains(&key.id)));
    }
    if args.fallen {
        let Fallen { statements, under } = fallen(session)?;
        let open = statements.into_iter().filter(|digest| !mine(digest, under.as_ref()));
        work.statements.extend(open);
    }
    let all = work.statements.len() + work.drafts.len();
    work.statements.retain(|digest| {
        let held = session.replica().statement(digest);
        held.is_some_and(|held| may_sign(session, &held.statement, &own))
    });
    work.drafts.retain(|(draft, _)| {
        let needs = draft.needs(session.replica().chain());
        own.iter().any(|key| needs.iter().any(|need| need.role.keys.contains(&key.id)))
    });
    work.for_others = all - work.statements.len() - work.drafts.len();
    for what in &args.what {
        let path = Path::new(what);
        if path.exists() {
            let bytes = fs::read(path).with_context(|| format!("cannot read {what}"))?;
            match Draft::read(&bytes, session.replica().chain()) {
                Ok(draft) => work.drafts.push((draft, Some(path.to_owned()))),
                Err(_) => work.first_roots.push(path.to_owned()),
            }
        } else if let Some(draft) = the_draft(&drafts, what) {
            work.drafts.push((draft.clone(), None));
        } else {
            work.statements.push(held(session, what)?);
        }
    }
    Ok(work)
}

/// Whether one of these keys may speak for a statement.
fn may_sign(session: &Session, statement: &Statement, own: &[KeyInfo]) -> bool {
    let Ok(root) = session.root() else { return false };
    let Ok(voices) = authority::speakers(root, statement, &BTreeSet::new()) else { return false };
    own.iter().any(|key| voices.iter().any(|voice| voice.speakers.keys.contains(&key.id)))
}

fn the_draft<'a>(drafts: &'a [Draft], start: &str) -> Option<&'a Draft> {
    let mut fits = drafts.iter().filter(|draft| draft.id().to_string().starts_with(start));
    fits.next().filter(|_| fits.next().is_none())
}

/// What has lost its signatures and is still the newest word on something, and what the draft of the
/// next root would let fall: signing the same bytes once more is enough (RULES R5).
fn fallen(session: &Session) -> Outcome<Fallen> {
    let lines = session.standing().lines.values();
    let newest = lines.filter_map(|line| line.versions.first());
    let fallen = newest.filter(|version| version.validity == Validity::Fallen);
    let mut statements: BTreeSet<Digest> = fallen.map(|version| version.statement).collect();
    let mut under = session.replica().chain().newest().cloned();
    if let Some(draft) = drafts::next_root(session)?
        && let Said::Root(root) = draft.said
    {
        statements.extend(rotation::batch(session, &root, &draft.lists));
        under = Some(*root);
    }
    Ok(Fallen { statements, under })
}

/// What is to be signed anew, and the root under which.
struct Fallen {
    statements: BTreeSet<Digest>,
    under: Option<Root>,
}

/// Signs the draft of a next root or of a heartbeat, after the author's preview.
async fn sign_draft(session: &mut Session, draft: Draft, file: Option<&Path>) -> Outcome {
    match &draft.said {
        Said::Root(said) => root::show_preview(session, said, &draft)?,
        Said::Heartbeat(said) => {
            output::lines(heartbeat::lines(session, said));
        }
    }
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    let id = draft.id();
    let ended = root::sign(session, draft).await?;
    let kept = drafts::open(session)?.into_iter().find(|kept| kept.id() == id);
    if let (Some(path), Some(kept)) = (file, kept) {
        fs::write(path, kept.to_json()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ended)
}

/// The held statement that the start of a digest means: one that waits, or one that is to be signed
/// once more.
fn held(session: &Session, start: &str) -> Outcome<Digest> {
    pending(session, start).or_else(|failure| statement(session, start).map_err(|_| failure))
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
    let (mut items, mut signed, mut ends) = (Vec::new(), Vec::new(), Ends::default());
    for digest in statements {
        match sign_statement(session, &mut signer, digest) {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                items.extend(entries);
                signed.push(*digest);
            }
            Err(failure) => ends.note(Err(failure)),
        }
    }
    if !items.is_empty() {
        ends.note(submit::submit(session, &items, &signed).await);
    }
    ends.all()
}

/// The entries of a statement with this machine's signatures, after its preview; none in a dry run.
fn sign_statement(
    session: &Session,
    signer: &mut Signer<'_>,
    digest: &Digest,
) -> Outcome<Vec<Item>> {
    let Some(held) = session.replica().statement(digest) else { return Ok(Vec::new()) };
    output::lines(review::statement(session, &held.statement));
    conflicts::refuse_contradiction(session.standing(), &held.statement)?;
    if session.global.dry_run {
        return Ok(Vec::new());
    }
    if !session.global.yes && !output::confirm("Add your signature?") {
        return Err(Failure::refused(format!("statement {} was not signed", digest.short())));
    }
    signer.sign(&held.statement)
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
    output::lines(review::root(&draft.root));
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    if !session.global.yes && !output::confirm("Add your signature?") {
        return Err(Failure::refused("nothing was signed").next("say --yes to sign without asking"));
    }
    for key in signers {
        let signing = session.open_key(&key.name)?;
        let signature = signing.sign(Context::Root, draft.payload())?;
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
            format!("it is held by {}", authority::holders(&draft.root, may.iter()).join(", ")),
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
pub(crate) fn approvals(session: &Session) -> Outcome<Vec<Fact>> {
    let chain = session.replica().chain();
    let mut rows: Vec<Fact> = drafts::open(session)?
        .iter()
        .map(|draft| Fact {
            name: draft.id().short(),
            about: draft.lacks(chain).unwrap_or_else(|| "is complete".into()),
            what: draft.title(),
        })
        .collect();
    let row = |digest: &Digest, root: Option<&Root>, mark: &str| {
        let held = session.replica().statement(digest)?;
        let signers = held.signatures.keys().copied().collect();
        Some(Fact {
            name: digest.short(),
            about: authority::statement_lacks(root?, &held.statement, &signers),
            what: format!("{mark}{}", review::headline(&held.statement)),
        })
    };
    let pending = session.replica().judgement().pending();
    rows.extend(pending.filter_map(|(digest, _)| row(digest, chain.newest(), "")));
    let Fallen { statements, under } = fallen(session)?;
    let fallen = statements.iter();
    rows.extend(fallen.filter_map(|digest| row(digest, under.as_ref(), "FALLEN ")));
    Ok(rows)
}
