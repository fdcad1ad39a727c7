//! A closed generation of a host's reports, as the blob that the next generation names (RULES D5):
//! the reports one after the other, each behind its length.

use crate::codec::{Reader, Writer};
use crate::document::report::SignedReport;
use crate::id::Digest;
use crate::limits;

/// Largest blob: the reports of a generation and their lengths.
pub(crate) const BLOB_BYTES_MAX: usize = limits::GENERATION_BYTES_MAX + LENGTHS_BYTES_MAX;
/// Each of the at most 64 reports has a length of 4 bytes before it.
const LENGTHS_BYTES_MAX: usize = 4 * 64;

/// The blob of a closed generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedGeneration {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The blob.
    pub bytes: Vec<u8>,
}

/// Bytes that are not the reports of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the blob is not a closed generation of reports")]
pub struct NotAGeneration;

impl ClosedGeneration {
    /// The blob of these reports; `None` of none.
    pub(crate) fn of<'a>(reports: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut writer = Writer::new();
        for report in reports {
            writer.bytes(report);
        }
        let bytes = writer.finish();
        (!bytes.is_empty()).then(|| Self { digest: Digest::of(&bytes), bytes })
    }

    /// Reads a blob back into its reports. The chain is checked, the last signature vouches.
    ///
    /// # Errors
    /// If the bytes are not a whole chain of one host's generation, or its signature fails.
    pub fn reports(bytes: &[u8]) -> Result<Vec<SignedReport>, NotAGeneration> {
        if bytes.len() > BLOB_BYTES_MAX {
            return Err(NotAGeneration);
        }
        let mut reader = Reader::new(bytes);
        let mut reports: Vec<SignedReport> = Vec::new();
        while reader.remaining() > 0 {
            let taken =
                reader.bytes(limits::REPORT_BYTES_MAX, "report").map_err(|_| NotAGeneration)?;
            let report = SignedReport::decode(taken).map_err(|_| NotAGeneration)?;
            let follows = match reports.last() {
                None => report.report().count == 1,
                Some(last) => report.follows(last),
            };
            if !follows {
                return Err(NotAGeneration);
            }
            reports.push(report);
        }
        reports.last().ok_or(NotAGeneration)?.verify().map_err(|_| NotAGeneration)?;
        Ok(reports)
    }
}
