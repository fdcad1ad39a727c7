//! Printing: one set of rows as table, JSON, YAML, CSV or names. The only module that writes to
//! standard output.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::Format;
use crate::exit::{Failure, Outcome};

/// A row of a listing.
pub(crate) trait Row: Serialize {
    /// Column heads; the ones from [`Row::WIDE_FROM`] on are shown with `-o wide` only.
    const HEADS: &'static [&'static str];
    /// Number of columns of the plain table.
    const WIDE_FROM: usize = usize::MAX;
    /// Cells, as many as heads.
    fn cells(&self) -> Vec<String>;
    /// The name, for scripts.
    fn name(&self) -> String;
}

/// Prints rows; `as_of` is printed below a table, so that a reader knows how old it is.
pub(crate) fn rows<R: Row>(format: Format, rows: &[R], as_of: &str) -> Outcome<()> {
    match format {
        Format::Table | Format::Wide => {
            let shown = if format == Format::Wide {
                R::HEADS.len()
            } else {
                R::WIDE_FROM.min(R::HEADS.len())
            };
            if rows.is_empty() {
                text("Nothing to show.");
            } else {
                let mut table = new_table();
                table.set_header(R::HEADS[..shown].iter().map(|head| head.to_uppercase()));
                for row in rows {
                    table.add_row(row.cells().into_iter().take(shown));
                }
                text(&trim_lines(&table.to_string()));
            }
            note(as_of);
            Ok(())
        }
        Format::Json => json(rows),
        Format::Yaml => yaml(&rows),
        Format::Csv => {
            csv_line(R::HEADS.iter().map(|head| (*head).to_owned()));
            for row in rows {
                csv_line(row.cells());
            }
            Ok(())
        }
        Format::Name => {
            for row in rows {
                text(&row.name());
            }
            Ok(())
        }
    }
}

/// Prints one value: the text for people, or the value itself.
pub(crate) fn value<T: Serialize>(
    format: Format,
    value: &T,
    for_people: impl FnOnce() -> String,
) -> Outcome<()> {
    match format {
        Format::Table | Format::Wide | Format::Csv | Format::Name => {
            text(&for_people());
            Ok(())
        }
        Format::Json => json(value),
        Format::Yaml => yaml(value),
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Outcome<()> {
    text(&serde_json::to_string_pretty(value)?);
    Ok(())
}

fn yaml<T: Serialize>(value: &T) -> Outcome<()> {
    let text_form = serde_saphyr::to_string(value)
        .map_err(|error| Failure::from(anyhow::anyhow!("cannot print YAML: {error}")))?;
    text(text_form.trim_end());
    Ok(())
}

fn csv_line(cells: impl IntoIterator<Item = String>) {
    let quoted: Vec<String> = cells
        .into_iter()
        .map(|cell| {
            if cell.contains([',', '"', '\n']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        })
        .collect();
    text(&quoted.join(","));
}

/// A table without frame, as kubectl prints them.
pub(crate) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn trim_lines(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// A line on standard output. A reader that has gone away is not an error.
pub(crate) fn text(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").is_err() {
        // `daymarkctl … | head`: nobody reads on, so there is nothing left to do.
        std::process::exit(0);
    }
}

/// A line on standard error: for people, never for programs.
pub(crate) fn note(line: &str) {
    if !line.is_empty() {
        let mut err = std::io::stderr().lock();
        // Nothing sensible can be done when standard error is closed.
        let _ = writeln!(err, "{line}");
    }
}

/// Asks a yes-or-no question; without a terminal the answer is no.
pub(crate) fn confirm(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        note(&format!("{question} No terminal to ask; use --yes."));
        return false;
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question} [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Asks for a number; without a terminal there is none.
pub(crate) fn number(question: &str) -> Option<usize> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{question}");
    let _ = err.flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    answer.trim().parse().ok()
}

/// Whether standard output takes colour: a terminal, and NO_COLOR is unset.
pub(crate) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Green, yellow or red text where the terminal takes it.
pub(crate) fn paint(text: &str, colour_code: u8) -> String {
    if colour() { format!("\u{1b}[{colour_code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
