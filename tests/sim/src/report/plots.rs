//! The plots of a run; `None` if there is nothing to show.

#![allow(clippy::cast_precision_loss, reason = "places on a screen")]

use super::svg::Plot;
use super::{Time, escape, grouped};
use crate::figures::{Figures, Mark};

/// Most marks on an axis of times, and on one of counts.
const TIMES_MAX: u64 = 12;
const COUNTS_MAX: u64 = 6;
/// Sites whose timelines are drawn: the rest look alike.
const SITES_MAX: usize = 24;

/// Marks for an axis of times, apart by what people count in.
fn times(until_ms: u64) -> Vec<(f64, String)> {
    const SECONDS: [u64; 18] = [
        1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200,
        86_400,
    ];
    let step_ms = match until_ms {
        0..10_000 => round_step(until_ms, TIMES_MAX),
        _ => {
            let fits = |seconds: &u64| until_ms <= seconds * 1_000 * TIMES_MAX;
            let days = until_ms.div_ceil(TIMES_MAX * 86_400_000) * 86_400;
            SECONDS.into_iter().find(fits).unwrap_or(days) * 1_000
        }
    };
    ticks(until_ms, step_ms).map(|at_ms| (at_ms as f64, Time(at_ms).to_string())).collect()
}

/// One, two or five of a power of ten: the smallest that gives at most so many marks.
fn round_step(until: u64, marks: u64) -> u64 {
    let powers = std::iter::successors(Some(1_u64), |power| power.checked_mul(10));
    let mut steps = powers.flat_map(|power| [1, 2, 5].map(|of| power.saturating_mul(of)));
    steps.find(|step| until / step <= marks).unwrap_or(u64::MAX)
}

fn ticks(until: u64, step: u64) -> impl Iterator<Item = u64> {
    (0..=until / step).map(move |tick| tick * step)
}

fn shares() -> Vec<(f64, String)> {
    [0, 25, 50, 75, 100].map(|share| (f64::from(share), format!("{share} %"))).to_vec()
}

/// The share of machines that hold the first order, over the time since it was handed in.
pub(super) fn spread(figures: &Figures) -> Option<String> {
    let spread = figures.spreads.iter().find(|spread| spread.after_ms.len() > 1)?;
    let all = figures.hosts.max(1) as f64;
    let most = Figures::percentile(&spread.after_ms, 99).max(5);
    let end = most + most / 5;
    let mut plot = Plot::new(240.0, (0.0, end as f64), (0.0, 100.0));
    plot.x_axis(&times(end));
    plot.y_axis(&shares());
    let mut points = vec![(0.0, 0.0)];
    let held = spread.after_ms.iter().enumerate().filter(|(_, after_ms)| **after_ms <= end);
    points.extend(held.map(|(place, ms)| (*ms as f64, (place + 1) as f64 * 100.0 / all)));
    // What is reached stays so.
    points.extend(points.last().map(|(_, share)| (end as f64, *share)));
    plot.curve("one", &points);
    plot.fence(most as f64, "99 %");
    Some(plot.finish())
}

/// What was ordered or changed, when, how many machines it reached, and how soon.
pub(super) fn changes(figures: &Figures) -> Option<String> {
    let mut html = String::from(
        "<table class=\"orders\"><tr><th></th><th>handed in at</th><th>machines</th>\
         <th>half of them after</th><th>99 % after</th></tr>",
    );
    for spread in &figures.spreads {
        let after = |per_cent| Time(Figures::percentile(&spread.after_ms, per_cent));
        html.push_str(&format!(
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&spread.version),
            Time(spread.at_ms),
            grouped(spread.after_ms.len() as u64),
            after(50),
            after(99)
        ));
    }
    html.push_str("</table>");
    (!figures.spreads.is_empty()).then_some(html)
}

/// Machines that run a new image, over the run.
pub(super) fn updates(figures: &Figures) -> Option<String> {
    let last = figures.updates_ms.last()?;
    let total = figures.updates_ms.len() as f64;
    let mut plot = Plot::new(240.0, (0.0, figures.virtual_ms as f64), (0.0, total));
    plot.x_axis(&times(figures.virtual_ms));
    let most = figures.updates_ms.len() as u64;
    let counts = ticks(most, round_step(most, COUNTS_MAX));
    plot.y_axis(&counts.map(|count| (count as f64, grouped(count))).collect::<Vec<_>>());
    let mut points = vec![(0.0, 0.0)];
    let counted = figures.updates_ms.iter().enumerate();
    points.extend(counted.map(|(place, ms)| (*ms as f64, (place + 1) as f64)));
    points.push(((*last).max(figures.virtual_ms) as f64, total));
    plot.curve("two", &points);
    plot.fence(figures.calm_ms as f64, "faults end");
    Some(plot.finish())
}

/// Windows and updates of each site.
pub(super) fn timeline(figures: &Figures) -> Option<String> {
    let sites = &figures.sites[..figures.sites.len().min(SITES_MAX)];
    let rows = sites.len() as f64;
    let height = rows.mul_add(46.0, 40.0);
    let mut plot = Plot::new(height, (0.0, figures.virtual_ms as f64), (0.0, rows));
    plot.x_axis(&times(figures.virtual_ms));
    for (place, site) in sites.iter().enumerate() {
        let ground = rows - place as f64 - 1.0;
        let name = escape(&site.name);
        plot.rect("row", (0.0, figures.virtual_ms as f64), (ground + 0.06, ground + 0.94), &name);
        for (from, to) in &site.windows {
            let title = format!("{name}: a window");
            let x = (*from as f64, *to as f64);
            plot.rect("window", x, (ground + 0.06, ground + 0.94), &title);
        }
        plot.y_axis(&[(ground + 0.5, short(&name))]);
        for (number, (at_ms, mark)) in site.marks.iter().enumerate() {
            let (class, level) = match mark {
                Mark::Restarted => ("restarted", 0.15),
                Mark::FellBack => ("fell-back", 0.3),
                Mark::Activated => ("activated", 0.5),
                Mark::Updated => ("updated", 0.75),
            };
            // Machines that do the same at one time are told apart.
            let shift = (number % 5) as f64 * 0.03;
            plot.dot(class, *at_ms as f64, ground + level + shift, 2.4);
        }
    }
    plot.fence(figures.calm_ms as f64, "faults end");
    let legend = "<div class=\"legend\"><span class=\"window\">window</span>\
                  <span class=\"activated\">restarted into the new image</span>\
                  <span class=\"updated\">updated</span><span class=\"fell-back\">fell back</span>\
                  <span class=\"restarted\">power lost</span></div>";
    let left_out = figures.sites.len() - sites.len();
    let note =
        if left_out > 0 { format!("<p>and {left_out} more sites</p>") } else { String::new() };
    Some(format!("{legend}{}{note}", plot.finish()))
}

fn short(name: &str) -> String {
    name.chars().take(9).collect()
}

/// How many nodes sent how much.
pub(super) fn bytes(figures: &Figures) -> Option<String> {
    const BARS: usize = 48;
    let most = *figures.sent_bytes.last()?;
    let mut bars = [0_u64; BARS];
    for sent in &figures.sent_bytes {
        let place = usize::try_from(sent * (BARS as u64 - 1) / most.max(1)).unwrap_or(0);
        bars[place] += 1;
    }
    let highest = bars.iter().copied().max()?;
    let mut plot = Plot::new(200.0, (0.0, most as f64), (0.0, highest as f64));
    let sent = ticks(most, round_step(most, TIMES_MAX));
    plot.x_axis(&sent.map(|sent| (sent as f64, amount(sent))).collect::<Vec<_>>());
    plot.y_axis(&[(0.0, "0".into()), (highest as f64, highest.to_string())]);
    for (place, count) in bars.iter().enumerate().filter(|(_, count)| **count > 0) {
        let width = most as f64 / BARS as f64;
        let from = place as f64 * width;
        let x = (from + width * 0.1, from + width * 0.9);
        plot.rect("bar", x, (0.0, *count as f64), &format!("{count} nodes"));
    }
    Some(plot.finish())
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=999_999 => format!("{} kB", bytes / 1_000),
        _ if bytes.is_multiple_of(1_000_000) => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

/// Faults as bars: what happened, and within it what bit.
pub(super) fn faults(figures: &Figures) -> Option<String> {
    let counts = &figures.faults.0;
    let most = counts.values().map(|count| count.happened.max(count.bit)).max()?;
    let width = |count: u64| ((count + 1) as f64).ln() / ((most + 1) as f64).ln().max(1e-9) * 100.0;
    let mut html = String::from("<table>");
    for (fault, count) in counts {
        let name = serde_json::to_value(fault).ok()?;
        let name: String = name
            .as_str()?
            .chars()
            .flat_map(
                |c| if c.is_uppercase() { vec![' ', c.to_ascii_lowercase()] } else { vec![c] },
            )
            .collect();
        let (happened, bit) = (count.happened.max(count.bit), count.bit);
        html.push_str(&format!(
            "<tr><th>{name}</th><td><i style=\"width:{:.1}%\"></i><b style=\"width:{:.1}%\"></b>\
             </td><td>{}</td><td>{} bit</td></tr>",
            width(happened),
            width(bit),
            grouped(happened),
            grouped(bit)
        ));
    }
    html.push_str("</table>");
    Some(html)
}
