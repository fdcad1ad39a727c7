//! What a fleet comes to, with all checks watching.

use std::time::Instant;

use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::figures::Figures;
use daymark_sim::report::page;
use daymark_sim::run::{Line, run_scenario, run_world};
use daymark_sim::scenario::Scenario;

/// A site of 12 with an order in a window.
const SITE: &str = r#"
name = "test"
about = "a test"
length = "7h"
calmAfter = "2h"
founded = "everywhere"
wakeSlack = "1m"
[[site]]
name = "berlin"
hosts = 12
[network.lan]
lossPerMille = 20.0
[[image]]
version = "2.0.0"
[[event]]
do = "order"
at = "30m"
version = "2.0.0"
window = { kind = "once", from = "3h", to = "6h" }
"#;

fn ran(text: &str, seed: u64) -> Figures {
    let scenario = Scenario::parse(text).expect("the scenario is sound");
    let line = Line { scenario: "test".to_owned(), seed, mixed: false };
    run_scenario(scenario, &line, Checks::all(), |_| {})
}

#[test]
fn an_order_handed_to_one_machine_updates_all_of_them_once() {
    let figures = ran(SITE, 1);
    assert_eq!(figures.violations, []);
    assert_eq!((figures.updated, figures.failed, figures.tally.reboots), (12, 0, 12));
    assert_eq!(figures.spreads[0].after_ms.len(), 12);
    assert!(figures.tally.origin_bytes < figures.tally.peer_bytes, "most bytes come from peers");
}

#[test]
fn an_idle_site_says_next_to_nothing() {
    let idle = SITE.replace("do = \"order\"", "do = \"release\"");
    let idle = idle.replace("window = { kind = \"once\", from = \"3h\", to = \"6h\" }", "");
    let figures = ran(&idle, 1);
    assert_eq!(figures.violations, []);
    // A site that grew together, and a release, make a few dozen messages; then there is liveness
    // alone, one for each machine and twelve minutes.
    let livenesses = 12 * 7 * 60 / 12;
    assert!(figures.tally.published < livenesses + 300, "{} messages", figures.tally.published);
}

#[test]
fn a_change_at_one_machine_of_one_site_shows_in_the_report_and_reaches_no_other_site() {
    let sites = SITE.replace("hosts = 12", "hosts = 5\ntimes = 3");
    let renamed = format!(
        "{sites}[[event]]\ndo = \"rename\"\nat = \"1h\"\nhost = 9\nname = \"moved\"\nto = 6\n"
    );
    let (before, after) = (ran(&sites, 1), ran(&renamed, 1));
    assert_eq!((&before.violations, &after.violations), (&vec![], &vec![]));
    let told = |figures: &Figures| -> Vec<(String, usize)> {
        let spreads = figures.spreads.iter();
        spreads.map(|spread| (spread.version.clone(), spread.after_ms.len())).collect()
    };
    let order = ("2.0.0".to_owned(), 15);
    assert_eq!(told(&before), std::slice::from_ref(&order));
    assert_eq!(told(&after), [order, ("host 9 is moved".to_owned(), 5)]);
    assert!(page(&after).contains("host 9 is moved") && !page(&before).contains("is moved"));
    for figures in [before, after] {
        assert_eq!((figures.updated, figures.tally.reboots, figures.windows), (15, 15, 15));
        assert!(
            figures.decisions > 15 && figures.tally.chunks >= 15 && figures.distinct_stores >= 3
        );
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run_whoever_watches() {
    let line = |seed| Line { scenario: "test".to_owned(), seed, mixed: false };
    let trace = |seed, checks| {
        let scenario = Scenario::parse(SITE).expect("the scenario is sound").mixed(seed);
        run_scenario(scenario, &line(seed), checks, |_| {}).trace
    };
    assert_eq!(trace(77, Checks::all()), trace(77, Checks::default()));
    assert_ne!(trace(77, Checks::default()), trace(78, Checks::default()));
}

#[test]
fn what_nodes_share_changes_nothing() {
    let line = Line { scenario: "test".to_owned(), seed: 79, mixed: true };
    let scenario = Scenario::parse(SITE).expect("the scenario is sound").mixed(line.seed);
    let shared = World::new(scenario.clone(), line.seed, Checks::all());
    let apart = World::apart(scenario, line.seed, Checks::all());
    let [shared, apart] =
        [shared, apart].map(|world| run_world(world, &line, Instant::now(), |_| {}));
    assert_eq!(shared.trace, apart.trace);
    assert_eq!(
        (shared.events_by_kind, shared.tally.writes),
        (apart.events_by_kind, apart.tally.writes)
    );
}
