//! Rotary position embedding by halves.

use crate::checkpoint::LayerConfig;

/// Inverse frequencies of one layer, [head_dim / 2]; zero where the dimension does not rotate.
pub(crate) struct InverseFrequencies(Vec<f32>);

impl InverseFrequencies {
    pub(crate) fn new(layer: &LayerConfig) -> Self {
        Self(layer.inverse_frequencies())
    }

    /// Writes the cosines and sines of the angles at `position`, [head_dim / 2] each.
    pub(crate) fn angles(&self, position: usize, cosines: &mut [f32], sines: &mut [f32]) {
        for ((frequency, cosine), sine) in self.0.iter().zip(cosines).zip(sines) {
            let angle = position as f32 * frequency;
            (*sine, *cosine) = angle.sin_cos();
        }
    }

    /// Half of the head's dimension.
    pub(crate) fn half(&self) -> usize {
        self.0.len()
    }
}

/// Rotates one head in place: dimension i with dimension i + half.
pub(crate) fn rotate(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (first, second) = head.split_at_mut(cosines.len());
    for (((x, y), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
        (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_length_and_depends_on_distance_alone() {
        let frequencies = InverseFrequencies(vec![1.0, 0.1, 0.01, 0.0]);
        let rotated = |position: usize, head: [f32; 8]| {
            let (mut cosines, mut sines) = ([0.0; 4], [0.0; 4]);
            frequencies.angles(position, &mut cosines, &mut sines);
            let mut head = head;
            rotate(&mut head, &cosines, &sines);
            head
        };
        let query = [0.3, -1.0, 0.5, 2.0, 0.7, 0.1, -0.4, 1.5];
        let key = [1.0, 0.2, -0.3, 0.9, -1.1, 0.6, 0.8, -0.5];
        let product = |a: [f32; 8], b: [f32; 8]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let near = product(rotated(5, query), rotated(3, key));
        let far = product(rotated(105, query), rotated(103, key));
        assert!((near - far).abs() < 1e-4, "{near} {far}");
        assert!((product(rotated(77, query), rotated(77, query)) - product(query, query)).abs() < 1e-4);
        // Dimensions 3 and 7 do not rotate.
        let moved = rotated(1000, query);
        assert_eq!((moved[3], moved[7]), (query[3], query[7]));
    }
}
