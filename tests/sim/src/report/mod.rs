//! A run as one page: plots that need no other file and no script.

mod plots;
mod svg;

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::scenario::Span;

const STYLE: &str = include_str!("style.css");

/// The page of a run.
pub fn page(figures: &Figures) -> String {
    let mut page = String::new();
    let title = escape(&figures.scenario);
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><main><header><h1>{title}</h1><p>{}</p>{}</header>{}",
        escape(&figures.about),
        verdict(figures),
        tiles(figures),
    );
    section(
        &mut page,
        "How the order spread",
        "share of machines that hold it, over time",
        plots::spread(figures),
    );
    section(
        &mut page,
        "Orders and changes",
        "when each was handed in, and how soon it had reached the machines that it concerns",
        plots::changes(figures),
    );
    section(
        &mut page,
        "How machines updated",
        "updates that were confirmed since the run began: a machine counts once for each image",
        plots::updates(figures),
    );
    section(
        &mut page,
        "Windows and updates",
        "bands are open windows; each mark is a machine: restarted into the new image, updated, \
         fell back, lost power",
        plots::timeline(figures),
    );
    section(
        &mut page,
        "Bytes per node",
        "how many nodes sent how much in the whole run",
        plots::bytes(figures),
    );
    section(
        &mut page,
        "Faults",
        "how often each kind happened, and how often it changed an outcome",
        plots::faults(figures),
    );
    let _ = write!(
        page,
        "<footer>{} virtual, {} events, trace <code>{}</code><br>again: \
         <code>daymark-sim replay '{}'</code></footer></main></html>",
        Time(figures.virtual_ms),
        grouped(figures.events),
        escape(&figures.trace),
        escape(&figures.replay),
    );
    page
}

fn section(page: &mut String, title: &str, caption: &str, plot: Option<String>) {
    if let Some(plot) = plot {
        let _ = write!(page, "<section><h2>{title}</h2><p>{caption}</p>{plot}</section>");
    }
}

fn verdict(figures: &Figures) -> String {
    let mut chips = String::from("<div class=\"chips\">");
    for check in &figures.checks {
        let broken = figures.violations.iter().any(|violation| violation.check == *check);
        let class = if broken { "bad" } else { "good" };
        let mark = if broken { "✗" } else { "✓" };
        let _ = write!(chips, "<span class=\"{class}\">{mark} {}</span>", escape(check));
    }
    if figures.violations.iter().any(|violation| !figures.checks.contains(&violation.check)) {
        chips.push_str("<span class=\"bad\">✗ scenario</span>");
    }
    chips.push_str("</div>");
    for violation in figures.violations.iter().take(12) {
        let _ = write!(
            chips,
            "<p class=\"bad\">{} at {}, host {}: {}</p>",
            escape(&violation.check),
            Span(violation.at_ms),
            violation.host,
            escape(&violation.what)
        );
    }
    chips
}

fn tiles(figures: &Figures) -> String {
    let first = figures.spreads.iter().find(|spread| !spread.after_ms.is_empty());
    let reach = first.map(|spread| {
        let p99 = Figures::percentile(&spread.after_ms, 99);
        (format!("{}", Time(p99)), "order at 99 % of machines".to_owned())
    });
    let images = figures.tally.peer_bytes + figures.tally.origin_bytes;
    let peers = (figures.tally.peer_bytes * 100).checked_div(images);
    let tiles = [
        Some((grouped(figures.hosts as u64), "machines".to_owned())),
        Some((grouped(figures.updated), "updates that ended well".to_owned())),
        Some((grouped(figures.failed), "that did not, and said so".to_owned())),
        Some((grouped(figures.tally.reboots), "restarts by agents".to_owned())),
        Some((grouped(figures.decisions), "decisions".to_owned())),
        Some((grouped(figures.windows), "windows that opened to machines".to_owned())),
        Some((grouped(figures.tally.chunks), "chunks written".to_owned())),
        Some((grouped(figures.distinct_stores as u64), "different stores at the end".to_owned())),
        reach,
        Some((format!("{} B/s", figures.bytes_per_second()), "sent by a node".to_owned())),
        peers.map(|peers| (format!("{peers} %"), "of image bytes came from peers".to_owned())),
    ];
    let mut html = String::from("<div class=\"tiles\">");
    for (value, name) in tiles.into_iter().flatten() {
        let _ = write!(html, "<div><b>{value}</b><span>{name}</span></div>");
    }
    html.push_str("</div>");
    html
}

/// A length of time as people say it.
struct Time(u64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (s, m, h, d) =
            (self.0 / 1_000, self.0 / 60_000, self.0 / 3_600_000, self.0 / 86_400_000);
        let (most, rest) = match () {
            () if d > 0 => ((d, "d"), (h % 24, "h")),
            () if h > 0 => ((h, "h"), (m % 60, "min")),
            () if m > 0 => ((m, "min"), (s % 60, "s")),
            () if s > 0 && self.0 % 1_000 >= 100 => {
                return write!(f, "{s}.{} s", self.0 % 1_000 / 100);
            }
            () if s > 0 => ((s, "s"), (0, "")),
            () => ((self.0, "ms"), (0, "")),
        };
        write!(f, "{} {}", most.0, most.1)?;
        if rest.0 > 0 { write!(f, " {} {}", rest.0, rest.1) } else { Ok(()) }
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_texts_escaped() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
        assert_eq!(Time(1_250).to_string(), "1.2 s");
        assert_eq!(Time(47).to_string(), "47 ms");
        assert_eq!(Time(403_879).to_string(), "6 min 43 s");
        assert_eq!(Time(7_200_000).to_string(), "2 h");
        assert_eq!(Time(561_600_000).to_string(), "6 d 12 h");
    }
}
