//! Little-endian fields of the scripts' arguments and replies. Numbers of 48 bits are exact in Lua.

use keyrot_core::Limits;

/// What 48 bits hold at most; as a time it means never.
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

    pub(crate) fn limits(&mut self, limits: &Limits) {
        let Limits { rpm, tpm, rpd, .. } = *limits;
        let which = u8::from(rpm.is_some()) | u8::from(tpm.is_some()) << 1 | u8::from(rpd.is_some()) << 2;
        self.u8(which);
        self.u32(rpm.unwrap_or(0));
        self.u48(tpm.unwrap_or(0));
        self.u32(rpd.unwrap_or(0));
    }
}

/// Takes fields from the front; `None` where there are too few bytes.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        Some(self.take::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u48(&mut self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.take()?;
        Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}
