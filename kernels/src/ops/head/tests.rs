use super::*;
use crate::ops::linear::Weights;
use crate::reference::head as reference;
use crate::reference::norm::rms_norm;
use crate::testing::{Bits, Random, assert_close, assert_close_bf16, on_devices};
use crate::{EmulatorOptions, bf16};

mod case;

use case::{Case, EPS, LOGIT, SCALE, Sampled, TestElement, widen};

fn sizes<T: TestElement>(random: &mut Random) {
    for (rows, vocabulary, hidden) in [(1, 1, 8), (3, 72, 24), (5, 130, 44), (0, 100, 8), (33, 300, 64), (2, 1000, 7)] {
        Case::<T>::new(random, rows, vocabulary, hidden).run_and_check();
    }
}

#[test]
fn the_head_in_f32_is_what_it_says() {
    sizes::<f32>(&mut Random::new(31));
}

#[test]
fn the_head_in_bf16_is_what_it_says() {
    sizes::<bf16>(&mut Random::new(32));
}

#[test]
fn an_embedding_in_bf16_is_widened_for_exact_products() {
    let mut random = Random::new(49);
    for (rows, vocabulary, hidden) in [(3, 72, 24), (5, 130, 44), (33, 300, 64), (2, 500, 7)] {
        let case = Case::<f32>::new(&mut random, rows, vocabulary, hidden).stored_narrow();
        let narrow = on_devices(|device| case.run(device));
        case.check(&narrow);
        // Not one bit is another than with the same numbers in f32.
        let wide = on_devices(|device| Case { is_stored_narrow: false, ..case.clone() }.run(device));
        assert!(narrow.bits() == wide.bits());
    }
}

#[test]
fn many_rows_have_tiles_of_their_own() {
    let mut random = Random::new(33);
    Case::<bf16>::new(&mut random, 70, 200, 72).run_and_check();
    Case::<bf16>::new(&mut random, 140, 136, 40).run_and_check();
}

#[test]
fn soft_embeddings_are_split_among_blocks() {
    let mut random = Random::new(34);
    let case = Case::<f32>::new(&mut random, 2, 3000, 16);
    let wide = EmulatorOptions { multiprocessors: 132, ..EmulatorOptions::default() };
    let single = EmulatorOptions { multiprocessors: 1, ..EmulatorOptions::default() };
    let [split, whole] = [wide, single].map(|options| case.run(&Device::emulator_with(options)).unwrap());
    assert!(split.2.bits() != whole.2.bits(), "shares that were added up are rounded otherwise");
    case.check(&split);
    case.check(&whole);
}

#[test]
fn what_is_not_wanted_is_not_made() {
    let mut random = Random::new(35);
    let mut case = Case::<f32>::new(&mut random, 3, 150, 16);
    case.own_probabilities = false;
    case.keep_soft = false;
    let (_, (_, numbers), soft) = on_devices(|device| case.run(device));
    assert!(numbers.chunks(3).all(|row| row[2] == 1.0));
    assert!(soft.is_empty());
    case.run_and_check();
}

#[test]
fn a_tape_is_read_by_the_canvas_row() {
    let mut random = Random::new(36);
    let mut case = Case::<f32>::new(&mut random, 4, 140, 8);
    let tape = random.normal((4 + 11) * 140, 4.0);
    case.tape = Some(tape);
    case.run_and_check();
}

/// Sets of one token, of every third, of nothing, of all.
fn sets(vocabulary: usize) -> Vec<Vec<u64>> {
    let set = |holds: &dyn Fn(usize) -> bool| {
        let mut words = vec![0; vocabulary.div_ceil(64)];
        (0..vocabulary).filter(|token| holds(*token)).for_each(|token| words[token / 64] |= 1 << (token % 64));
        words
    };
    vec![set(&|token| token == 131), set(&|token| token % 3 == 1), set(&|_| false), set(&|_| true)]
}

#[test]
fn only_allowed_tokens_are_found() {
    let mut random = Random::new(37);
    let mut case = Case::<f32>::new(&mut random, 5, 270, 16);
    case.sets = sets(270);
    for (index, row) in case.rows.iter_mut().enumerate() {
        row.set = index.checked_sub(1);
    }
    let found = on_devices(|device| case.run(device));
    let (_, (tokens, numbers), soft) = &found;
    assert_eq!(tokens[2..4], [131, 131]);
    assert_eq!(numbers[3..6], [0.0, 1.0, 1.0]);
    assert!(tokens[4] % 3 == 1 && tokens[5] % 3 == 1);
    // Where nothing is allowed there is no distribution, and token 0 stands for none.
    assert_eq!(tokens[6..8], [0, 0]);
    assert!(numbers[9..12].iter().all(|number| number.is_nan()));
    assert!(soft[3 * 16..4 * 16].iter().all(|number| number.is_nan()));
    case.check(&found);
}

#[test]
fn votes_are_mixed_into_the_distribution() {
    let mut random = Random::new(38);
    for (keep_soft, with_tape) in [(true, false), (false, true)] {
        let mut case = Case::<f32>::new(&mut random, 6, 400, 16);
        (case.has_votes, case.keep_soft) = (true, keep_soft);
        case.sets = sets(400);
        case.tape = with_tape.then(|| random.normal((6 + 11) * 400, 2.0));
        case.rows[0].votes = vec![(399, 0.9)];
        // The second one stands twice, in tiles of its own and others'.
        case.rows[1].votes = vec![(3, 0.2), (130, 0.3), (7, 0.1), (130, 0.25)];
        // Only the second one may stand there, and the first one takes its share all the same.
        (case.rows[2].set, case.rows[2].votes) = (Some(1), vec![(3, 0.4), (4, 0.4)]);
        // More votes than count, for tokens far apart.
        case.rows[3].votes = (0..30).map(|index| (index * 13, 0.02)).collect();
        // Nothing else is left.
        (case.rows[4].set, case.rows[4].votes) = (Some(0), vec![(131, 0.999)]);
        case.run_and_check();
        for row in &mut case.rows {
            row.votes.iter_mut().for_each(|(_, probability)| *probability = probability.min(0.1));
        }
        case.temperature = 0.25;
        case.run_and_check();
    }
    let mut case = Case::<bf16>::new(&mut random, 3, 300, 32);
    case.has_votes = true;
    case.rows[1].votes = vec![(5, 0.6), (299, 0.3)];
    case.run_and_check();
}

#[test]
fn ties_go_to_the_lowest_token() {
    let (vocabulary, hidden) = (600, 8);
    let mut random = Random::new(39);
    let mut case = Case::<f32>::new(&mut random, 2, vocabulary, hidden);
    case.embedding.fill(0.0);
    case.tape = Some(vec![0.25; vocabulary * 13]);
    let first = |found: &Sampled| found.1.0.clone();
    assert_eq!(first(&on_devices(|device| case.run(device))), [0; 4]);
    // Two tokens of different tiles, and of one tile, whose logits are the same and the greatest of the last row of the stream.
    for (low, high) in [(5, 7), (130, 131), (3, 500), (255, 256)] {
        case.embedding.fill(0.0);
        for token in [low, high] {
            for (value, (x, weight)) in
                case.embedding[token * hidden..].iter_mut().zip(case.stream[2 * hidden..].iter().zip(&case.final_norm))
            {
                *value = x * weight;
            }
        }
        assert_eq!(first(&on_devices(|device| case.run(device)))[..2], [low as u32; 2]);
    }
}

#[test]
fn the_twin_s_random_numbers_choose_the_same_tokens() {
    // Equal logits: what is drawn decides alone.
    let mut random = Random::new(40);
    let mut case = Case::<f32>::new(&mut random, 12, 900, 8);
    case.embedding.fill(0.0);
    let (_, (tokens, _), _) = on_devices(|device| case.run(device));
    for (index, row) in case.rows.iter().enumerate() {
        assert_eq!(tokens[2 * index + 1] as usize, reference::argmax(&case.noise(row)), "row {index}");
    }
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    let mut random = Random::new(41);
    let (vocabulary, hidden) = (300, 16);
    for value in [f32::NAN, f32::INFINITY, 1e30] {
        let mut case = Case::<f32>::new(&mut random, 3, vocabulary, hidden);
        case.stream[2 * hidden + 3] = value;
        let found = on_devices(|device| case.run(device));
        let (_, (tokens, numbers), soft) = &found;
        // The row in the middle; of it nothing is known but that its tokens are some.
        assert!(tokens.iter().all(|token| (*token as usize) < vocabulary));
        for row in [0, 2] {
            assert!(numbers[3 * row..][..3].iter().all(|number| number.is_finite()), "{value}");
            assert!(soft[row * hidden..][..hidden].iter().all(|number| number.is_finite()), "{value}");
        }
        if value.is_nan() {
            assert_eq!(tokens[2..4], [0, 0]);
            assert!(numbers[3..6].iter().all(|number| number.is_nan()));
        }
    }
    // One token's logit is no number: it never wins, and the distribution is none.
    let mut case = Case::<f32>::new(&mut random, 2, vocabulary, hidden);
    case.embedding[150 * hidden] = f32::NAN;
    let (normed, (tokens, numbers), _) = on_devices(|device| case.run(device));
    for (index, logits) in case.logits(&normed).iter().enumerate() {
        assert_eq!(tokens[2 * index] as usize, reference::argmax(logits));
        assert_ne!(tokens[2 * index + 1], 150);
        assert!(numbers[3 * index..][..3].iter().all(|number| number.is_nan()));
    }
}

#[test]
fn logits_of_any_size_are_capped() {
    let mut random = Random::new(42);
    let mut case = Case::<f32>::new(&mut random, 3, 200, 8);
    case.embedding.iter_mut().for_each(|value| *value *= 1e20);
    case.temperature = 0.4;
    let found = on_devices(|device| case.run(device));
    assert!(found.1.1.iter().all(|number| number.is_finite()));
    case.check(&found);
}

#[test]
fn hidden_rows_are_normed_and_rounded() {
    fn normed<T: TestElement>(case: &Case<T>) -> Vec<T>
    where
        Vec<T>: Bits,
    {
        on_devices(|device| {
            case.with_model(device, |vocabulary, stream, rows, workspace| {
                norm_rows("test", vocabulary, stream, Some(rows), rows.len(), workspace)?;
                workspace.rows_in.as_slice().read()
            })
        })
    }
    let expected = |stream: &[f32], norm: &[f32]| {
        let all = rms_norm(stream, Some(norm), norm.len(), EPS);
        all.chunks(norm.len()).skip(1).rev().flatten().copied().collect::<Vec<f64>>()
    };
    let case = Case::<f32>::new(&mut Random::new(43), 4, 3, 600);
    assert_close(&normed(&case), &expected(&case.stream, &case.final_norm), 2e-6, 0.0);
    let case = Case::<bf16>::new(&mut Random::new(44), 4, 3, 600);
    assert_close_bf16(&normed(&case), &expected(&case.stream, &case.final_norm), 2e-6, 0.0);
}

#[test]
fn whole_logits_are_written_for_conformance() {
    fn check<T: TestElement>(case: &Case<T>) {
        // One row more than the workspace has room for.
        let rows = case.rows.len() + 1;
        let (normed, found) = on_devices(|device| {
            case.with_model(device, |vocabulary, stream, _, workspace| {
                let mut output = device.allocate::<f32>(rows * case.vocabulary)?;
                logits(vocabulary, stream, workspace, output.as_mut())?;
                let mut normed = Vec::new();
                for row in 0..rows {
                    norm_rows("test", vocabulary, stream.slice(row * case.hidden..stream.len()), None, 1, workspace)?;
                    normed.extend(widen(&workspace.rows_in.slice(0..case.hidden).read()?));
                }
                Ok((normed, output.as_slice().read()?))
            })
        });
        let expected: Vec<f64> = case.logits(&normed).concat();
        assert_close(&found, &expected, 0.0, LOGIT);
    }
    let mut random = Random::new(45);
    check(&Case::<f32>::new(&mut random, 3, 140, 20));
    check(&Case::<bf16>::new(&mut random, 3, 140, 20));
    check(&Case::<bf16>::new(&mut random, 65, 129, 64));
}

#[test]
fn log_probabilities_are_among_the_whole_vocabulary() {
    let mut random = Random::new(46);
    let case = Case::<f32>::new(&mut random, 3, 260, 12);
    let lists = [vec![0, 259, 130, 130], vec![], (0..70).collect()];
    let (normed, found) = on_devices(|device| {
        case.with_model(device, |vocabulary, stream, rows, workspace| {
            let mut tokens = TokenLists::new(device, 3, 100)?;
            tokens.write_tokens(&lists)?;
            let mut output = device.allocate::<f32>(tokens.tokens())?;
            log_probabilities(vocabulary, stream, rows, &mut tokens, workspace, output.as_mut())?;
            Ok((widen(&workspace.rows_in.as_slice().read()?), output.as_slice().read()?))
        })
    });
    let expected: Vec<f64> = (case.logits(&normed).iter().zip(&lists))
        .flat_map(|(logits, tokens)| {
            let partition = reference::log_partition(logits);
            tokens.iter().map(move |token| logits[*token as usize] - partition)
        })
        .collect();
    assert_close(&found, &expected, 0.0, LOGIT);
}

#[test]
fn given_logits_are_softened() {
    fn check<T: TestElement>(random: &mut Random) {
        let case = Case::<T>::new(random, 3, 150, 24);
        let mut logits = random.normal(3 * 150, 5.0);
        logits[150..300].fill(f32::NEG_INFINITY);
        let found = on_devices(|device| {
            case.with_model(device, |vocabulary, _, _, workspace| {
                soften(device.upload(&logits)?.as_slice(), workspace)?;
                let mut soft = device.allocate::<f32>(workspace.kept_rows() * 24)?;
                soft_embeddings(vocabulary, workspace, SCALE, soft.as_mut())?;
                soft.as_slice().read()
            })
        });
        let embedding = widen(&case.embedding);
        for row in [0, 2] {
            let exact: Vec<f64> = logits[row * 150..][..150].iter().map(|logit| f64::from(*logit)).collect();
            let partition = reference::log_partition(&exact);
            let probabilities: Vec<f64> = exact.iter().map(|logit| (logit - partition).exp()).collect();
            let expected = reference::soft_embedding(&probabilities, &embedding, 24, SCALE);
            assert_close(&found[row * 24..][..24], &expected, 0.0, (T::KEPT + 1e-5) * 8.0);
        }
        assert!(found[24..48].iter().all(|value| value.is_nan()));
    }
    let mut random = Random::new(47);
    check::<f32>(&mut random);
    check::<bf16>(&mut random);
}

#[test]
fn the_head_refuses_what_does_not_fit() {
    let device = Device::emulator();
    let mut random = Random::new(48);
    let mut good = || Case::<f32>::new(&mut random, 2, 100, 8);
    let refused = |case: &Case<f32>| {
        let error = case.run(&device).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    };
    assert!(good().run(&device).is_ok());
    let wide = device.allocate::<f32>(800).unwrap();
    assert!(bf16::HEAD.kernels_for(2, &Weights::F32(wide.as_slice())).is_none());
    let bytes = device.allocate::<u8>(800).unwrap();
    let quantised = Weights::Fp8 { numbers: bytes.as_slice(), scales: wide.slice(0..100) };
    assert!(f32::HEAD.kernels_for(2, &quantised).is_none());
    let mut case = good();
    case.rows[0].set = Some(0);
    refused(&case);
    let mut case = good();
    case.stream.truncate(2 * 8);
    refused(&case);
    let mut case = good();
    case.embedding.truncate(99 * 8);
    refused(&case);
    let mut case = good();
    case.tape = Some(vec![0.0; 12 * 100]);
    refused(&case);
    let mut case = good();
    (case.has_votes, case.rows[1].votes) = (true, vec![(100, 0.5)]);
    refused(&case);
}
