//! I10: once the network heals and nobody writes, all replicas of a group hold the same.

use std::collections::BTreeMap;

use daymark_protocol::document::{DocumentId, site_document};

use super::Check;
use crate::world::World;

/// At the end: the disks of all running machines hold the same roots and entries of the fleet, those of a
/// site the same of the site, and the same newest reports of it.
#[derive(Debug, Default)]
pub(super) struct Converges;

impl Check for Converges {
    fn end(&mut self, world: &World) -> Vec<(usize, String)> {
        differences(world)
    }
}

/// Where replicas of a group differ.
pub(super) fn differences(world: &World) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fleet: Option<(usize, Vec<_>)> = None;
    let mut sites: BTreeMap<usize, (usize, Vec<_>, Vec<_>)> = BTreeMap::new();
    for (number, host) in world.hosts.iter().enumerate() {
        let removed = world.reference.is_removed(number);
        if host.node.is_none() || host.is_hostile() || removed {
            continue;
        }
        let entries =
            |document: &DocumentId| -> Vec<_> { host.disk.hashes(document).copied().collect() };
        let of_fleet = entries(&DocumentId::Fleet);
        match &fleet {
            None => fleet = Some((number, of_fleet)),
            Some((other, _)) if !host.disk.has_roots_of(&world.hosts[*other].disk) => {
                found.push((number, format!("the roots are not those of {other}")));
            }
            Some((other, theirs)) if *theirs != of_fleet => {
                found.push((number, format!("the fleet's entries are not those of {other}")));
            }
            Some(_) => {}
        }
        let site = site_document(Some(&world.operators.site(&world.sites[host.site])));
        let of_site = entries(&site);
        let heads: Vec<_> = host
            .disk
            .heads()
            .filter(|(of, ..)| world.site_of(of) == Some(host.site))
            .map(|(of, generation, count, bytes)| {
                // Two machines with one key fork their chain: its length is what can be compared.
                let forks = world.number_of(of).is_some_and(|of| world.reference.is_cloned(of));
                (*of, generation, count, if forks { vec![] } else { bytes.to_vec() })
            })
            .collect();
        match sites.get(&host.site) {
            None => {
                sites.insert(host.site, (number, of_site, heads));
            }
            Some((other, theirs, _)) if *theirs != of_site => {
                found.push((number, format!("the site's entries are not those of {other}")));
            }
            Some((other, _, theirs)) if *theirs != heads => {
                let differs = theirs.iter().zip(&heads).find(|(one, two)| one != two);
                let of = differs.map(|(one, two)| {
                    let host = world.number_of(&one.0).unwrap_or(usize::MAX);
                    format!(" of host {host}: {}.{} and {}.{}", two.1, two.2, one.1, one.2)
                });
                let of = of.unwrap_or_default();
                found.push((number, format!("reports{of} are not those of {other}")));
            }
            Some(_) => {}
        }
    }
    found
}
