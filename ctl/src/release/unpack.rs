//! Opens an image as published: raw, gzip or zstd; checks its SHA-256; leaves a raw file to seek in.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use daymark_protocol::id::Digest;
use sha2::{Digest as _, Sha256};

use super::add::{AddProgress, AddStep};
use super::error::ReleaseError;

/// How much is read at a time.
const BUFFER_BYTES: usize = 1024 * 1024;

/// How an image file is packed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Raw,
    Gzip,
    Zstd,
    Unread(&'static str),
}

fn form_of(head: &[u8]) -> Form {
    match head {
        [0x1f, 0x8b, ..] => Form::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Form::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Form::Unread("xz"),
        [b'B', b'Z', b'h', ..] => Form::Unread("bz2"),
        [b'Q', b'F', b'I', 0xfb, ..] => Form::Unread("qcow2"),
        [b'P', b'K', 3, 4, ..] => Form::Unread("zip"),
        _ => Form::Raw,
    }
}

/// Opens `image` as a raw file: itself, or unpacked into a nameless file in `folder`. If `expected`
/// is given, the SHA-256 of the file as published must be that.
pub(super) fn open_raw(
    image: &Path,
    expected: Option<Digest>,
    folder: &Path,
    progress: &mut dyn FnMut(AddProgress),
) -> Result<File, ReleaseError> {
    let failed = |error| ReleaseError::io("read", image, error);
    let mut file = File::open(image).map_err(|error| ReleaseError::io("open", image, error))?;
    let total_bytes = file.metadata().map_err(failed)?.len();
    if total_bytes == 0 {
        return Err(ReleaseError::Empty { path: image.to_owned() });
    }
    let mut head = Vec::new();
    (&file).take(8).read_to_end(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let form = form_of(&head);
    if let Form::Unread(form) = form {
        return Err(ReleaseError::UnreadForm { path: image.to_owned(), form });
    }
    let step = if form == Form::Raw { AddStep::Checking } else { AddStep::Unpacking };
    let mut published = Published {
        inner: file.try_clone().map_err(failed)?,
        hasher: expected.map(|_| Sha256::new()),
        read_bytes: 0,
        total_bytes,
        step,
        progress,
    };
    let raw = match form {
        Form::Raw | Form::Unread(_) => file,
        Form::Gzip => {
            let reader = BufReader::with_capacity(BUFFER_BYTES, &mut published);
            unpack(flate2::bufread::MultiGzDecoder::new(reader), image, folder)?
        }
        Form::Zstd => {
            let decoder = zstd::stream::read::Decoder::new(&mut published).map_err(failed)?;
            unpack(decoder, image, folder)?
        }
    };
    if let Some(expected) = expected {
        io::copy(&mut published, &mut io::sink()).map_err(failed)?;
        let got = Digest(published.hasher.unwrap_or_default().finalize().into());
        if got != expected {
            return Err(ReleaseError::OtherImage { path: image.to_owned(), expected, got });
        }
    }
    let mut raw = raw;
    raw.rewind().map_err(failed)?;
    Ok(raw)
}

/// Unpacks to a file without a name, which goes away with its last handle. Zeros become holes.
fn unpack(mut packed: impl Read, image: &Path, folder: &Path) -> Result<File, ReleaseError> {
    let failed = |error| ReleaseError::io("unpack into", folder, error);
    let mut raw = tempfile::tempfile_in(folder).map_err(failed)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut total: u64 = 0;
    loop {
        let count = match packed.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReleaseError::Truncated { path: image.to_owned() });
            }
            Err(source) => return Err(ReleaseError::Corrupt { path: image.to_owned(), source }),
        };
        total += count as u64;
        if buffer[..count].iter().all(|byte| *byte == 0) {
            raw.seek_relative(i64::try_from(count).unwrap_or(0)).map_err(failed)?;
        } else {
            raw.write_all(&buffer[..count]).map_err(failed)?;
        }
    }
    if total == 0 {
        return Err(ReleaseError::Empty { path: image.to_owned() });
    }
    raw.set_len(total).map_err(failed)?;
    Ok(raw)
}

/// The file as published, hashed as it is read.
struct Published<'a> {
    inner: File,
    hasher: Option<Sha256>,
    read_bytes: u64,
    total_bytes: u64,
    step: AddStep,
    progress: &'a mut dyn FnMut(AddProgress),
}

impl Read for Published<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.read_bytes += count as u64;
        (self.progress)(AddProgress {
            step: self.step,
            done_bytes: self.read_bytes,
            total_bytes: self.total_bytes,
        });
        Ok(count)
    }
}
