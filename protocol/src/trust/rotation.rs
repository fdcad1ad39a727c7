//! What a root would change, before anyone signs it: what falls, who waits, and what to sign anew
//! (RULES R5). Pure: two judgements of the same statements are compared.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::Reach;
use crate::id::{Digest, KeyId, ResourceId};
use crate::resource::Kind;
use crate::target::UnknownProfile;
use crate::trust::{
    DigestList, Grounds, Held, Judge, Judgement, Line, Pending, Root, Stance, Standing, State,
    Validity, Verified,
};

/// What a root would change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// Statements that are valid now and would not be, each with what it would lack: the batch to
    /// sign anew. Signing the same bytes once more is enough.
    pub falls: BTreeMap<Digest, Pending>,
    /// Statements that would not count at all any more: void, or by a revoked key and not listed.
    pub ends: BTreeSet<Digest>,
    /// Ids that count now and would be unknown, with why.
    pub unknown: BTreeMap<(Kind, ResourceId), String>,
    /// Ids that are unknown now and would count.
    pub cured: BTreeSet<(Kind, ResourceId)>,
    /// Halts that stand now and would not.
    pub lifted: BTreeSet<Digest>,
    /// Halts that would stand again, since what lifted them falls.
    pub halted: BTreeSet<Digest>,
    /// Hosts that would wait, by what they would wait for: their own Host, or what reaches them.
    pub waits: BTreeMap<KeyId, BTreeSet<(Kind, ResourceId)>>,
    /// Hosts that would be members by their token alone, until somebody countersigns them (RULES S9).
    pub provisional: BTreeSet<KeyId>,
}

/// What `root`, not signed yet, would change above the chain of `grounds`. Lists that it names must
/// be among those of the grounds, or what they name counts as missing.
pub fn preview(grounds: &Grounds<'_>, root: Root) -> Preview {
    let mut verified = Verified::default();
    let mut judged = |grounds: &Grounds<'_>| {
        let mut judge = Judge::default();
        judge.anew(grounds, &mut verified);
        judge
    };
    let before = judged(grounds);
    let supposed = grounds.chain.supposing(root);
    let after = judged(&Grounds { chain: &supposed, ..*grounds });
    let mut preview = compare(before.judgement(), after.judgement());
    for (digest, held) in grounds.held {
        let was = before.judgement().stances.get(digest);
        let falls = was == Some(&Stance::Counts(Validity::Valid))
            && after.judgement().stances.get(digest) == Some(&Stance::Counts(Validity::Fallen));
        if falls && let Some(lacks) = after.lacks(held, &supposed, &mut verified) {
            preview.falls.insert(*digest, lacks);
        }
    }
    preview
}

fn compare(before: &Judgement, after: &Judgement) -> Preview {
    let mut preview = Preview::default();
    for (digest, stance) in &before.stances {
        let counted = matches!(stance, Stance::Counts(_));
        if counted && !matches!(after.stances.get(digest), Some(Stance::Counts(_))) {
            preview.ends.insert(*digest);
        }
    }
    let standing = |standing: &Standing| -> BTreeSet<Digest> {
        standing.halts.iter().map(|halt| halt.version.statement).collect()
    };
    let (was, is) = (standing(&before.standing), standing(&after.standing));
    preview.lifted = was.difference(&is).copied().collect();
    preview.halted = is.difference(&was).copied().collect();
    let by_token = |standing: &Standing| -> BTreeSet<KeyId> {
        let tokens = standing.of_kind(Kind::Host).filter(|(_, line)| {
            line.state == State::Counts
                && line.versions.first().is_some_and(|top| top.token.is_some())
        });
        tokens.filter_map(|(id, _)| id.as_host()).collect()
    };
    let before_by_token = by_token(&before.standing);
    preview.provisional = &by_token(&after.standing) - &before_by_token;
    let places: Vec<Reach> =
        hosts(&before.standing).map(|host| Reach::new(&before.standing, host)).collect();
    for (id, line) in &before.standing.lines {
        let later = after.standing.lines.get(id);
        match (&line.state, later.map(|later| &later.state)) {
            (State::Counts, Some(State::Counts)) | (State::Unknown(_), Some(State::Unknown(_))) => {
            }
            (State::Unknown(_), Some(State::Counts)) => drop(preview.cured.insert(id.clone())),
            (State::Unknown(_), None) => {}
            (State::Counts, later) => {
                let why = match later {
                    Some(State::Unknown(why)) => why.clone(),
                    Some(State::Counts) | None => "it would not count at all".to_owned(),
                };
                preview.unknown.insert(id.clone(), why);
                note_waiting(&mut preview, id, line, &places);
            }
        }
    }
    preview
}

fn hosts(standing: &Standing) -> impl Iterator<Item = KeyId> {
    standing.of_kind(Kind::Host).filter_map(|(id, _)| id.as_host())
}

fn note_waiting(preview: &mut Preview, id: &(Kind, ResourceId), line: &Line, places: &[Reach]) {
    let reached = |reach: &&Reach| match id {
        (Kind::Host, host) => host.as_host() == Some(reach.host()),
        (_, _) => {
            let place = reach.place();
            let mut versions = line.versions.iter();
            versions.any(|version| version.reaches(place, UnknownProfile::Matches))
        }
    };
    for reach in places.iter().filter(reached) {
        preview.waits.entry(reach.host()).or_default().insert(id.clone());
    }
}

/// The lists for a key that ends: all that it signed and that counts, halts and resumes included
/// (RULES R5). Drafts are not listed: they could be completed later.
pub fn lists_of<'a>(
    key: &KeyId,
    held: impl IntoIterator<Item = (&'a Digest, &'a Held)>,
    judgement: &Judgement,
) -> Vec<DigestList> {
    let counts = |digest: &Digest| matches!(judgement.stances.get(digest), Some(Stance::Counts(_)));
    let signed = held
        .into_iter()
        .filter(|(digest, held)| held.signatures.contains_key(key) && counts(digest));
    DigestList::of(&signed.map(|(digest, _)| *digest).collect())
}
