//! A report: one signed link in the chain of what a machine says of itself (RULES D4, D5).
//!
//! The form, big-endian and without any freedom: format version (1), fleet, the host's raw public
//! key, generation, count, hash of the report before (zeros for the first), number of operations,
//! the operations (deletes, then puts, each in strictly rising order of path), signature. The
//! public key stands in place of its hash, so that a report can be checked by itself; whether the
//! host is enrolled is judged elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::{DecodeError, Reader, Writer};
use crate::document::fact::{FactPath, Facts, InvalidPath, Value};
use crate::id::{Digest, FleetId, KeyId};
use crate::limits;
use crate::rules::{Rule, holds};
use crate::trust::{Context, PublicKey, Signature, SigningKey};

const FORMAT: u8 = 1;
const DELETE: u8 = 0;
const PUT_TEXT: u8 = 1;
const PUT_INTEGER: u8 = 2;
const SIGNATURE_BYTES: usize = 64;
/// Everything but the operations.
pub(crate) const ENVELOPE_BYTES: usize = 1 + 32 + 32 + 8 + 8 + 32 + 2 + SIGNATURE_BYTES;

/// Why bytes are not a report; for good, since it lies in the bytes (RULES D3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReport {
    /// Larger than [`limits::REPORT_BYTES_MAX`].
    #[error("a report has at most {max} bytes, not {0}", max = limits::REPORT_BYTES_MAX)]
    TooLarge(usize),
    /// A format that this version does not read.
    #[error("report format {0} is not known")]
    Format(u8),
    /// The bytes are not of the form.
    #[error("the report is malformed")]
    Malformed(#[from] DecodeError),
    /// The reports of a generation have at most [`limits::GENERATION_BYTES_MAX`].
    #[error("the generation has no room for the report")]
    GenerationFull,
    /// A path out of bounds.
    #[error("a path of the report is out of bounds")]
    Path(#[from] InvalidPath),
    /// A name or text that is not UTF-8.
    #[error("a text of the report is not UTF-8")]
    Text,
    /// An operation of no known kind.
    #[error("operation {0} of the report is of no known kind")]
    Operation(u8),
    /// Operations out of order or repeated.
    #[error("the operations of the report are not in order at {0}")]
    Order(FactPath),
    /// A value above or below another.
    #[error("the report puts a value above or below {0}")]
    Overlap(FactPath),
    /// Generations and counts begin at 1; the first report names none before it, others one.
    #[error("the report's place in its chain is impossible")]
    Place,
    /// The public key is weak.
    #[error("the report's key is not a usable key")]
    Key,
    /// The signature does not verify.
    #[error("the report's signature does not verify")]
    Signature,
}

/// A report, checked in form. [`SignedReport`] adds the bytes and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The fleet.
    pub fleet: FleetId,
    /// The host: the id of the key that signs.
    pub host: KeyId,
    /// One per start of the agent, and one more whenever a generation is full.
    pub generation: u64,
    /// Its place in the generation, from 1.
    pub count: u64,
    /// Hash of the report before; zeros for the first of a generation.
    pub previous: Digest,
    /// What is no longer so, all below included; done before the puts.
    pub deletes: BTreeSet<FactPath>,
    /// What is so.
    pub puts: BTreeMap<FactPath, Value>,
}

/// A report with the bytes it came in. Its form is checked; its signature only by [`Self::verify`],
/// since the last signature of a chain vouches for those below it (RULES D5).
#[derive(Clone, Debug)]
pub struct SignedReport {
    report: Report,
    key: [u8; 32],
    bytes: Vec<u8>,
    hash: Digest,
}

impl Report {
    /// The bytes that it takes, signature included.
    pub(crate) fn encoded_bytes(&self) -> usize {
        let deletes: usize = self.deletes.iter().map(|path| operation_bytes(path, None)).sum();
        let puts: usize =
            self.puts.iter().map(|(path, value)| operation_bytes(path, Some(value))).sum();
        ENVELOPE_BYTES + deletes + puts
    }

    /// Signs it.
    ///
    /// # Errors
    /// If it breaks a bound that receivers check, or `key` is not the host's.
    pub fn sign(self, key: &SigningKey) -> Result<SignedReport, RefusedReport> {
        let size = self.encoded_bytes();
        if size > limits::REPORT_BYTES_MAX {
            return Err(RefusedReport::TooLarge(size));
        }
        let mut writer = Writer::new();
        writer.u8(FORMAT).raw(self.fleet.as_bytes()).raw(key.public().as_bytes());
        writer.u64(self.generation).u64(self.count).raw(self.previous.as_bytes());
        // 8 KiB hold fewer operations than two bytes count, and shorter texts.
        let operations = self.deletes.len() + self.puts.len();
        writer.u16(u16::try_from(operations).unwrap_or(u16::MAX));
        for path in &self.deletes {
            write_path(writer.u8(DELETE), path);
        }
        for (path, value) in &self.puts {
            match value {
                Value::Text(text) => {
                    write_path(writer.u8(PUT_TEXT), path);
                    writer.u16(u16::try_from(text.len()).unwrap_or(u16::MAX)).raw(text.as_bytes());
                }
                Value::Integer(number) => {
                    write_path(writer.u8(PUT_INTEGER), path);
                    writer.i64(*number);
                }
            }
        }
        let mut bytes = writer.finish();
        let signature = key.sign(Context::Report, &bytes);
        bytes.extend(signature.0);
        let signed = SignedReport::decode(&bytes)?;
        if signed.report.host == self.host { Ok(signed) } else { Err(RefusedReport::Key) }
    }

    /// Applies its operations; the caller has checked that it follows.
    ///
    /// # Errors
    /// If it puts a value above or below one that stands; `facts` are then as before.
    pub(crate) fn apply(&self, facts: &mut Facts) -> Result<(), RefusedReport> {
        let deleted = |path: &FactPath| {
            self.deletes.iter().any(|delete| delete == path || delete.is_above(path))
        };
        for path in self.puts.keys() {
            if facts.conflicts(path).any(|held| !deleted(held)) {
                return Err(RefusedReport::Overlap(path.clone()));
            }
        }
        for path in &self.deletes {
            facts.remove(path);
        }
        for (path, value) in &self.puts {
            facts.put(path.clone(), value.clone());
        }
        Ok(())
    }
}

impl SignedReport {
    /// Reads a report and checks all of its form, but not its signature.
    ///
    /// # Errors
    /// If the bytes are not exactly one report within bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, RefusedReport> {
        if bytes.len() > limits::REPORT_BYTES_MAX {
            return Err(RefusedReport::TooLarge(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        let format = reader.u8("format")?;
        if format != FORMAT {
            return Err(RefusedReport::Format(format));
        }
        let fleet = FleetId(reader.array("fleet")?);
        let key: [u8; 32] = reader.array("key")?;
        let (generation, count) = (reader.u64("generation")?, reader.u64("count")?);
        let previous = Digest(reader.array("previous")?);
        let is_first = previous == Digest([0; 32]);
        let fits = (1..=limits::REPORTS_PER_GENERATION_MAX).contains(&count);
        if generation == 0 || !fits || (count == 1) != is_first {
            return Err(RefusedReport::Place);
        }
        let (deletes, puts) = read_operations(&mut reader)?;
        reader.take(SIGNATURE_BYTES, "signature")?;
        reader.end()?;
        let host = KeyId(Digest::of(&key).0);
        let report = Report { fleet, host, generation, count, previous, deletes, puts };
        Ok(Self { report, key, bytes: bytes.to_vec(), hash: Digest::of(bytes) })
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// If it does not verify, or the key is weak. Checking a key costs as much as reading many
    /// reports, so reading leaves it to this.
    pub fn verify(&self) -> Result<(), RefusedReport> {
        let (signed, signature) = self
            .bytes
            .split_last_chunk::<SIGNATURE_BYTES>()
            .ok_or(DecodeError::Truncated("signature"))?;
        let key = PublicKey::from_bytes(self.key).map_err(|_| RefusedReport::Key)?;
        let verifies = key.verify(Context::Report, signed, &Signature(*signature));
        if verifies || !holds(Rule::D4Signature) { Ok(()) } else { Err(RefusedReport::Signature) }
    }

    /// Whether it is the next link after `last`: same fleet, host and generation, the next count,
    /// and it names its hash.
    pub(crate) fn follows(&self, last: &Self) -> bool {
        let (next, last_report) = (&self.report, &last.report);
        next.fleet == last_report.fleet
            && next.host == last_report.host
            && next.generation == last_report.generation
            && next.count == last_report.count + 1
            && next.previous == last.hash
    }

    /// What it says.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// SHA-256 of all its bytes, signature included: what the next one names.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The bytes as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

type Operations = (BTreeSet<FactPath>, BTreeMap<FactPath, Value>);

fn read_operations(reader: &mut Reader<'_>) -> Result<Operations, RefusedReport> {
    let mut deletes = BTreeSet::new();
    let mut puts: BTreeMap<FactPath, Value> = BTreeMap::new();
    for _ in 0..reader.u16("operations")? {
        let kind = reader.u8("operation")?;
        let path = read_path(reader)?;
        let value = match kind {
            DELETE => None,
            PUT_TEXT => {
                let length = usize::from(reader.u16("value")?);
                Some(Value::Text(read_text(reader.take(length, "value")?)?))
            }
            PUT_INTEGER => Some(Value::Integer(reader.i64("value")?)),
            other => return Err(RefusedReport::Operation(other)),
        };
        match value {
            None => {
                if !puts.is_empty() || deletes.last().is_some_and(|last| *last >= path) {
                    return Err(RefusedReport::Order(path));
                }
                deletes.insert(path);
            }
            Some(value) => {
                if let Some((last, _)) = puts.last_key_value() {
                    // In order of path, what stands below a value follows right after it.
                    if *last >= path {
                        return Err(RefusedReport::Order(path));
                    }
                    if last.is_above(&path) {
                        return Err(RefusedReport::Overlap(path));
                    }
                }
                puts.insert(path, value);
            }
        }
    }
    Ok((deletes, puts))
}

fn read_path(reader: &mut Reader<'_>) -> Result<FactPath, RefusedReport> {
    let depth = usize::from(reader.u8("path")?);
    if depth > limits::REPORT_PATH_DEPTH_MAX {
        return Err(InvalidPath::Depth(depth).into());
    }
    let mut names = Vec::with_capacity(depth);
    for _ in 0..depth {
        let length = usize::from(reader.u8("name")?);
        names.push(read_text(reader.take(length, "name")?)?);
    }
    Ok(FactPath::new(names)?)
}

fn read_text(bytes: &[u8]) -> Result<String, RefusedReport> {
    String::from_utf8(bytes.to_vec()).map_err(|_| RefusedReport::Text)
}

fn write_path(writer: &mut Writer, path: &FactPath) {
    // A path has at most 3 names of at most 64 bytes.
    writer.u8(u8::try_from(path.names().len()).unwrap_or(u8::MAX));
    for name in path.names() {
        writer.u8(u8::try_from(name.len()).unwrap_or(u8::MAX)).raw(name.as_bytes());
    }
}

/// The bytes that one operation takes in a report; a delete if there is no value.
pub(crate) fn operation_bytes(path: &FactPath, value: Option<&Value>) -> usize {
    let names: usize = path.names().iter().map(|name| 1 + name.len()).sum();
    let value = match value {
        None => 0,
        Some(Value::Text(text)) => 2 + text.len(),
        Some(Value::Integer(_)) => 8,
    };
    2 + names + value
}
