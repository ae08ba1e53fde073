//! The numbers: E4M3 and E2M1 as the Open Compute Project defines them (OCP 8-bit Floating Point Specification 1.0, section 5;
//! OCP Microscaling Formats Specification 1.0, section 5.3.3).

/// The largest number in E4M3.
pub(crate) const E4M3_MAX: f32 = 448.0;
/// The largest number in E2M1.
pub(crate) const E2M1_MAX: f32 = 6.0;

/// Every number in E2M1, by its four bits.
pub(crate) const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Every number in E4M3, by its byte. There are no infinities, and two bytes that are not a number.
pub(crate) const E4M3: [f32; 256] = {
    let mut numbers = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        numbers[byte] = decode_e4m3(byte as u8);
        byte += 1;
    }
    numbers
};

const fn decode_e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = ((byte >> 3) & 0xf, byte & 0x7);
    let magnitude = if byte & 0x7f == 0x7f {
        f32::NAN
    } else if exponent == 0 {
        mantissa as f32 / 512.0
    } else {
        // 2^(exponent - 7), whose bits are put together because powers are not for constants.
        f32::from_bits((exponent as u32 + 120) << 23) * (1.0 + mantissa as f32 / 8.0)
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Whether any byte is no number in E4M3. Every byte is looked at, because a loop without an exit is vectorised.
pub(crate) fn any_e4m3_nan(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, byte| found | (byte & 0x7f == 0x7f))
}

/// The nearest number in E4M3; of two as near, the one with an even last bit. What is too large becomes the largest; NaN stays.
#[inline(always)]
pub(crate) fn round_to_e4m3(value: f32) -> f32 {
    round::<3, -6>(value, E4M3_MAX)
}

/// The nearest number in E2M1; of two as near, the one with an even last bit. What is too large becomes the largest; NaN stays.
#[inline(always)]
pub(crate) fn round_to_e2m1(value: f32) -> f32 {
    round::<1, 0>(value, E2M1_MAX)
}

/// Rounds to `MANTISSA` bits behind the leading one, and to those of `2^LEAST` below that power.
///
/// Adding and taking away a number whose last bit is worth one unit of the format rounds to such units, half to even.
#[inline(always)]
fn round<const MANTISSA: u32, const LEAST: i32>(value: f32, largest: f32) -> f32 {
    let clamped = if value > largest { largest } else { value };
    let clamped = if clamped < -largest { -largest } else { clamped };
    let least = ((LEAST + 127) as u32) << 23;
    let exponent = (clamped.to_bits() & 0x7f80_0000).max(least);
    // 1.5 times 2^(exponent + 23 - MANTISSA).
    let anchor = f32::from_bits((exponent + ((23 - MANTISSA) << 23)) | 0x0040_0000);
    ((clamped + anchor) - anchor).copysign(clamped)
}

/// The byte of the nearest number in E4M3, as [`round_to_e4m3`] finds it.
pub(crate) fn to_e4m3(value: f32) -> u8 {
    if value.is_nan() {
        return 0x7f;
    }
    encode::<3, -6>(round_to_e4m3(value))
}

/// The four bits of the nearest number in E2M1, as [`round_to_e2m1`] finds it; those of zero for NaN, which has none.
pub(crate) fn to_e2m1(value: f32) -> u8 {
    if value.is_nan() {
        return 0;
    }
    encode::<1, 0>(round_to_e2m1(value))
}

/// The bits of a number that is one of the format's.
fn encode<const MANTISSA: u32, const LEAST: i32>(number: f32) -> u8 {
    let bits = number.to_bits();
    let sign = (bits >> 31) as u8;
    let magnitude = number.abs();
    let exponent = ((bits >> 23) & 0xff) as i32 - 127;
    let body = if exponent < LEAST || magnitude == 0.0 {
        // In units of the smallest number.
        (magnitude * f32::from_bits(((127 - LEAST) as u32 + MANTISSA) << 23)) as u32
    } else {
        (((exponent - LEAST + 1) as u32) << MANTISSA) | ((bits & 0x007f_ffff) >> (23 - MANTISSA))
    };
    let width = if MANTISSA == 3 { 7 } else { 3 };
    (sign << width) | body as u8
}
