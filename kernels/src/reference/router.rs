//! The choice of experts.

/// Experts and weights of each row, by ascending expert.
pub fn choose_experts(scores: &[f32], per_expert_scale: &[f32], slots: usize) -> Vec<Vec<(u32, f64)>> {
    let choose = |row: &[f32]| {
        let mut ranked: Vec<usize> = (0..row.len()).collect();
        let key = |expert: &usize| if row[*expert].is_nan() { None } else { Some(row[*expert]) };
        // A stable sort leaves equal ones in ascending order; none is less than any number.
        ranked.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(std::cmp::Ordering::Equal));
        ranked.truncate(slots);
        let best = f64::from(row[ranked[0]]);
        let weights: Vec<f64> = ranked.iter().map(|expert| (f64::from(row[*expert]) - best).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mut chosen: Vec<(u32, f64)> = ranked
            .iter()
            .zip(weights)
            .map(|(expert, weight)| (*expert as u32, weight / sum * f64::from(per_expert_scale[*expert])))
            .collect();
        chosen.sort_by_key(|(expert, _)| *expert);
        chosen
    };
    scores.chunks_exact(per_expert_scale.len()).map(choose).collect()
}

/// Where each expert's assignments begin, with the end of the last; and the assignments by expert.
pub fn group_by_expert(chosen: &[u32], experts: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut starts, mut order) = (vec![0], Vec::new());
    for expert in 0..experts {
        let own = chosen.iter().enumerate().filter(|(_, chosen)| **chosen as usize == expert);
        order.extend(own.map(|(assignment, _)| assignment as u32));
        starts.push(order.len() as u32);
    }
    (starts, order)
}
