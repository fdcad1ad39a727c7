//! `key new|list|show|export|import|restore|change-passphrase`.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use daymark_protocol::trust::PublicKey;
use zeroize::Zeroizing;

use crate::cli::{Format, Global, KeyCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::home::Home;
use crate::keys::{KeyInfo, KeyStore, held_by_agent, paper, ssh_agent};
use crate::output::{self, Row};
use crate::passphrase;

/// Longest text that is read as a key on paper.
const PAPER_BYTES_MAX: u64 = 4096;

impl Row for KeyInfo {
    const HEADS: &'static [&'static str] = &["name", "key id", "passphrase", "public key"];
    const WIDE_FROM: usize = 3;

    fn cells(&self) -> Vec<String> {
        let passphrase = match (self.ssh_agent, self.encrypted) {
            (true, _) => "ssh-agent",
            (false, true) => "yes",
            (false, false) => "UNENCRYPTED",
        };
        vec![self.name.clone(), self.id.short(), passphrase.into(), self.public_key.clone()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Runs `key …`.
pub(crate) fn run(global: &Global, command: KeyCommand) -> Outcome {
    let keys = Home::open(global)?.keys();
    match command {
        KeyCommand::New { name, no_passphrase, ssh_agent } => {
            let made = match ssh_agent {
                Some(comment) => keys.note_agents(&name, &agents_key(&comment)?)?,
                None => keys.create(&name, &chosen_passphrase(&name, no_passphrase)?)?,
            };
            output::value(global.output, &made, || welcome(&keys, &made))?;
        }
        KeyCommand::Restore { name, from, no_passphrase } => {
            let seed = paper::read(&lines_of(from.as_deref())?)?;
            let made = keys.keep(&name, &seed, &chosen_passphrase(&name, no_passphrase)?)?;
            output::value(global.output, &made, || welcome(&keys, &made))?;
        }
        KeyCommand::Import { file } => {
            let made = keys.import(&file)?;
            output::value(global.output, &made, || welcome(&keys, &made))?;
        }
        KeyCommand::Export { name, paper: true } => on_paper(&keys, &name)?,
        KeyCommand::Export { name, paper: false } => {
            let key = find(&keys, &name)?;
            if key.ssh_agent {
                return Err(held_by_agent(&name));
            }
            if key.encrypted {
                let path = keys.file(&name);
                let file = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                output::raw(file.trim_end());
            } else {
                return Err(Failure::refused(format!("no passphrase protects key {name:?}"))
                    .next(format!("`daymarkctl key change-passphrase {name}`, or --paper")));
            }
        }
        KeyCommand::ChangePassphrase { name } => {
            let seed = passphrase::seed(&keys, &name)?;
            let passphrase = passphrase::replacement(&name)?;
            keys.change_passphrase(&name, &seed, &passphrase)?;
            output::text(&format!(
                "Key {name} has another passphrase now; copies keep the old one."
            ));
        }
        KeyCommand::List => output::rows(global.output, &keys.list()?, "")?,
        KeyCommand::Show { name } => {
            let key = find(&keys, &name)?;
            match global.output {
                Format::Table => output::text(&format!("{}={}", key.name, key.public_key)),
                other @ (Format::Wide
                | Format::Json
                | Format::Yaml
                | Format::Csv
                | Format::Name) => output::rows(other, &[key], "")?,
            }
        }
    }
    Ok(Exit::Done)
}

fn find(keys: &KeyStore, name: &str) -> Outcome<KeyInfo> {
    let found = keys.list()?.into_iter().find(|key| key.name == name);
    found.ok_or_else(|| {
        Failure::usage(format!("there is no key named {name:?}"))
            .next("`daymarkctl key list` shows the keys of this machine")
    })
}

fn chosen_passphrase(name: &str, none: bool) -> Outcome<Zeroizing<String>> {
    if none { Ok(String::new().into()) } else { passphrase::new(name) }
}

/// What the maker of a key is told.
fn welcome(keys: &KeyStore, made: &KeyInfo) -> String {
    let (name, key) = (&made.name, &made.public_key);
    let file = keys.file(name).display().to_string();
    let protected = match (made.ssh_agent, made.encrypted) {
        (true, _) | (false, true) => String::new(),
        (false, false) => format!(
            "\nIt is UNENCRYPTED: whoever reads {file} has it. `daymarkctl key change-passphrase \
             {name}` protects it."
        ),
    };
    let keep = match made.ssh_agent {
        true => "The ssh-agent holds it; it must run whenever you sign.".to_owned(),
        false => format!(
            "Keep a copy of {file} off this machine, or `daymarkctl key export {name} --paper`: \
             nobody can restore it for you.{protected}"
        ),
    };
    format!(
        "Key {name} ({}).\nOthers add you with:  --member {name}={key}\n{keep}",
        made.id.short()
    )
}

/// The ssh-agent's key with a comment; its only one without.
fn agents_key(comment: &str) -> Outcome<PublicKey> {
    let mut keys = ssh_agent::keys()?;
    keys.retain(|(_, of_key)| comment.is_empty() || of_key == comment);
    match keys.as_slice() {
        [(key, _)] => Ok(key.clone()),
        [] => Err(Failure::usage("the ssh-agent holds no such key of type ssh-ed25519")
            .next("`ssh-keygen -t ed25519` makes one, `ssh-add FILE` adds it")),
        several => {
            let comments: Vec<&str> = several.iter().map(|(_, text)| text.as_str()).collect();
            Err(Failure::usage(format!("the ssh-agent holds several: {}", comments.join(", ")))
                .next("name one by its comment: --ssh-agent COMMENT"))
        }
    }
}

/// The key as it is written down.
fn on_paper(keys: &KeyStore, name: &str) -> Outcome<()> {
    let key = find(keys, name)?;
    let seed = passphrase::seed(keys, name)?;
    output::note(
        "Whoever reads these lines has the key, without any passphrase. Print or write them where \
         no camera sees, and lock them away.",
    );
    output::text(&format!("Daymark key of {name}, id {}", key.id));
    output::text(paper::write(&seed).trim_end());
    output::text(&format!("Back onto a machine: daymarkctl key restore --name {name}"));
    Ok(())
}

/// The lines of a file, or of standard input.
fn lines_of(file: Option<&Path>) -> Outcome<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    match file {
        Some(path) => {
            let opened = std::fs::File::open(path).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", path.display()))
            })?;
            opened.take(PAPER_BYTES_MAX).read_to_string(&mut text)?;
        }
        None => {
            output::note("Type the four lines, then end the input with Ctrl-D:");
            std::io::stdin().take(PAPER_BYTES_MAX).read_to_string(&mut text)?;
        }
    }
    Ok(text)
}
