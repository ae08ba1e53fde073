//! Counter-based random numbers.
//!
//! Philox4x32-10 after Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

/// What a random number is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The Gumbel noise that turns an argmax into a sample.
    Sample = 0,
    /// The token that a rejected position gets.
    Renoise = 1,
}

/// Where in a request a random number is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The key.
    pub seed: u64,
    /// Distinguishes canvases with the same seed.
    pub candidate: u32,
    /// From 0.
    pub step: u32,
    /// Of the canvas, pinned rows counted.
    pub row: u32,
}

/// Four random words for the counter `[index, row, step, candidate and purpose]` under the key `seed`.
pub fn words(place: Place, purpose: Purpose, index: u32) -> [u32; 4] {
    let counter = [index, place.row, place.step, (place.candidate << 2) | purpose as u32];
    philox4x32(counter, [place.seed as u32, (place.seed >> 32) as u32])
}

/// The Gumbel number of a token.
pub fn gumbel(place: Place, token: u32) -> f64 {
    let word = words(place, Purpose::Sample, token / 4)[token as usize % 4];
    let uniform = (f64::from(word >> 9) + 0.5) / f64::from(1 << 23);
    -(-uniform.ln()).ln()
}

/// A number below `count`.
pub fn index(place: Place, purpose: Purpose, count: u32) -> u32 {
    ((u64::from(words(place, purpose, 0)[0]) * u64::from(count)) >> 32) as u32
}

fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = 0xD251_1F53 * u64::from(counter[0]);
        let second = 0xCD9E_8D57 * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    // The known answers that the authors of Random123 publish for philox4x32-10.
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
