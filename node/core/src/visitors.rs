//! Laptops on the site's network: they are no machines of the fleet, come with a peer key made for
//! one command, and show in the join exchange that a role key of the newest root speaks through it
//! (DESIGN section 3).
//!
//! A proof counts once, for the challenge that this node drew for that peer key. What it opens is
//! the control channel alone, and only while the newest root names the key.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::Role;
use daymark_protocol::time::MonoTime;
use daymark_protocol::trust::{Context, Root, Signature};
use daymark_protocol::wire::{Challenge, JoinMessage};

use crate::conduct::Fault;
use crate::effect::{Admission, Batch, Effect};
use crate::node::Node;

/// How long a challenge may be answered, ms: a person may have to touch a token.
const CHALLENGE_MS: u64 = 120_000;
/// Most challenges that wait: a node has room for a quarter as many strangers.
const CHALLENGES_MAX: usize = 64;
/// How long a laptop may be away before it must prove itself anew, ms: admission closes its
/// connection, and it comes back at once.
const AWAY_MS: u64 = 60_000;
/// Most laptops that are let in: a handful of people, each with a command or two.
const VISITS_MAX: usize = 16;
/// Most of them by one key, so that a stolen one keeps nobody out.
const VISITS_PER_KEY_MAX: usize = 4;

/// What a laptop may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Whether what it hands in is taken; else it may only read.
    pub(crate) may_submit: bool,
}

impl Rights {
    /// What a key may do under a root: whoever has any role may read, and whoever has one that
    /// speaks may submit. A delegation that ended counts no more than a key that is not named.
    fn of(root: &Root, key: &KeyId, now: daymark_protocol::time::Now) -> Option<Self> {
        let own = root.roles.iter().filter(|(_, held)| held.keys.contains(key));
        let given = root.delegations.values();
        let given =
            given.filter(|given| now.latest < given.until && given.speakers.keys.contains(key));
        let roles: Vec<Role> =
            own.map(|(role, _)| *role).chain(given.map(|given| given.role)).collect();
        let may_submit = roles.iter().any(|role| *role != Role::View);
        (!roles.is_empty()).then_some(Self { may_submit })
    }
}

/// A laptop that was let in.
#[derive(Clone, Copy, Debug)]
struct Visit {
    /// The role key that spoke for it.
    key: KeyId,
    since: MonoTime,
    /// When its last connection closed, if it is not there.
    away_since: Option<MonoTime>,
}

/// Laptops, by their peer keys.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    challenges: BTreeMap<KeyId, (Challenge, MonoTime)>,
    visits: BTreeMap<KeyId, Visit>,
}

impl Visitors {
    /// The role key that speaks for a laptop, if it was let in and did not stay away.
    fn key_of(&self, peer: &KeyId, now: MonoTime) -> Option<KeyId> {
        let visit = self.visits.get(peer)?;
        let away = visit.away_since.is_some_and(|since| now.since_ms(since) >= AWAY_MS);
        (!away).then_some(visit.key)
    }

    /// Notes a challenge for a peer, in place of the one before.
    fn challenge(&mut self, peer: KeyId, challenge: Challenge, now: MonoTime) {
        self.challenges.retain(|_, (_, drawn)| now.since_ms(*drawn) < CHALLENGE_MS);
        if self.challenges.len() >= CHALLENGES_MAX && !self.challenges.contains_key(&peer) {
            let oldest = self.challenges.iter().min_by_key(|(_, (_, drawn))| *drawn);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.challenges.remove(&oldest);
            }
        }
        self.challenges.insert(peer, (challenge, now));
    }

    /// Takes the challenge of a peer: it is good for one proof.
    fn take_challenge(&mut self, peer: &KeyId, now: MonoTime) -> Option<Challenge> {
        let (challenge, drawn) = self.challenges.remove(peer)?;
        (now.since_ms(drawn) < CHALLENGE_MS).then_some(challenge)
    }

    /// Lets a laptop in. Of too many by one key the first gives way; false if there is no room
    /// otherwise.
    fn let_in(&mut self, peer: KeyId, key: KeyId, now: MonoTime) -> Result<Option<KeyId>, Full> {
        let mut same: Vec<(MonoTime, KeyId)> = self
            .visits
            .iter()
            .filter(|(other, visit)| visit.key == key && **other != peer)
            .map(|(other, visit)| (visit.since, *other))
            .collect();
        same.sort();
        let gives_way =
            same.first().filter(|_| same.len() >= VISITS_PER_KEY_MAX).map(|(_, first)| *first);
        if let Some(first) = gives_way {
            self.visits.remove(&first);
        } else if self.visits.len() >= VISITS_MAX && !self.visits.contains_key(&peer) {
            return Err(Full);
        }
        self.visits.insert(peer, Visit { key, since: now, away_since: None });
        Ok(gives_way)
    }

    /// Whether anybody is let in.
    pub(crate) fn is_empty(&self) -> bool {
        self.visits.is_empty()
    }

    /// A laptop came back.
    pub(crate) fn came(&mut self, peer: &KeyId, now: MonoTime) {
        let here = self.key_of(peer, now).is_some();
        if let Some(visit) = self.visits.get_mut(peer).filter(|_| here) {
            visit.away_since = None;
        }
    }

    /// A peer's last connection closed.
    pub(crate) fn left(&mut self, peer: &KeyId, now: MonoTime) {
        self.challenges.remove(peer);
        if let Some(visit) = self.visits.get_mut(peer) {
            visit.away_since = Some(now);
        }
    }
}

/// There is no room for one more laptop.
#[derive(Clone, Copy, Debug)]
struct Full;

impl Node {
    /// What a laptop may do at present.
    pub(crate) fn visitor_rights(&self, peer: &KeyId) -> Option<Rights> {
        let key = self.visitors.key_of(peer, self.reading.mono)?;
        let root = self.replica.as_ref()?.chain().newest()?;
        Rights::of(root, &key, self.now())
    }

    /// Who sits at a laptop that is let in, as the newest root calls the key's holder.
    pub(crate) fn visitor_name(&self, peer: &KeyId) -> Option<String> {
        let key = self.visitors.key_of(peer, self.reading.mono)?;
        let root = self.replica.as_ref()?.chain().newest()?;
        let holder = root.keys.get(&key).map(|held| held.holder.as_str());
        let who = holder.filter(|holder| !holder.is_empty());
        Some(format!("laptop of {}", who.map_or_else(|| key.short(), str::to_owned)))
    }

    /// A laptop asks whether it is let in.
    pub(crate) fn visit_asked(&mut self, peer: KeyId, batch: &mut Batch) {
        if let Some(rights) = self.visitor_rights(&peer) {
            return self.welcome(peer, rights, batch);
        }
        if self.newest_root_for_visits().is_none() {
            let why = "this node does not know a newest root that holds: bring the next one on a \
                       stick, or use the machine's own control socket";
            return self.turn_away(peer, why.to_owned(), batch);
        }
        let challenge = Challenge(self.challenge_draws.bytes());
        self.visitors.challenge(peer, challenge, self.reading.mono);
        self.send_join(peer, &JoinMessage::Challenge(challenge), batch);
    }

    fn newest_root_for_visits(&self) -> Option<&Root> {
        self.replica.as_ref()?.chain().newest()
    }

    /// A laptop shows that a role key speaks through it.
    pub(crate) fn proof_shown(
        &mut self,
        peer: KeyId,
        key: KeyId,
        signature: &Signature,
        batch: &mut Batch,
    ) {
        let challenge = self.visitors.take_challenge(&peer, self.reading.mono);
        let judged = self.judge_proof(&peer, &key, challenge, signature);
        let judged = judged.and_then(|rights| {
            let full = |Full| {
                let why = format!("{VISITS_MAX} laptops are being served: try again when one left");
                (why, None)
            };
            let first = self.visitors.let_in(peer, key, self.reading.mono).map_err(full)?;
            Ok((rights, first))
        });
        match judged {
            Ok((rights, first)) => {
                self.welcome(peer, rights, batch);
                if let Some(first) = first {
                    batch.now(Effect::Admit { peer: first, admission: Admission::Stranger });
                }
                self.readmit(batch);
            }
            Err((why, fault)) => {
                self.turn_away(peer, why, batch);
                if let Some(fault) = fault {
                    self.blame(peer, fault, 1, batch);
                }
            }
        }
    }

    /// What a proof is worth; else why nothing, for people, and what the peer is to blame for.
    fn judge_proof(
        &self,
        peer: &KeyId,
        key: &KeyId,
        challenge: Option<Challenge>,
        signature: &Signature,
    ) -> Result<Rights, (String, Option<Fault>)> {
        let Some(challenge) = challenge else {
            let why = "this node waits for no proof over this connection: each challenge is good \
                       for one, for two minutes";
            return Err((why.to_owned(), Some(Fault::WrongProof)));
        };
        let root = self.newest_root_for_visits();
        let fleet = self.replica.as_ref().and_then(|replica| replica.chain().fleet());
        let (Some(root), Some(fleet)) = (root, fleet) else {
            return Err(("this node does not know a newest root that holds".to_owned(), None));
        };
        let payload = challenge.payload(&fleet, peer, &self.own);
        let held = root.keys.get(key);
        let rights = Rights::of(root, key, self.now());
        match (held, rights) {
            (Some(held), Some(rights))
                if held.public.verify(Context::Visit, &payload, signature) =>
            {
                Ok(rights)
            }
            (Some(_), Some(_)) => {
                let why = format!(
                    "the proof does not verify under key {} for this fleet, these two peers and \
                     this challenge",
                    key.short()
                );
                Err((why, Some(Fault::WrongProof)))
            }
            (Some(_) | None, _) => {
                let why = format!(
                    "root {}, the newest here, gives key {} no role: it was retired or revoked, \
                     its delegation ended, or it never had one",
                    root.version,
                    key.short()
                );
                Err((why, Some(Fault::WrongProof)))
            }
        }
    }

    fn welcome(&mut self, peer: KeyId, rights: Rights, batch: &mut Batch) {
        let message = JoinMessage::Welcome { may_submit: rights.may_submit };
        self.send_join(peer, &message, batch);
    }

    fn turn_away(&mut self, peer: KeyId, why: String, batch: &mut Batch) {
        self.send_join(peer, &JoinMessage::TurnedAway { why }, batch);
    }

    /// Ends the visits of those whose key the newest root does not name any more, and of those who
    /// stayed away: a peer key that was thrown away comes never again.
    pub(crate) fn end_visits(&mut self, batch: &mut Batch) {
        let peers: Vec<KeyId> = self.visitors.visits.keys().copied().collect();
        for peer in peers {
            if self.visitor_rights(&peer).is_none() {
                self.visitors.visits.remove(&peer);
                if !self.peers.contains_key(&peer) {
                    batch.now(Effect::Admit { peer, admission: Admission::Stranger });
                }
            }
        }
    }

    /// Whether what a laptop hands in is looked at; if not, why.
    pub(crate) fn may_submit(&mut self, peer: &KeyId) -> Result<(), String> {
        let Some(rights) = self.visitor_rights(peer) else {
            return Err("this laptop is not let in any more: the newest root names its key no \
                        longer, or it was away"
                .into());
        };
        if !rights.may_submit {
            return Err(
                "the role `view` reads only: nothing that it hands in is taken; use a key \
                        of another role (--key), or let who has one run `daymarkctl sync`"
                    .into(),
            );
        }
        if !self.spend(peer) {
            return Err("this laptop hands in too much at once; try again in a minute".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_a_key_that_floods_gives_way_to_itself_and_keeps_nobody_out() {
        let mut visitors = Visitors::default();
        let (flooding, other) = (KeyId([1; 32]), KeyId([2; 32]));
        for number in 0..100 {
            let peer = KeyId([number + 10; 32]);
            assert!(visitors.let_in(peer, flooding, MonoTime(u64::from(number))).is_ok());
        }
        assert_eq!(visitors.visits.len(), VISITS_PER_KEY_MAX);
        assert!(visitors.key_of(&KeyId([109; 32]), MonoTime(100)).is_some(), "the newest stays");
        assert!(visitors.let_in(KeyId([3; 32]), other, MonoTime(100)).is_ok());
    }

    #[test]
    fn a_challenge_is_good_for_one_proof_within_its_time_and_its_connection() {
        let (peer, challenge) = (KeyId([1; 32]), Challenge([7; 32]));
        let mut visitors = Visitors::default();
        visitors.challenge(peer, challenge, MonoTime(0));
        assert_eq!(visitors.take_challenge(&peer, MonoTime(1)), Some(challenge));
        assert_eq!(visitors.take_challenge(&peer, MonoTime(1)), None);
        visitors.challenge(peer, challenge, MonoTime(0));
        assert_eq!(visitors.take_challenge(&peer, MonoTime(CHALLENGE_MS)), None);
        visitors.challenge(peer, challenge, MonoTime(0));
        visitors.left(&peer, MonoTime(1));
        assert_eq!(visitors.take_challenge(&peer, MonoTime(2)), None);
    }

    #[test]
    fn i9_challenges_that_nobody_answers_take_bounded_room() {
        let mut visitors = Visitors::default();
        for number in 0..=255 {
            let time = MonoTime(u64::from(number));
            visitors.challenge(KeyId([number; 32]), Challenge([number; 32]), time);
        }
        assert_eq!(visitors.challenges.len(), CHALLENGES_MAX);
        let newest = visitors.take_challenge(&KeyId([255; 32]), MonoTime(256));
        assert_eq!(newest, Some(Challenge([255; 32])));
    }

    #[test]
    fn a_laptop_that_stays_away_must_prove_itself_anew() {
        let (peer, key) = (KeyId([1; 32]), KeyId([2; 32]));
        let mut visitors = Visitors::default();
        visitors.let_in(peer, key, MonoTime(0)).unwrap();
        visitors.left(&peer, MonoTime(0));
        assert_eq!(visitors.key_of(&peer, MonoTime(AWAY_MS - 1)), Some(key));
        visitors.came(&peer, MonoTime(AWAY_MS - 1));
        assert_eq!(visitors.key_of(&peer, MonoTime(9 * AWAY_MS)), Some(key));
        visitors.left(&peer, MonoTime(0));
        visitors.came(&peer, MonoTime(AWAY_MS));
        assert_eq!(visitors.key_of(&peer, MonoTime(AWAY_MS)), None);
    }
}
