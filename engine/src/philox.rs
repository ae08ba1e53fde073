//! Counter-based random numbers: the same counter and key give the same numbers on every device, in any order.
//!
//! Philox4x32-10 after Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_INCREMENTS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// No Gumbel number made by [`gumbel`] is larger: minus the logarithm of 2^-24, rounded up.
pub(crate) const GUMBEL_MAX: f32 = 16.64;

/// What a random number is drawn for. Different purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// The Gumbel noise that turns an argmax into a sample; one number a token of the vocabulary.
    Sample = 0,
    /// The token that a rejected position gets.
    Renoise = 1,
    /// The token that a hole position starts with.
    Start = 2,
}

/// Where in a request a random number is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seed: u64,
    pub(crate) candidate: u32,
    pub(crate) step: u32,
    /// The row of the canvas, pinned rows counted.
    pub(crate) row: u32,
}

/// Four random words for the counter `[index, row, step, candidate and purpose]` under the key `seed`.
pub(crate) fn words(place: Place, purpose: Purpose, index: u32) -> [u32; 4] {
    let counter = [index, place.row, place.step, (place.candidate << 2) | purpose as u32];
    philox4x32(counter, [place.seed as u32, (place.seed >> 32) as u32])
}

/// The Gumbel numbers of the tokens `4 * index .. 4 * index + 4`.
pub(crate) fn gumbel(place: Place, index: u32) -> [f32; 4] {
    words(place, Purpose::Sample, index).map(gumbel_of_word)
}

/// The Gumbel number that a random word stands for; it grows with the word.
pub(crate) fn gumbel_of_word(word: u32) -> f32 {
    // The middle of one of 2^23 equal intervals: exact in f32, and neither logarithm sees 0 or 1.
    let uniform = ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0);
    -(-uniform.ln()).ln()
}

/// A word below which every word's Gumbel number is less than `number`, if not the largest such word.
pub(crate) fn least_word_with_gumbel(number: f32) -> u32 {
    // The inverse of the above, a little lower than exact, by more than both roundings.
    let uniform = (-(-f64::from(number - 1e-3)).exp()).exp();
    let interval = (uniform * 8_388_608.0 - 2.0).max(0.0);
    // A cast takes what is too large, or not a number, to where it does no harm.
    (interval as u32).min((1 << 23) - 1) << 9
}

/// A token below `vocabulary`, uniformly but for a bias below 2^-32 * vocabulary.
pub(crate) fn token(place: Place, purpose: Purpose, vocabulary: u32) -> u32 {
    let word = words(place, purpose, 0)[0];
    ((u64::from(word) * u64::from(vocabulary)) >> 32) as u32
}

fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(KEY_INCREMENTS[0]), key[1].wrapping_add(KEY_INCREMENTS[1])];
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
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn gumbel_numbers_are_finite_bounded_and_centred() {
        let place = Place { seed: 7, candidate: 0, step: 3, row: 11 };
        let numbers: Vec<f32> = (0..25_000).flat_map(|index| gumbel(place, index)).collect();
        assert!(numbers.iter().all(|number| number.is_finite() && *number <= GUMBEL_MAX));
        // The mean is the Euler-Mascheroni constant, the variance pi^2 / 6.
        let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
        assert!((mean - 0.577).abs() < 0.02, "mean {mean}");
    }

    #[test]
    fn the_extreme_words_stay_finite() {
        for word in [0_u32, u32::MAX] {
            let number = gumbel_of_word(word);
            assert!(number.is_finite() && number <= GUMBEL_MAX, "{word}: {number}");
        }
    }

    #[test]
    fn no_word_below_the_least_has_a_gumbel_number_that_large() {
        for step in -300..1800 {
            let number = step as f32 / 100.0;
            let least = least_word_with_gumbel(number);
            if least > 0 {
                assert!(gumbel_of_word(least - 1) < number, "{number}");
            }
        }
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(gumbel_of_word(least_word_with_gumbel(number)).is_finite());
        }
    }

    #[test]
    fn purposes_candidates_steps_and_rows_differ() {
        let place = Place { seed: 1, candidate: 0, step: 0, row: 0 };
        let first = words(place, Purpose::Sample, 0);
        assert_ne!(first, words(place, Purpose::Renoise, 0));
        assert_ne!(first, words(Place { candidate: 1, ..place }, Purpose::Sample, 0));
        assert_ne!(first, words(Place { step: 1, ..place }, Purpose::Sample, 0));
        assert_ne!(first, words(Place { row: 1, ..place }, Purpose::Sample, 0));
    }
}
