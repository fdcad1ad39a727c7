//! Documents, against the rules of RULES.md and the flaws that earlier drafts had.

mod entries;
mod support;
