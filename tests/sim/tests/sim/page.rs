//! The page of a run: its structure, and that it needs nothing from outside.

use daymark_sim::checks::{Checks, Violation};
use daymark_sim::figures::Figures;
use daymark_sim::report::page;
use daymark_sim::run::{Line, run_scenario};
use daymark_sim::scenario::Scenario;

const SITE: &str = r#"
name = "test"
about = "a <small> site"
length = "4h"
calmAfter = "1h"
founded = "everywhere"
wakeSlack = "1m"
[[site]]
name = "berlin"
hosts = 4
[network.lan]
lossPerMille = 20.0
[[image]]
version = "2.0.0"
[[event]]
do = "order"
at = "10m"
version = "2.0.0"
window = { kind = "once", from = "2h", to = "4h" }
"#;

/// Headings, plots and tables in order, and how often each kind of mark is drawn.
const STRUCTURE: &[&str] = &[
    "h1 test",
    "h2 How the order spread",
    "svg",
    "h2 Orders and changes",
    "table",
    "h2 How machines updated",
    "svg",
    "h2 Windows and updates",
    "svg",
    "h2 Bytes per node",
    "svg",
    "h2 Faults",
    "table",
    "footer",
];

fn figures() -> Figures {
    let scenario = Scenario::parse(SITE).expect("the scenario is sound");
    let line = Line { scenario: "test".to_owned(), seed: 1, mixed: false };
    run_scenario(scenario, &line, Checks::all(), |_| {})
}

/// Names of the elements of [`STRUCTURE`], with the text of headings, in the page's order.
fn structure(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or((part, ""));
        match tag.split(' ').next().unwrap_or_default() {
            name @ ("h1" | "h2") => found.push(format!("{name} {text}")),
            name @ ("svg" | "table" | "footer") => found.push(name.to_owned()),
            _ => {}
        }
    }
    found
}

#[test]
fn the_page_has_its_plots_and_needs_nothing_from_outside() {
    let figures = figures();
    assert_eq!(figures.violations, []);
    let html = page(&figures);
    assert_eq!(structure(&html), STRUCTURE);
    for outside in ["http:", "https:", "url(", "@import", "<script", "<link", "<img", "src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("prefers-color-scheme:dark"));
    assert!(html.contains("a &lt;small&gt; site"), "texts are escaped");
    for (class, count) in [("activated", 4), ("updated", 4), ("window", 1), ("good", 14)] {
        let marks = [" cx=", " x=", ">"].map(|next| format!("class=\"{class}\"{next}"));
        let drawn: usize = marks.iter().map(|mark| html.matches(mark.as_str()).count()).sum();
        // The legend names each once more.
        let named = usize::from(class != "good");
        assert_eq!(drawn, count + named, "{class}");
    }
    assert!(html.contains("daymark-sim replay 'test seed=1'"));
}

#[test]
fn a_violation_is_the_first_thing_that_the_page_says() {
    let mut figures = figures();
    let what = "something <bad>".to_owned();
    figures.violations.push(Violation { at_ms: 60_000, check: "I5".to_owned(), host: 2, what });
    let html = page(&figures);
    assert!(html.contains("<span class=\"bad\">✗ I5</span>"));
    let place = html.find("I5 at 1:00.000, host 2: something &lt;bad&gt;").expect("it is told");
    assert!(place < html.find("<h2>").unwrap());
}
