//! Norms and rotation of heads.

use super::norm::rms_norm_of;

/// One head after its norm and, where there are frequencies, its rotation to `position`: dimension i with dimension i + half.
pub fn place_head(head: &[f32], weight: Option<&[f32]>, eps: f32, rotation: Option<(&[f32], usize)>) -> Vec<f64> {
    let exact: Vec<f64> = head.iter().map(|value| f64::from(*value)).collect();
    let mut placed = rms_norm_of(&exact, weight, head.len(), eps);
    let Some((frequencies, position)) = rotation else { return placed };
    let half = head.len() / 2;
    for (index, frequency) in frequencies.iter().enumerate() {
        // The angle is a number of f32 by definition: at great positions its rounding is no small thing.
        let (sine, cosine) = f64::from(position as f32 * frequency).sin_cos();
        let (x, y) = (placed[index], placed[index + half]);
        placed[index] = x * cosine - y * sine;
        placed[index + half] = y * cosine + x * sine;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_length_and_turns_the_right_way() {
        let head = [1.0, 0.0, 0.0, 1.0];
        let quarter = std::f32::consts::FRAC_PI_2;
        let found = place_head(&head, None, 0.0, Some((&[quarter, 0.0], 1)));
        let scale = 2.0_f64.sqrt();
        for (found, expected) in found.iter().zip([0.0, 0.0, scale, scale]) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
}
