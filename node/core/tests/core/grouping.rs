//! Push groups of a large site (DESIGN section 5).

use std::collections::BTreeSet;

use daymark_core::effect::{Admission, Effect, Topic};
use daymark_core::event::Carried;
use daymark_protocol::document::{Facts, ReportWriter};
use daymark_protocol::id::KeyId;
use daymark_protocol::trust::SigningKey;
use daymark_protocol::wire::{GossipMessage, Liveness, SyncMessage};

use crate::support::{Asked, Fleet, Rig, entries, key, start, talk};

/// Enough for two groups, and for no overlap.
const HOSTS: u16 = 300;

fn machine(number: u16) -> SigningKey {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_seed(seed)
}

fn site(fleet: &Fleet) -> Vec<Carried> {
    entries((0..HOSTS).flat_map(|number| fleet.enroll(&machine(number), "berlin")))
}

fn report(fleet: &Fleet, host: &SigningKey) -> Vec<u8> {
    let mut facts = Facts::default();
    facts.set_integer(&["facts", "step"], 1);
    let mut writer = ReportWriter::new(fleet.id, host.public().id(), 1, None);
    writer.write(host, &facts).unwrap().reports[0].bytes().to_vec()
}

fn is_first_group(host: &KeyId) -> bool {
    host.0[0] < 0x80
}

fn of_group(first: bool) -> SigningKey {
    (0..HOSTS).map(machine).find(|host| is_first_group(&host.public().id()) == first).unwrap()
}

fn topics(asked: &[&Asked]) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for effect in asked.iter().flat_map(|asked| &asked.immediate) {
        match effect {
            Effect::Subscribe(Topic(topic)) => drop(topics.insert(topic.clone())),
            Effect::Unsubscribe(Topic(topic)) => drop(topics.remove(topic)),
            _ => {}
        }
    }
    topics
}

fn published(asked: &Asked) -> Vec<(String, GossipMessage)> {
    let all = asked.immediate.iter().chain(&asked.deferred);
    all.filter_map(|effect| match effect {
        Effect::Publish { topic, bytes } => {
            Some((topic.0.clone(), GossipMessage::decode(bytes).unwrap()))
        }
        _ => None,
    })
    .collect()
}

fn group_topic(fleet: &Fleet, first: bool) -> String {
    format!("daymark/{}/site/berlin/{}", fleet.id, u8::from(!first))
}

#[test]
fn a_large_site_pushes_statements_to_all_and_reports_to_the_own_group() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let own = is_first_group(&rig.id());
    let grown = rig.submit(site(&fleet));
    let names = topics(&[&grown]);
    assert_eq!(names, [group_topic(&fleet, own)].into(), "beside the site's and the fleet's");

    let (near, far) = (of_group(own), of_group(!own));
    let handed = |rig: &mut Rig, host: &SigningKey| {
        published(&rig.submit(vec![Carried::Report(report(&fleet, host))]))
    };
    for (host, first) in [(&near, own), (&far, !own)] {
        let said = handed(&mut rig, host);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].0, group_topic(&fleet, first), "each in the group of its host");
    }
    let ordered = published(&rig.submit(entries(fleet.site())));
    let entries = ordered.iter().filter(|(_, it)| matches!(it, GossipMessage::Entries(_)));
    let to: Vec<&str> = entries.map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(to, [format!("daymark/{}/fleet", fleet.id)], "what was signed goes to all");
    let told: Vec<String> = (0..200)
        .flat_map(|_| published(&rig.wait(60_000 * 60)))
        .filter(|(_, message)| matches!(message, GossipMessage::Liveness(_)))
        .map(|(topic, _)| topic)
        .collect();
    let beyond = told.iter().filter(|topic| !topic.ends_with(['0', '1'])).count();
    assert!(beyond > 0 && beyond < told.len(), "{beyond} of {} to the whole site", told.len());
}

#[test]
fn what_other_groups_report_comes_by_repair_and_is_not_pushed_again() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.submit(site(&fleet));
    let own = is_first_group(&rig.id());
    let peer = machine(0).public().id();
    rig.connect(peer, Admission::Member);
    for (host, pushed) in [(of_group(own), 1), (of_group(!own), 0)] {
        let repaired = SyncMessage::Reports(vec![report(&fleet, &host)]);
        let said = published(&rig.receive(peer, &repaired));
        assert_eq!(said.len(), pushed, "{said:?}");
        let head = rig.node.replica().unwrap().head(&host.public().id());
        assert_eq!(head.map(|head| head.count), Some(1), "it is held");
    }
}

#[test]
fn a_node_that_knows_of_fewer_hosts_converges_with_one_that_splits_the_site() {
    let fleet = Fleet::new(1, 1);
    let mut large = Rig::member(&fleet, 10);
    large.submit(site(&fleet));
    let mut small = Rig::member(&fleet, 11);
    for rig in [&mut large, &mut small] {
        rig.submit(entries(fleet.enroll(&key(10), "berlin")));
        rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    }
    // What it says goes to the whole site: whoever splits it hears that too.
    let first = small.submit(vec![Carried::Report(report(&fleet, &key(11)))]);
    let said = published(&first);
    assert!(said.iter().all(|(topic, _)| topic.ends_with("site/berlin")), "{said:?}");
    let (near, far) = (of_group(true), of_group(false));
    for host in [&near, &far] {
        large.submit(vec![Carried::Report(report(&fleet, host))]);
    }
    for _ in 0..4 {
        talk(&mut large, &mut small, Admission::Member);
    }
    let held = |rig: &Rig| {
        let replica = rig.node.replica().unwrap();
        let documents: Vec<_> = replica.documents().cloned().collect();
        let prints: Vec<_> = documents.iter().map(|it| replica.fingerprint(it)).collect();
        let heads: Vec<_> = replica.heads().map(|(host, head)| (*host, head.hash)).collect();
        (documents, prints, heads)
    };
    assert_eq!(held(&large), held(&small));
    assert!(small.node.replica().unwrap().head(&far.public().id()).is_some());
}

#[test]
fn links_are_kept_within_the_own_group_and_with_the_others() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.submit(site(&fleet));
    let own = is_first_group(&rig.id());
    let neighbour = machine(0).public().id();
    rig.connect(neighbour, Admission::Member);
    for host in (1..HOSTS).map(machine) {
        let liveness = Liveness {
            fleet: fleet.id,
            key: host.public(),
            generation: 1,
            count: 1,
            wall: start(),
            synchronised: true,
            addresses: vec!["/ip4/10.0.0.1/tcp/1".into()],
            fetching: None,
        };
        rig.gossip(neighbour, GossipMessage::Liveness(liveness.sign(&host)).encode());
    }
    let mut connected = vec![neighbour];
    for _ in 0..4 {
        let asked = rig.wait(5_000);
        let dials: Vec<KeyId> = asked
            .immediate
            .iter()
            .filter_map(|effect| match effect {
                Effect::Dial { peer, .. } => Some(*peer),
                _ => None,
            })
            .collect();
        for peer in dials {
            rig.connect(peer, Admission::Member);
            connected.push(peer);
        }
    }
    let inside = connected.iter().filter(|peer| is_first_group(peer) == own).count();
    assert!(connected.len() == 8 && inside >= 4 && connected.len() - inside >= 2, "{inside}");
}
