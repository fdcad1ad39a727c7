//! Windows that overlap or touch, as one.

use super::Opening;
use super::windows::Windows;
use crate::decide::Window;
use crate::time::WallTime;

/// How far a chain of repeated windows is followed, in seconds: beyond 40 days it counts as
/// without bound.
const CHAIN_S_MAX: i64 = 40 * 86_400;

/// How often [`Windows::next_usable`] looks for a piece that is long enough: two looks for each of
/// 64 pieces, daily windows of two months that are all too short.
const LOOKS_MAX: usize = 128;

/// The union of windows around an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedWindow {
    /// First instant; `None` if the repeated windows before it touch for 40 days and more.
    pub start: Option<WallTime>,
    /// First instant after it; `None` if open-ended or touching for 40 days and more.
    pub end: Option<WallTime>,
}

/// Where the union that holds an instant ends, in one direction.
enum Bound {
    At(WallTime),
    Beyond,
}

impl Windows {
    /// The union of all windows around the instant, blackouts not regarded; `None` if no window
    /// is open then.
    pub fn merged_at(&self, at: WallTime) -> Option<MergedWindow> {
        if !self.is_open_at(at) {
            return None;
        }
        if self.openings().any(Opening::is_endless) {
            return Some(MergedWindow { start: None, end: None });
        }
        let bound = |bound| match bound {
            Bound::At(at) => Some(at),
            Bound::Beyond => None,
        };
        Some(MergedWindow { start: bound(self.start_of(at)), end: bound(self.end_of(at)) })
    }

    /// The piece around the instant that remains of the union of windows once blackouts are taken
    /// out. A union without beginning starts at the beginning of time, unless a blackout cut it.
    pub fn usable_at(&self, at: WallTime) -> Option<Window> {
        if self.blackouts().any(|blackout| blackout.covering(at).is_some()) {
            return None;
        }
        let merged = self.merged_at(at)?;
        let opened = self.blackouts().filter_map(|blackout| blackout.last_to(at)).max();
        let closes = self.blackouts().filter_map(|blackout| blackout.next_from(at)).min();
        Some(Window {
            start: merged.start.max(opened).unwrap_or(WallTime::MIN),
            end: match (merged.end, closes) {
                (Some(end), Some(closes)) => Some(end.min(closes)),
                (end, closes) => end.or(closes),
            },
        })
    }

    /// The first usable piece, around or after the instant, of which `needed_ms` are left from
    /// the instant on. `None` if there is none within twelve years, or among the next 64.
    pub fn next_usable(&self, at: WallTime, needed_ms: u64) -> Option<Window> {
        let needed_ms = i64::try_from(needed_ms).unwrap_or(i64::MAX);
        let mut look_at = at;
        for _ in 0..LOOKS_MAX {
            let Some(piece) = self.usable_at(look_at) else {
                look_at = self.next_chance(look_at)?;
                continue;
            };
            match piece.end {
                Some(end) if end.since_ms(look_at) < needed_ms => look_at = end,
                Some(_) | None => return Some(piece),
            }
        }
        None
    }

    /// The next instant at which a closed instant may have become usable.
    fn next_chance(&self, at: WallTime) -> Option<WallTime> {
        let open_again =
            self.blackouts().filter_map(|blackout| blackout.covering(at)).map(|c| c.to);
        match open_again.max() {
            Some(WallTime::MAX) => None,
            Some(to) => Some(to),
            None => self.next_start(at),
        }
    }

    fn start_of(&self, at: WallTime) -> Bound {
        let mut edge_s = at.as_seconds();
        let mut limit_s = edge_s.saturating_sub(CHAIN_S_MAX);
        loop {
            let before_s = edge_s;
            for opening in self.openings() {
                match opening {
                    Opening::Single { start_s, end_s } => {
                        if *start_s < edge_s && end_s.is_none_or(|end_s| end_s >= edge_s) {
                            edge_s = *start_s;
                            limit_s = limit_s.min(edge_s.saturating_sub(CHAIN_S_MAX));
                        }
                    }
                    Opening::Repeated(repeated) => {
                        let from_s = edge_s.saturating_sub(repeated.duration_s());
                        if let Some(start_s) = repeated.first_in(from_s, edge_s) {
                            edge_s = repeated.run_from_s(start_s);
                        }
                    }
                }
            }
            if edge_s == before_s {
                return Bound::At(WallTime::from_seconds(edge_s));
            }
            if edge_s <= limit_s {
                return Bound::Beyond;
            }
        }
    }

    fn end_of(&self, at: WallTime) -> Bound {
        let mut edge_s = at.as_seconds();
        let mut limit_s = edge_s.saturating_add(CHAIN_S_MAX);
        loop {
            let before_s = edge_s;
            for opening in self.openings() {
                match opening {
                    Opening::Single { start_s, end_s: None } if *start_s <= edge_s => {
                        return Bound::Beyond;
                    }
                    Opening::Single { end_s: None, .. } => {}
                    Opening::Single { start_s, end_s: Some(end_s) } => {
                        if *start_s <= edge_s && *end_s > edge_s {
                            edge_s = *end_s;
                            limit_s = limit_s.max(edge_s.saturating_add(CHAIN_S_MAX));
                        }
                    }
                    Opening::Repeated(repeated) => {
                        let from_s = edge_s.saturating_sub(repeated.duration_s()) + 1;
                        if let Some(start_s) = repeated.last_in(from_s, edge_s + 1) {
                            edge_s = repeated.run_until_s(start_s);
                        }
                    }
                }
            }
            if edge_s == before_s {
                return Bound::At(WallTime::from_seconds(edge_s));
            }
            if edge_s >= limit_s {
                return Bound::Beyond;
            }
        }
    }
}
