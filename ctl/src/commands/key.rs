//! `key new|list|show`.

use crate::cli::{Format, Global, KeyCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::home::Home;
use crate::keys::KeyInfo;
use crate::output::{self, Row};
use crate::passphrase;

impl Row for KeyInfo {
    const HEADS: &'static [&'static str] = &["name", "key id", "passphrase", "public key"];
    const WIDE_FROM: usize = 3;

    fn cells(&self) -> Vec<String> {
        let passphrase = if self.encrypted { "yes" } else { "no" };
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
        KeyCommand::New { name, no_passphrase } => {
            let passphrase =
                if no_passphrase { String::new().into() } else { passphrase::new(&name)? };
            let made = keys.create(&name, &passphrase)?;
            output::value(global.output, &made, || {
                format!(
                    "Made key {} ({}).\nOthers add you with:  --member {}={}\nKeep a copy of {} \
                     off this machine: nobody can restore it for you.",
                    made.name,
                    made.id.short(),
                    made.name,
                    made.public_key,
                    keys.file(&made.name).display()
                )
            })?;
        }
        KeyCommand::List => output::rows(global.output, &keys.list()?, "")?,
        KeyCommand::Show { name } => {
            let found = keys.list()?.into_iter().find(|key| key.name == name);
            let key = found.ok_or_else(|| {
                Failure::usage(format!("there is no key named {name:?}"))
                    .next("`daymarkctl key list` shows the keys of this machine")
            })?;
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
