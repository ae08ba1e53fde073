//! Attention of segments over cached and own keys.

/// The heads of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Numbers in a head.
    pub head_dim: usize,
}

/// One segment of packed rows.
#[derive(Clone, Copy, Debug)]
pub struct SegmentKeys<'a> {
    /// How many rows.
    pub rows: usize,
    /// The prompt's keys, [tokens, kv_heads, head_dim]; of new prompt tokens with their own at the end.
    pub cached_keys: &'a [f32],
    /// As the keys.
    pub cached_values: &'a [f32],
}

/// `softmax(queries * keys) * values`, [rows, heads, head_dim]. With `own` keys and values, [rows, kv_heads, head_dim], the segments are
/// canvases; without, they are the last tokens of their prompts.
pub fn attend(
    heads: Heads,
    window: Option<usize>,
    segments: &[SegmentKeys<'_>],
    queries: &[f32],
    own: Option<(&[f32], &[f32])>,
) -> Vec<f64> {
    let Heads { heads: query_heads, kv_heads, head_dim } = heads;
    let width = kv_heads * head_dim;
    let mut output = Vec::with_capacity(queries.len());
    let mut first_row = 0;
    for segment in segments {
        let tokens = segment.cached_keys.len() / width;
        for row in 0..segment.rows {
            for head in 0..query_heads {
                let column = head / (query_heads / kv_heads) * head_dim;
                let part = |data: &'_ [f32], row: usize| data[row * width + column..][..head_dim].to_vec();
                let mut seen: Vec<(Vec<f32>, Vec<f32>)> = Vec::new();
                let mut see_cached = |token| {
                    seen.push((part(segment.cached_keys, token), part(segment.cached_values, token)));
                };
                match own {
                    None => {
                        let position = tokens - segment.rows + row;
                        let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
                        (first..=position).for_each(&mut see_cached);
                    }
                    Some((keys, values)) => {
                        let first = window.map_or(0, |window| tokens.saturating_sub(window - 1));
                        (first..tokens).for_each(&mut see_cached);
                        for other in first_row..first_row + segment.rows {
                            seen.push((part(keys, other), part(values, other)));
                        }
                    }
                }
                let query = &queries[((first_row + row) * query_heads + head) * head_dim..][..head_dim];
                output.extend(attend_one(query, &seen));
            }
        }
        first_row += segment.rows;
    }
    output
}

/// One query over the keys and values that it sees.
fn attend_one(query: &[f32], seen: &[(Vec<f32>, Vec<f32>)]) -> Vec<f64> {
    let product = |key: &[f32]| query.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let scores: Vec<f64> = seen.iter().map(|(key, _)| product(key)).collect();
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shift = if greatest == f64::NEG_INFINITY { 0.0 } else { greatest };
    let weights: Vec<f64> = scores.iter().map(|score| (score - shift).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..query.len())
        .map(|index| {
            let weighted = weights.iter().zip(seen).map(|(weight, (_, value))| weight * f64::from(value[index]));
            weighted.sum::<f64>() / sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { heads: 2, kv_heads: 1, head_dim: 1 };

    #[test]
    fn equal_scores_average_what_is_seen() {
        // Keys are zero, so each row's output is the mean of the values that it sees.
        let (keys, values) = ([0.0; 4], [1.0, 2.0, 3.0, 4.0]);
        let causal = [SegmentKeys { rows: 2, cached_keys: &keys, cached_values: &values }];
        let queries = [1.0; 4];
        assert_eq!(attend(HEADS, None, &causal, &queries, None), [2.0, 2.0, 2.5, 2.5]);
        assert_eq!(attend(HEADS, Some(2), &causal, &queries, None), [2.5, 2.5, 3.5, 3.5]);
        let own = (&[0.0, 0.0][..], &[10.0, 20.0][..]);
        assert_eq!(attend(HEADS, None, &causal, &queries, Some(own)), [40.0 / 6.0; 4]);
        assert_eq!(attend(HEADS, Some(2), &causal, &queries, Some(own)), [34.0 / 3.0; 4]);
        assert_eq!(attend(HEADS, Some(1), &causal, &queries, Some(own)), [15.0; 4]);
    }
}
