//! The canvas head.

/// Soft-capped logits of one hidden row: `[vocabulary]`.
pub fn logits(row: &[f32], embedding: &[f32], soft_cap: f32) -> Vec<f64> {
    let cap = f64::from(soft_cap);
    embedding
        .chunks_exact(row.len())
        .map(|token| {
            let product: f64 = row.iter().zip(token).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            cap * (product / cap).tanh()
        })
        .collect()
}

/// The logarithm of the sum of exponentials; minus infinity counts for nothing.
pub fn log_partition(logits: &[f64]) -> f64 {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shift = if greatest == f64::NEG_INFINITY { 0.0 } else { greatest };
    shift + logits.iter().map(|logit| (logit - shift).exp()).sum::<f64>().ln()
}

/// What holds for one row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// A bit a token; all tokens where it is `None`.
    pub allowed: Option<&'a [u64]>,
    /// Tokens that something else holds possible, and how likely.
    pub votes: &'a [(u32, f32)],
    /// What logits are divided by.
    pub temperature: f32,
}

/// What is to be found in a row.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Tempered logits, of forbidden tokens minus infinity: `[vocabulary]`.
    pub tempered: Vec<f64>,
    /// The tempered distribution: `[vocabulary]`.
    pub probabilities: Vec<f64>,
    /// Nats, of the tempered distribution.
    pub entropy: f64,
    /// Each token's probability in the model's own distribution at temperature 1, over the allowed tokens and without votes.
    pub own: Vec<f64>,
}

/// From capped logits to what the sampler goes by. Votes are mixed in at temperature 1: the model keeps what they leave, and at
/// least 10^-6.
pub fn findings(logits: &[f64], row: Row<'_>) -> Findings {
    let mut logits = logits.to_vec();
    if let Some(allowed) = row.allowed {
        for (token, logit) in logits.iter_mut().enumerate() {
            if allowed[token / 64] >> (token % 64) & 1 == 0 {
                *logit = f64::NEG_INFINITY;
            }
        }
    }
    let own_partition = log_partition(&logits);
    let own = logits.iter().map(|logit| (logit - own_partition).exp()).collect();
    let voted: f32 = row.votes.iter().map(|(_, probability)| probability).sum();
    let share = f64::from((1.0 - voted).max(1e-6));
    for (token, probability) in row.votes {
        let logit = &mut logits[*token as usize];
        if *logit != f64::NEG_INFINITY {
            let vote = own_partition + (f64::from(*probability) / share).ln();
            *logit = log_partition(&[*logit, vote]);
        }
    }
    let tempered: Vec<f64> = logits.iter().map(|logit| logit / f64::from(row.temperature)).collect();
    let partition = log_partition(&tempered);
    let probabilities: Vec<f64> = tempered.iter().map(|logit| (logit - partition).exp()).collect();
    // Tokens without probability add nothing; a row of nothing else has no entropy.
    let term = |(logit, probability): (&f64, &f64)| if *probability == 0.0 { 0.0 } else { probability * logit };
    let mean: f64 = tempered.iter().zip(&probabilities).map(term).sum();
    let entropy = if partition == f64::NEG_INFINITY { f64::NAN } else { partition - mean };
    Findings { tempered, probabilities, entropy, own }
}

/// The index of the greatest value, of equal ones the lowest; 0 where there is none but minus infinity and what is no number.
pub fn argmax(values: &[f64]) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, value) in values.iter().enumerate() {
        if *value > best.1 {
            best = (index, *value);
        }
    }
    best.0
}

/// The mean of the embedding under a distribution, times `scale`: `[hidden]`.
pub fn soft_embedding(probabilities: &[f64], embedding: &[f32], hidden: usize, scale: f32) -> Vec<f64> {
    let mut soft = vec![0.0; hidden];
    for (probability, token) in probabilities.iter().zip(embedding.chunks_exact(hidden)) {
        for (sum, value) in soft.iter_mut().zip(token) {
            *sum += probability * f64::from(*value);
        }
    }
    soft.iter().map(|sum| sum * f64::from(scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Row<'_> = Row { allowed: None, votes: &[], temperature: 1.0 };

    #[test]
    fn a_uniform_row_has_the_logarithm_of_its_length_as_entropy() {
        let found = findings(&[2.0; 8], PLAIN);
        assert!((found.entropy - 8.0_f64.ln()).abs() < 1e-12);
        assert!(found.probabilities.iter().all(|probability| (probability - 0.125).abs() < 1e-12));
    }

    #[test]
    fn votes_share_with_the_model() {
        let logits = [1.0, -2.0, 3.0, 0.5];
        let own = findings(&logits, PLAIN).probabilities;
        let allowed = [0b0111];
        let votes = [(1, 0.5), (3, 0.2), (1, 0.1)];
        let found = findings(&logits, Row { allowed: Some(&allowed), votes: &votes, temperature: 1.0 });
        // The vote for the forbidden token is lost, but not its share of the model's.
        let rest = 1.0 - own[3];
        let weights: Vec<f64> = (0..3).map(|i| 0.2 * own[i] / rest + if i == 1 { 0.6 } else { 0.0 }).collect();
        for token in 0..3 {
            assert!((found.probabilities[token] - weights[token] / 0.8).abs() < 1e-6, "{token}");
            assert!((found.own[token] - own[token] / rest).abs() < 1e-12);
        }
        assert_eq!(found.probabilities[3], 0.0);
    }

    #[test]
    fn without_any_token_there_is_no_distribution() {
        let found = findings(&[1.0, 2.0], Row { allowed: Some(&[0]), ..PLAIN });
        assert!(found.entropy.is_nan() && found.probabilities[0].is_nan());
        assert_eq!(argmax(&found.tempered), 0);
    }

    #[test]
    fn logits_are_capped() {
        let found = logits(&[3.0, 4.0], &[100.0, 0.0, 0.0, 0.0, 0.0, -100.0], 30.0);
        assert!((found[0] - 30.0).abs() < 1e-6 && found[1] == 0.0 && (found[2] + 30.0).abs() < 1e-6);
    }
}
