//! Who may read what is written to a stick: machines that are enrolled, keys that the newest root
//! names, tokens in force, and keys that a draft of the next root names, once a root key of the
//! present one signed it: who comes must see what they sign. A draft that nobody signed gives
//! nothing, since a courier may have put it there.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Kind, Role, Spec};
use daymark_protocol::sealed::Recipient;
use daymark_protocol::trust::PublicKey;

use crate::drafts::{self, Said};
use crate::exit::Outcome;
use crate::names;
use crate::session::Session;

/// Those who may read what is written now.
pub(super) fn of(session: &Session) -> Outcome<BTreeSet<Recipient>> {
    let standing = session.standing();
    let chain = session.replica().chain();
    let root = chain.newest().or_else(|| chain.held().last());
    let named = root.into_iter().flat_map(|root| root.keys.values());
    let mut recipients: BTreeSet<Recipient> =
        named.map(|key| Recipient::from(&key.public)).collect();
    let hosts = names::hosts(standing).into_iter().map(|(_, _, spec)| spec.public_key.as_str());
    let tokens = standing.of_kind(Kind::Token).filter_map(|(_, line)| {
        match names::living(line).map(|version| &version.spec) {
            Some(Ok(Some(Spec::Token(token)))) => Some(token.public_key.as_str()),
            Some(_) | None => None,
        }
    });
    recipients.extend(hosts.chain(tokens).filter_map(recipient));
    for draft in drafts::open(session)? {
        let Said::Root(next) = &draft.said else { continue };
        let role = root.and_then(|root| root.role(Role::Root));
        if role.is_some_and(|role| !role.keys.is_disjoint(&draft.signers())) {
            recipients.extend(next.keys.values().map(|key| Recipient::from(&key.public)));
        }
    }
    Ok(recipients)
}

/// Keys that drafts of the next root name.
pub(super) fn proposed(session: &Session) -> Outcome<BTreeSet<KeyId>> {
    let drafts = drafts::open(session)?;
    let roots = drafts.iter().filter_map(|draft| match &draft.said {
        Said::Root(root) => Some(&root.keys),
        Said::Heartbeat(_) => None,
    });
    Ok(roots.flat_map(|keys| keys.keys().copied()).collect())
}

fn recipient(hex: &str) -> Option<Recipient> {
    let raw: [u8; 32] = HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()?;
    PublicKey::from_bytes(raw).ok().as_ref().map(Recipient::from)
}
