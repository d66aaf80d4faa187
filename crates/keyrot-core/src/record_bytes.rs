//! Little-endian fields of stored records. Times and other large numbers take 48 bits: enough for
//! the year 10889, and exact in Lua.

use crate::limit::{LimiterError, LimiterErrorKind};

/// The largest number that is stored in 48 bits.
pub(crate) const LARGEST: u64 = (1 << 48) - 1;

/// Appends fields.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn u48(&mut self, value: u64) {
        self.0.extend(&value.min(LARGEST).to_le_bytes()[..6]);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }
}

/// Takes fields from the front. What is missing reads as 0: lengths are checked beforehand.
pub(crate) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    pub(crate) fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u48(&mut self) -> u64 {
        let [a, b, c, d, e, f] = self.take();
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }
}

/// A reader behind the version byte, if that is `version`.
pub(crate) fn open<'a>(bytes: &'a [u8], what: &str, version: u8) -> Result<Reader<'a>, LimiterError> {
    match bytes.split_first() {
        Some((found, rest)) if *found == version => Ok(Reader(rest)),
        Some((found, _)) => Err(incompatible(format!(
            "a {what} of version {found}, but this keyrot knows version {version} alone: it is left as it \
             is. Upgrade keyrot, or give this pool a name of its own with KEYROT_POOL"
        ))),
        None => Err(broken(what, "it is empty")),
    }
}

/// A record that nobody of us wrote like this.
pub(crate) fn broken(what: &str, why: &str) -> LimiterError {
    incompatible(format!(
        "a {what} that is damaged or not keyrot's: {why}. It is left as it is; remove it, or give this \
         pool a name of its own with KEYROT_POOL"
    ))
}

fn incompatible(message: String) -> LimiterError {
    LimiterError::new(LimiterErrorKind::Incompatible, message)
}
