//! Numbers of 8 and 4 bits, by their definitions.

/// The number that an e4m3 stands for.
pub fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let magnitude = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa / 8.0 * 2.0_f32.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The e4m3 nearest to a number, of two equally near ones the one with an even mantissa; the greatest for what is beyond it, and 0x7F for what
/// is no number.
pub fn to_e4m3(number: f32) -> u8 {
    if number.is_nan() {
        return 0x7F;
    }
    let distance = |byte: u8| (f64::from(e4m3(byte)) - f64::from(number.abs())).abs();
    // Magnitudes ascend with their bytes, and a mantissa is even where its byte is.
    let nearest = (0..0x7F_u8).reduce(|best, byte| {
        let is_nearer = distance(byte) < distance(best) || (distance(byte) == distance(best) && byte % 2 == 0);
        if is_nearer { byte } else { best }
    });
    nearest.unwrap_or(0) | if number.is_sign_negative() { 0x80 } else { 0 }
}

/// The number that the four bits of an e2m1 stand for.
pub fn e2m1(bits: u8) -> f32 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(bits & 7)];
    if bits & 8 == 0 { magnitude } else { -magnitude }
}

/// The four bits of the e2m1 nearest to a number, of two equally near ones the even one; the greatest for what is beyond it, and those of 6 for
/// what is no number.
pub fn to_e2m1(number: f32) -> u8 {
    if number.is_nan() {
        return 7;
    }
    // What is infinite would be as far from all of them.
    let distance = |bits: u8| (f64::from(e2m1(bits)) - f64::from(number.abs().min(6.0))).abs();
    let nearest = (0..8_u8).reduce(|best, bits| {
        let is_nearer = distance(bits) < distance(best) || (distance(bits) == distance(best) && bits % 2 == 0);
        if is_nearer { bits } else { best }
    });
    nearest.unwrap_or(0) | if number.is_sign_negative() { 8 } else { 0 }
}

/// Groups of 16 quantised each by its greatest magnitude, in units of `scale`: their numbers as e2m1, eight a word, and the groups' scales as
/// e4m3.
pub fn quantise_groups(input: &[f32], scale: f32) -> (Vec<u32>, Vec<u8>) {
    let (mut words, mut scales) = (Vec::with_capacity(input.len() / 8), Vec::new());
    for group in input.chunks_exact(16) {
        let any_nan = group.iter().any(|number| number.is_nan());
        let greatest = group.iter().fold(0.0_f32, |greatest, number| greatest.max(number.abs()));
        let group_scale = to_e4m3(if any_nan { f32::NAN } else { greatest / 6.0 / scale });
        let unit = e4m3(group_scale) * scale;
        let code = |number: &f32| if unit == 0.0 { 0 } else { to_e2m1(number / unit) };
        words.extend(
            group
                .chunks_exact(8)
                .map(|eight| eight.iter().rev().fold(0, |word, number| word << 4 | u32::from(code(number)))),
        );
        scales.push(group_scale);
    }
    (words, scales)
}

/// Rows quantised each by its greatest magnitude: their numbers as e4m3, and their scales.
pub fn quantise_rows(input: &[f32], width: usize) -> (Vec<u8>, Vec<f32>) {
    let (mut numbers, mut scales) = (Vec::with_capacity(input.len()), Vec::new());
    for row in input.chunks_exact(width) {
        // The greater of two is the one that is a number.
        let greatest = row.iter().fold(0.0_f32, |greatest, number| greatest.max(number.abs()));
        let scale = (greatest / 448.0).max(f32::MIN_POSITIVE);
        numbers.extend(row.iter().map(|number| to_e4m3(number / scale)));
        scales.push(scale);
    }
    (numbers, scales)
}

/// The numbers of a weight of 4 bits as a checkpoint holds it, two a byte with the first in its lower half and a scale in e4m3 for every 16, without
/// the scales of its rows.
pub fn nvfp4(packed: &[u8], group_scales: &[u8]) -> Vec<f32> {
    let codes = packed.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    codes.enumerate().map(|(index, code)| e2m1(code) * e4m3(group_scales[index / 16])).collect()
}
