//! Passphrases: asked on a terminal, or taken from the environment for unattended signing.

use std::io::IsTerminal as _;

use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};
use crate::keys::{KeyStore, OpenKey};

/// The passphrase of all keys, for scripts.
const ENVIRONMENT: &str = "DAYMARK_PASSPHRASE";
/// The passphrase that `key change-passphrase` sets, for scripts.
const NEW_ENVIRONMENT: &str = "DAYMARK_NEW_PASSPHRASE";

/// Opens a key, asking for its passphrase if it has one.
pub(crate) fn open(keys: &KeyStore, name: &str) -> Outcome<OpenKey> {
    keys.open(name, || ask(&format!("Passphrase of key {name}: ")))
}

/// The seed of a key, asking for its passphrase if it has one.
pub(crate) fn seed(keys: &KeyStore, name: &str) -> Outcome<Zeroizing<[u8; 32]>> {
    keys.seed(name, || ask(&format!("Passphrase of key {name}: ")))
}

/// The passphrase that is to replace one: $DAYMARK_NEW_PASSPHRASE, or asked twice.
pub(crate) fn replacement(name: &str) -> Outcome<Zeroizing<String>> {
    if let Some(passphrase) = environment(NEW_ENVIRONMENT)? {
        return Ok(passphrase);
    }
    if std::env::var_os(ENVIRONMENT).is_some() {
        return Err(Failure::usage("the new passphrase is not given")
            .next(format!("set {NEW_ENVIRONMENT} too")));
    }
    new(name)
}

/// A passphrase for a new key, asked twice.
pub(crate) fn new(name: &str) -> Outcome<Zeroizing<String>> {
    if let Some(passphrase) = environment(ENVIRONMENT)? {
        return Ok(passphrase);
    }
    let first = ask(&format!("New passphrase of key {name}: "))?;
    if first.is_empty() {
        return Err(Failure::usage("an empty passphrase protects nothing")
            .next("choose one, or say --no-passphrase"));
    }
    if ask("Again: ")? != first {
        return Err(Failure::usage("the two passphrases differ").next("try again"));
    }
    Ok(first)
}

/// A passphrase from the environment, if it is there.
fn environment(name: &str) -> Outcome<Option<Zeroizing<String>>> {
    match std::env::var(name).map(Zeroizing::new) {
        Ok(passphrase) if passphrase.is_empty() => Err(Failure::usage(format!(
            "{name} is empty, and an empty passphrase protects nothing"
        ))
        .next(format!("set {name} to a passphrase, or unset it and be asked"))),
        Ok(passphrase) => Ok(Some(passphrase)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{name} is not valid UTF-8"))
                .next(format!("set {name} to a text, or unset it and be asked")))
        }
    }
}

fn ask(prompt: &str) -> Outcome<Zeroizing<String>> {
    if let Some(passphrase) = environment(ENVIRONMENT)? {
        return Ok(passphrase);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("a passphrase is needed and there is no terminal to ask on")
            .next(format!("set {ENVIRONMENT}, or run this on a terminal")));
    }
    Ok(Zeroizing::new(rpassword::prompt_password(prompt)?))
}
