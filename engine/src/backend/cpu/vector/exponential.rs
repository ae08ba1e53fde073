//! exp, tanh and gelu of a vector of f32.

use pulp::Simd;

/// Where exp leaves the normal numbers: the least argument whose result is one, and the greatest whose result is finite.
const EXP_LEAST: f32 = -87.3;
const EXP_GREATEST: f32 = 88.722;

/// Beyond it tanh is one in f32.
const TANH_ONE: f32 = 10.0;

/// `e^x`. Zero below -87.3, infinite above 88.722.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let Reduced { exponent, minus_one } = reduce(simd, x);
    let mantissa = simd.add_f32s(minus_one, simd.splat_f32s(1.0));
    let result = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(mantissa), exponent));
    let too_great = simd.greater_than_f32s(x, simd.splat_f32s(EXP_GREATEST));
    let result = simd.select_f32s(too_great, simd.splat_f32s(f32::INFINITY), result);
    let too_small = simd.less_than_f32s(x, simd.splat_f32s(EXP_LEAST));
    simd.select_f32s(too_small, simd.splat_f32s(0.0), result)
}

/// `tanh(x)`, by `t / (t + 2)` with `t = e^2|x| - 1`, which keeps its accuracy near zero.
#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let magnitude = simd.abs_f32s(x);
    let limit = simd.splat_f32s(TANH_ONE);
    let magnitude = simd.select_f32s(simd.greater_than_f32s(magnitude, limit), limit, magnitude);
    let Reduced { exponent, minus_one } = reduce(simd, simd.add_f32s(magnitude, magnitude));
    let one = simd.splat_f32s(1.0);
    let power = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(one), exponent));
    let t = simd.mul_add_e_f32s(power, minus_one, simd.sub_f32s(power, one));
    let result = simd.div_f32s(t, simd.add_f32s(t, simd.splat_f32s(2.0)));
    let sign = simd.and_f32s(x, simd.splat_f32s(-0.0));
    simd.or_f32s(result, sign)
}

/// `x / 2 * (1 + tanh(u))` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`. Since `(1 + tanh(u)) / 2 = 1 / (1 + exp(-2u))`,
/// nothing cancels where tanh comes near -1. (Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.)
#[inline(always)]
pub(super) fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const TWICE_ROOT_TWO_OVER_PI: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.044_715;
    let squared = simd.mul_f32s(x, x);
    let factor = simd.mul_add_e_f32s(
        squared,
        simd.splat_f32s(-TWICE_ROOT_TWO_OVER_PI * CUBIC),
        simd.splat_f32s(-TWICE_ROOT_TWO_OVER_PI),
    );
    let divisor = simd.add_f32s(simd.splat_f32s(1.0), exp(simd, simd.mul_f32s(factor, x)));
    simd.div_f32s(x, divisor)
}

/// `e^x = 2^n * (1 + minus_one)`, with |minus_one| below 0.42.
struct Reduced<S: Simd> {
    /// n, where an f32 keeps its exponent: added to a number's bits it multiplies the number by 2^n.
    exponent: S::u32s,
    minus_one: S::f32s,
}

/// Reduces by `x = n ln 2 + r` with |r| at most `ln 2 / 2`. Meaningless, but harmless, outside of exp's finite range.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::f32s) -> Reduced<S> {
    // Adding 1.5 * 2^23 leaves no bits for a fraction: the sum's low bits are n.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -0.000_212_194_44;
    let rounded = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(rounded, simd.splat_f32s(ROUND));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_LOW), r);
    // (e^r - 1 - r) / r^2, interpolated at Chebyshev nodes; it leaves a relative error of 2.6e-8 in e^r - 1.
    let mut series = simd.splat_f32s(0.001_393_454_5);
    for coefficient in [0.008_363_777, 0.041_666_456, 0.166_665_73, 0.5] {
        series = simd.mul_add_e_f32s(series, r, simd.splat_f32s(coefficient));
    }
    let minus_one = simd.mul_add_e_f32s(simd.mul_f32s(r, r), series, r);
    // All but the lowest nine bits are shifted out, the constant's own among them.
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    Reduced { exponent, minus_one }
}
