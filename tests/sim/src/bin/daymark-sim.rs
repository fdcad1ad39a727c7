//! placeholder
fn main() {
    let mut args = std::env::args().skip(1);
    let line: daymark_sim::run::Line = args.next().unwrap_or_default().parse().expect("line");
    let figures = daymark_sim::run::run(&line, daymark_sim::checks::Checks::all(), |w| {
        eprintln!("{} {}", w.now_ms(), w.events())
    })
    .expect("scenario");
    println!("{}", serde_json::to_string_pretty(&figures).expect("json"));
}
