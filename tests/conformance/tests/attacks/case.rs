//! What a case is: its name, what it covers, and its story.

use daymark_protocol::rules::Rule;

/// What a case covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Covers {
    /// A rule, by number: `R1`, `C4`.
    Rule(&'static str),
    /// A row of the table of attacks on update systems.
    Row(u8),
    /// A flaw of an earlier draft: `B1`, `N18`.
    Flaw(&'static str),
    /// A test of TUF's conformance suite that it corresponds to.
    Tuf(&'static str),
    /// A check without which the case fails.
    Red(Rule),
}

/// A case.
#[derive(Debug)]
pub(super) struct Case {
    /// Its name: the module and the function of its test.
    pub(super) name: &'static str,
    /// What it covers.
    pub(super) covers: &'static [Covers],
}

/// Writes cases down once: as tests, and in the table `CASES` of their module.
macro_rules! cases {
    ($($(#[doc = $doc:literal])*
       $name:ident [$($covers:expr),* $(,)?] $(by $offices:expr;)? $(joins $joins:expr;)? |$stage:ident| $story:block)*) => {
        /// The cases of this module.
        pub(super) const CASES: &[$crate::attacks::case::Case] = &[$(
            $crate::attacks::case::Case {
                name: concat!(module_path!(), "::", stringify!($name)),
                covers: {
                    #[allow(unused_imports, reason = "no case covers all of them")]
                    use {
                        $crate::attacks::case::Covers::{Flaw, Red, Row, Rule, Tuf},
                        daymark_protocol::rules::Rule::*,
                    };
                    &[$($covers),*]
                },
            }
        ),*];
        $(
            $(#[doc = $doc])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                #[allow(unused_mut, reason = "most fleets are like most fleets")]
                let mut setting = $crate::attacks::stage::Setting::default();
                $(setting.offices = Some($offices);)?
                $(setting.joins = $joins;)?
                $crate::attacks::stage::play(setting, async |$stage| $story).await
            }
        )*
    };
}

pub(super) use cases;
