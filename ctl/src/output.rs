//! Printing: one set of rows as table, JSON, YAML, CSV or names. The only module that writes to
//! standard output. What others wrote never steers the terminal: control characters are shown, not
//! sent.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::OnceLock;

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
                    table.add_row(row.cells().iter().take(shown).map(|cell| one_line(cell)));
                }
                text(&trim_lines(&table.to_string()));
            }
            note(as_of);
            Ok(())
        }
        Format::Json => json(rows),
        Format::Yaml => yaml(&rows),
        Format::Csv => csv(R::HEADS, rows),
        Format::Name => {
            for row in rows {
                text(&one_line(&row.name()));
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
    raw(&serde_json::to_string_pretty(value)?);
    Ok(())
}

fn yaml<T: Serialize>(value: &T) -> Outcome<()> {
    let text_form = serde_saphyr::to_string(value)
        .map_err(|error| Failure::from(anyhow::anyhow!("cannot print YAML: {error}")))?;
    raw(text_form.trim_end());
    Ok(())
}

fn csv<R: Row>(heads: &[&str], rows: &[R]) -> Outcome<()> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(heads)?;
    for row in rows {
        table.write_record(row.cells())?;
    }
    table.flush()?;
    let lines = table.into_inner().map_err(|failed| failed.into_error())?;
    raw(String::from_utf8_lossy(&lines).trim_end());
    Ok(())
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

/// Why nothing more is written to standard output.
static CLOSED: OnceLock<ErrorKind> = OnceLock::new();

/// A text for people on standard output. When nobody reads on, as in `daymarkctl … | head`, what the
/// command does is done all the same, and nothing more is written.
pub(crate) fn text(text: &str) {
    raw(&shown(text, true));
}

/// A text for programs on standard output, as it is.
pub(crate) fn raw(text: &str) {
    if CLOSED.get().is_none()
        && let Err(error) = writeln!(std::io::stdout().lock(), "{text}")
    {
        // It is told at the end, by `lost`; the first reason is the one that counts.
        let _ = CLOSED.set(error.kind());
    }
}

/// Lines for people on standard output, each of which stays one line.
pub(crate) fn lines<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) {
    lines.into_iter().for_each(|line| text(&one_line(line.as_ref())));
}

/// Lines as one text, each of which stays one line.
pub(crate) fn joined<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> String {
    let lines: Vec<String> =
        lines.into_iter().map(|line| one_line(line.as_ref()).into_owned()).collect();
    lines.join("\n")
}

/// Whether nobody reads standard output any more.
pub(crate) fn is_closed() -> bool {
    CLOSED.get().is_some()
}

/// Why some of what was printed is lost, unless it is that the reader had enough.
pub(crate) fn lost() -> Option<ErrorKind> {
    CLOSED.get().copied().filter(|kind| *kind != ErrorKind::BrokenPipe)
}

/// A line on standard error: for people, never for programs.
pub(crate) fn note(line: &str) {
    if !line.is_empty() {
        let mut err = std::io::stderr().lock();
        // Nothing sensible can be done when standard error is closed.
        let _ = writeln!(err, "{}", shown(line, true));
    }
}

/// A text in which no line ends.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    shown(text, false)
}

/// A text without what would steer a terminal or turn the direction of writing; such characters are
/// shown as Rust writes them. What [`paint`] adds stays: at worst somebody's words have a colour.
fn shown(text: &str, keep_lines: bool) -> Cow<'_, str> {
    let steers = |c: char| (c.is_control() && !(keep_lines && c == '\n')) || turns(c);
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(paint) = PAINTS.iter().find(|paint| rest.starts_with(**paint)) {
            shown.push_str(paint);
            rest = &rest[paint.len()..];
            continue;
        }
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(shown)
}

/// Whether a character changes the direction in which others are shown (Unicode UAX 9).
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

/// What [`paint`] puts around a text: bold, red, green, yellow, and the end of it.
const PAINTS: [&str; 5] = ["\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"];

/// Bold (1), red (31), green (32) or yellow (33) text where the terminal takes it.
pub(crate) fn paint(text: &str, colour_code: u8) -> String {
    if colour() { format!("\u{1b}[{colour_code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{one_line, shown};

    #[test]
    fn what_would_steer_a_terminal_is_shown() {
        for (given, wanted) in [
            ("plain, grün", "plain, grün"),
            ("\u{1b}[2J\u{1b}[8mhidden", "\\u{1b}[2J\\u{1b}[8mhidden"),
            ("a\u{9b}2Jb\rc\u{7f}", "a\\u{9b}2Jb\\rc\\u{7f}"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
        ] {
            assert_eq!(shown(given, true), wanted);
            assert_eq!(one_line(given), wanted);
        }
        assert_eq!(shown("two\nlines", true), "two\nlines");
        assert_eq!(one_line("two\nlines"), "two\\nlines");
    }
}
