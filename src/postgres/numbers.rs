//! A hasher of numbers.

use std::hash::{BuildHasherDefault, Hasher};

/// For keys that are numbers of the driver's, or hashes that nobody can aim at: they need no other.
pub(super) type Numbers = BuildHasherDefault<Spread>;

#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // Spreads small numbers over all bits, the highest and the lowest of which make a place.
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0 ^ number).wrapping_mul(ODD).rotate_left(32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
