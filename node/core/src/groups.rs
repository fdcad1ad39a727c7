//! Push groups: the machines of a large site share what is pushed, by the leading bits of their
//! key ids (DESIGN section 5, `docs/decisions/0024-push-groups.md`). Statements go to the whole site; what a host says of
//! itself goes to its own group, and to the others by repair.
//!
//! How many groups there are is a function of how many hosts of the site a node holds, without
//! memory, so that a restart changes nothing. Near a doubling a node listens under both numbers:
//! nodes that count a few hosts more or less hear each other, and one host more moves nobody.

use daymark_protocol::document::DocumentId;
use daymark_protocol::id::KeyId;

/// Most hosts of a site that push to one another as one group: with six copies of each report, a
/// rollout through more would cost each of them more than the image's own announcements.
const GROUP_HOSTS_MAX: usize = 256;
/// Most leading bits: 256 groups, of 65,536 hosts.
const BITS_MAX: u8 = 8;
/// Within this part of a doubling, on either side, a node listens under both numbers of groups.
const OVERLAP: usize = 8;

/// How a site is split, as one node sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PushGroups {
    /// Leading bits that tell groups apart: 2^bits of them.
    bits: u8,
    /// Leading bits under which this node listens as well, near a doubling.
    also: Option<u8>,
}

impl PushGroups {
    /// The groups of a site of so many enrolled hosts.
    pub(crate) fn of(hosts: usize) -> Self {
        let most = |bits: u8| GROUP_HOSTS_MAX << bits;
        let bits = (0..BITS_MAX).find(|bits| hosts <= most(*bits)).unwrap_or(BITS_MAX);
        let (upper, lower) = (most(bits), most(bits) / 2);
        let also = if bits < BITS_MAX && hosts > upper - upper / OVERLAP {
            Some(bits + 1)
        } else if bits > 0 && hosts <= lower + lower / OVERLAP {
            Some(bits - 1)
        } else {
            None
        };
        Self { bits, also }
    }

    /// Whether there is more than one.
    pub(crate) fn are_several(self) -> bool {
        self.bits > 0
    }

    /// How many there are.
    pub(crate) fn count(self) -> u64 {
        1 << self.bits
    }

    /// Whether two hosts of the site belong to one group.
    pub(crate) fn share(self, one: &KeyId, other: &KeyId) -> bool {
        prefix(one, self.bits) == prefix(other, self.bits)
    }

    /// The name of what a host of `site` pushes to: the site itself if there is one group.
    pub(crate) fn name(self, site: &DocumentId, host: &KeyId) -> String {
        name(site, host, self.bits)
    }

    /// The names of what a host of `site` listens to for others' reports.
    pub(crate) fn heard(self, site: &DocumentId, host: &KeyId) -> impl Iterator<Item = String> {
        let bits = std::iter::once(self.bits).chain(self.also);
        bits.map(|bits| name(site, host, bits))
    }
}

fn prefix(host: &KeyId, bits: u8) -> u8 {
    host.0[0].checked_shr(8 - u32::from(bits)).unwrap_or(0)
}

/// The site, and the host's leading bits, written as such: `site/x/01`.
fn name(site: &DocumentId, host: &KeyId, bits: u8) -> String {
    if bits == 0 {
        return site.to_string();
    }
    let (prefix, width) = (prefix(host, bits), usize::from(bits));
    format!("{site}/{prefix:0width$b}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(hosts: usize, host: KeyId) -> Vec<String> {
        PushGroups::of(hosts).heard(&"site/x".parse().unwrap(), &host).collect()
    }

    #[test]
    fn a_site_is_split_above_256_hosts_and_doubled_from_there() {
        let bits = |hosts| PushGroups::of(hosts).bits;
        for (hosts, expected) in
            [(0, 0), (256, 0), (257, 1), (512, 1), (513, 2), (10_000, 6), (1 << 20, 8)]
        {
            assert_eq!(bits(hosts), expected, "{hosts}");
        }
        let host = KeyId([0b0110_0000; 32]);
        assert_eq!(heard(200, host), ["site/x"]);
        assert_eq!(heard(256, host), ["site/x", "site/x/0"]);
        assert_eq!(heard(257, host), ["site/x/0", "site/x"]);
        assert_eq!(heard(400, host), ["site/x/0"]);
        assert_eq!(heard(500, host), ["site/x/0", "site/x/01"]);
        assert_eq!(heard(10_000, host), ["site/x/011000"]);
    }

    proptest! {
        #[test]
        fn nodes_that_count_a_few_hosts_more_or_less_hear_each_other(
            host: [u8; 32],
            hosts in 1_usize..60_000,
            off in -0.1_f64..0.1,
        ) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of a small number"
            )]
            let counted = (hosts as f64 * (1.0 + off)) as usize;
            let host = KeyId(host);
            let pushed = PushGroups::of(counted).name(&"site/x".parse().unwrap(), &host);
            prop_assert!(heard(hosts, host).contains(&pushed), "{} {}", hosts, counted);
        }

        #[test]
        fn a_group_is_at_most_a_bit_larger_than_its_bound(hosts in 1_usize..65_536) {
            let groups = PushGroups::of(hosts).count();
            let groups = usize::try_from(groups).unwrap();
            prop_assert!(hosts.div_ceil(groups) <= GROUP_HOSTS_MAX);
            prop_assert!(groups == 1 || hosts.div_ceil(groups) > GROUP_HOSTS_MAX / 2);
        }
    }
}
