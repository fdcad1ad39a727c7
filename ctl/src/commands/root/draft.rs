//! A next root from its beginning to its signatures.

use std::collections::BTreeSet;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::Role;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{ChainWait, DigestList, RefusedRoot, RoleKeys, Root, RootDraft};

use crate::cli::NextRootArgs;
use crate::commands::submit;
use crate::drafts::{self, Draft, Said};
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::KeyInfo;
use crate::session::Session;
use crate::{output, times};

/// How much later a root expires that only moves its expiry on.
const EXTENDED: &str = "365d";

/// A root being written, with what its making needs.
#[derive(Debug)]
pub(super) struct NextRoot<'a> {
    pub(super) session: &'a Session,
    pub(super) before: Root,
    pub(super) draft: RootDraft,
    pub(super) lists: Vec<DigestList>,
    args: NextRootArgs,
}

impl<'a> NextRoot<'a> {
    /// The root after the newest one, saying the same.
    pub(super) fn begin(session: &'a Session, args: NextRootArgs) -> Outcome<Self> {
        if let Some(ChainWait::Rivals { version }) = session.replica().chain().wait() {
            return Err(Failure::refused(format!(
                "there are rival roots of version {version}, and under neither can be told what falls"
            ))
            .next("settle them first: `daymarkctl root extend`, signed by the thresholds of all"));
        }
        let before = session.root()?.clone();
        refuse_second(session, &args)?;
        let expires = expiry(&args, before.expires)?;
        let draft = RootDraft::after(&before, times::now(), expires);
        Ok(Self { session, before, draft, lists: Vec::new(), args })
    }

    /// The root that moves the expiry on, and settles rivals if there are any (RULES R4).
    pub(super) fn extend(session: &'a Session, mut args: NextRootArgs) -> Outcome<Self> {
        args.expires_in.get_or_insert_with(|| EXTENDED.to_owned());
        let chain = session.replica().chain();
        let Some(ChainWait::Rivals { version }) = chain.wait() else {
            return Self::begin(session, args);
        };
        refuse_second(session, &args)?;
        let newest = chain.newest_version();
        if *version != newest {
            return Err(Failure::refused(format!(
                "root {newest} lacks a threshold of a rival root of version {version}"
            ))
            .next("have the holders of that rival's root keys sign the newest root too"));
        }
        let rivals: Vec<&Root> = chain.held().filter(|root| root.version == newest).collect();
        let expires = expiry(&args, WallTime::EPOCH)?;
        let draft = RootDraft::settling(&rivals, times::now(), expires);
        let (Some(draft), Some(before)) = (draft, rivals.first()) else {
            return Err(Failure::new(Exit::Failed, "no root is held"));
        };
        let before = (*before).clone();
        Ok(Self { session, before, draft, lists: Vec::new(), args })
    }

    /// The draft, and whether it is only to be shown.
    pub(super) fn finish(mut self) -> Outcome<(Draft, bool)> {
        for threshold in &self.args.thresholds {
            set_threshold(&mut self.draft, threshold)?;
        }
        let (payload, root) = self.draft.finish().map_err(|refused| self.refusal(refused))?;
        Ok((Draft::root(payload, root, self.lists), self.args.preview))
    }

    fn refusal(&self, refused: RefusedRoot) -> Failure {
        let too_few = |keys: &RoleKeys| keys.threshold as usize > keys.keys.len();
        let lacks = |what: &str, keys: &RoleKeys| {
            let (needs, has) = (keys.threshold, keys.keys.len());
            Failure::refused(format!("{what} needs {needs} keys and would have {has}"))
        };
        if let Some((role, keys)) = self.draft.roles.iter().find(|(_, keys)| too_few(keys)) {
            return lacks(&format!("role {role}"), keys).next(format!(
                "name who takes over with --successor NAME=PUBLIC-KEY, or lower it: --threshold {role}=K"
            ));
        }
        let mut delegations = self.draft.delegations.iter();
        match delegations.find(|(_, given)| too_few(&given.speakers)) {
            Some((name, given)) => lacks(&format!("delegation {name}"), &given.speakers).next(format!(
                "name who takes over with --successor NAME=PUBLIC-KEY, or end it first: `daymarkctl root undelegate {name}`"
            )),
            None => Failure::refused(format!("the root would make no sense: {refused}")),
        }
    }
}

/// Two roots of one version that both get their signatures stop the whole fleet (RULES R4).
fn refuse_second(session: &Session, args: &NextRootArgs) -> Outcome<()> {
    match drafts::next_root(session)? {
        Some(draft) if !args.preview && !session.global.dry_run => Err(Failure::refused(format!(
            "a draft of {} waits for signatures already: it {}",
            draft.title(),
            draft.lacks(session.replica().chain()).unwrap_or_else(|| "is complete".into())
        ))
        .next(
            "two roots of one version would stop the fleet: finish that one, or `daymarkctl root \
             discard` it if nobody else has it",
        )),
        Some(_) | None => Ok(()),
    }
}

fn expiry(args: &NextRootArgs, otherwise: WallTime) -> Outcome<WallTime> {
    let length = args.expires_in.as_deref().map(times::length_ms).transpose()?;
    Ok(length.map_or(otherwise, |ms| times::now().plus_ms(ms)))
}

fn set_threshold(draft: &mut RootDraft, text: &str) -> Outcome<()> {
    let bad =
        || Failure::usage(format!("{text:?} is not a threshold")).next("write it like policy=2");
    let (name, count) = text.split_once('=').ok_or_else(bad)?;
    let role = Role::ALL.into_iter().find(|role| role.name() == name).ok_or_else(bad)?;
    let keys = draft.roles.get_mut(&role).ok_or_else(|| {
        Failure::usage(format!("nobody has the role {role} yet"))
            .next(format!("`daymarkctl root add-key NAME=PUBLIC-KEY --role {role}`"))
    })?;
    keys.threshold = count.parse().map_err(|_| bad())?;
    Ok(())
}

/// Adds this machine's signatures to a draft, keeps it, and takes it in once it has all it needs.
pub(crate) async fn sign(session: &mut Session, mut draft: Draft) -> Outcome {
    let keys = signers(session, &draft)?;
    if !session.global.yes && !output::confirm("Sign this?") {
        return Err(Failure::refused("nothing was signed").next("say --yes to sign without asking"));
    }
    for key in keys {
        let opened = session.open_key(&key.name)?;
        let (context, payload) = draft.message();
        let signature = opened.sign(context, payload)?;
        draft.add(session.replica().chain(), key.id, signature);
    }
    let draft = drafts::keep(session, &draft)?;
    let Some(items) = drafts::complete(session, &draft)? else {
        let chain = session.replica().chain();
        let lacks = draft.lacks(chain).unwrap_or_default();
        output::text(&format!("The {} {lacks}.", draft.title()));
        output::text("Next: `daymarkctl sync FOLDER`, and pass the folder to another holder.");
        return Ok(Exit::Pending);
    };
    output::text(&format!("Signed: {}.", draft.title()));
    if let (Said::Root(_), Some(pin)) = (&draft.said, session.replica().chain().newest_pin()) {
        output::text(&format!(
            "The fleet's fingerprint is {pin} from now on; older ones still do."
        ));
    }
    submit::deliver(session, &items).await
}

/// This machine's keys that still help a draft.
fn signers(session: &Session, draft: &Draft) -> Outcome<Vec<KeyInfo>> {
    let needs = draft.needs(session.replica().chain());
    let may: BTreeSet<KeyId> = needs.iter().flat_map(|need| &need.role.keys).copied().collect();
    let chosen = &session.global.keys;
    let mut keys = session.home.keys().list()?;
    keys.retain(|key| chosen.is_empty() || chosen.contains(&key.name));
    keys.retain(|key| may.contains(&key.id));
    let lacks = || draft.lacks(session.replica().chain()).unwrap_or_else(|| "is complete".into());
    if keys.is_empty() {
        return Err(Failure::refused(format!(
            "no key of this machine may sign the {}: it {}",
            draft.title(),
            lacks()
        )));
    }
    refuse_rival(session, draft, &keys)?;
    let mut signed = draft.signers();
    keys.retain(|key| {
        let helps = !chosen.is_empty()
            || needs
                .iter()
                .any(|need| need.role.keys.contains(&key.id) && !need.role.count(&signed).is_met());
        helps && signed.insert(key.id)
    });
    if keys.is_empty() && draft.lacks(session.replica().chain()).is_some() {
        return Err(Failure::refused(format!(
            "this machine's keys have signed the {} already: it {}",
            draft.title(),
            lacks()
        )));
    }
    Ok(keys)
}

/// Who signed one root of a version signs no other one of it.
fn refuse_rival(session: &Session, draft: &Draft, keys: &[KeyInfo]) -> Outcome<()> {
    let Said::Root(root) = &draft.said else { return Ok(()) };
    let rival = drafts::open(session)?.into_iter().find(|other| {
        let same = matches!(&other.said, Said::Root(other) if other.version == root.version);
        let signers = other.signers();
        same && other.id() != draft.id() && keys.iter().any(|key| signers.contains(&key.id))
    });
    match rival {
        Some(rival) => Err(Failure::refused(format!(
            "this machine signed another draft of root {}, {}",
            root.version,
            rival.id().short()
        ))
        .next("two roots of one version would stop the fleet: agree on one of them")),
        None => Ok(()),
    }
}
