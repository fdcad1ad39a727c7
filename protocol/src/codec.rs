//! A small strict binary form: big-endian integers and length-prefixed byte strings.
//!
//! Used for entries, reports and messages between peers. The reader checks every length against
//! what is really there and against a limit given by the caller *before* anything is allocated,
//! and [`Reader::end`] refuses trailing bytes, so that one value has exactly one encoding. It
//! knows nothing of types and versions: those are the first bytes of each format.

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end within a field.
    #[error("the bytes end within {0}")]
    Truncated(&'static str),
    /// A length or count is above its limit.
    #[error("{what} is {given} long, at most {limit} are allowed")]
    TooLong {
        /// The field.
        what: &'static str,
        /// Its length or count.
        given: usize,
        /// The limit.
        limit: usize,
    },
    /// A field holds a value that this format does not know.
    #[error("{0} is not valid")]
    Invalid(&'static str),
    /// Bytes follow the end.
    #[error("{0} bytes follow the end")]
    Trailing(usize),
}

/// Reads from a byte string, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes. `what` names the field in an error.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, rest) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// Eight bytes, big-endian, two's complement.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    /// A byte that is 0 or 1.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            2.. => Err(DecodeError::Invalid(what)),
        }
    }

    /// A byte string of at most `limit` bytes behind its four-byte length.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let count = self.count(limit, what)?;
        self.take(count, what)
    }

    /// Text of at most `limit` bytes of UTF-8 behind its four-byte length.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(limit, what)?).map_err(|_| DecodeError::Invalid(what))
    }

    /// A four-byte count of at most `limit`; also bounded by the bytes left, since every counted
    /// thing takes at least one.
    pub fn count(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let given = usize::try_from(self.u32(what)?).unwrap_or(usize::MAX);
        if given > limit {
            return Err(DecodeError::TooLong { what, given, limit });
        }
        if given > self.rest.len() {
            return Err(DecodeError::Truncated(what));
        }
        Ok(given)
    }

    /// Ends the reading; nothing may be left.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

/// Writes what [`Reader`] reads.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Eight bytes, big-endian, two's complement.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// A byte that is 0 or 1.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// A byte string behind its four-byte length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// Text behind its four-byte length.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A four-byte count.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("counts are bounded far below 2^32"))
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_is_taken() {
        let mut writer = Writer::new();
        writer.u32(u32::MAX).raw(b"abc");
        let bytes = writer.finish();
        let long = Reader::new(&bytes).bytes(16, "name");
        assert_eq!(
            long,
            Err(DecodeError::TooLong { what: "name", given: 4_294_967_295, limit: 16 })
        );
        assert_eq!(
            Reader::new(&bytes).bytes(usize::MAX, "name"),
            Err(DecodeError::Truncated("name"))
        );
    }

    #[test]
    fn what_is_written_is_read_and_nothing_may_follow() {
        let mut writer = Writer::new();
        writer.u8(7).u16(300).u32(70_000).u64(1 << 40).i64(-5).bool(true).text("ä").raw(&[9; 3]);
        assert!(!writer.is_empty());
        assert_eq!(writer.len(), 1 + 2 + 4 + 8 + 8 + 1 + 4 + 2 + 3);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8("a"), Ok(7));
        assert_eq!(reader.u16("b"), Ok(300));
        assert_eq!(reader.u32("c"), Ok(70_000));
        assert_eq!(reader.u64("d"), Ok(1 << 40));
        assert_eq!(reader.i64("e"), Ok(-5));
        assert_eq!(reader.bool("f"), Ok(true));
        assert_eq!(reader.text(4, "g"), Ok("ä"));
        assert_eq!(reader.clone().end(), Err(DecodeError::Trailing(3)));
        assert_eq!(reader.array::<3>("h"), Ok([9; 3]));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(Reader::new(&[2]).bool("f"), Err(DecodeError::Invalid("f")));
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0xff]).text(4, "g"), Err(DecodeError::Invalid("g")));
    }
}
