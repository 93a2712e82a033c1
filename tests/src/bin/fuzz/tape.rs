//! An input read as a row of choices, so that structured values are bytes too: every input can be
//! flipped, cut, spliced, shortened and written down as hex, whatever it stands for.

/// Numbers at which arithmetic breaks.
pub(crate) const ODD_NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    63,
    64,
    255,
    256,
    999,
    1_000,
    60_000,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    1_800_000_000_000,
    u64::MAX / 1_000_000_000,
    u64::MAX / 1_000,
    1 << 62,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Choices yet to be read. Past its end every choice is the first.
pub(crate) struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Below `end`, which is at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// True once in `times`, and not at the end of the tape.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Any number: small ones and odd ones more often than others.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            kind @ 0..=127 => u64::from(kind % 16),
            128..=159 => u64::from(self.byte()),
            160..=175 => u64::from(u16::from_le_bytes(self.take())),
            176..=191 => u64::from(u32::from_le_bytes(self.take())),
            192..=207 => u64::from_le_bytes(self.take()),
            _ => self.pick(&ODD_NUMBERS),
        }
    }

    pub(crate) fn number32(&mut self) -> u32 {
        let number = self.number();
        u32::try_from(number).unwrap_or(u32::MAX.wrapping_sub(number as u32))
    }

    /// At most `most` bytes, as they are.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = self.below(most + 1).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Between none and `most` items.
    pub(crate) fn list<T>(&mut self, most: usize, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| read(self)).collect()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }
}
