use super::*;
use crate::bf16;
use crate::ops::quantised::{Fp4RowsMut, Fp8RowsMut};
use crate::ops::rows::NormedOutput;
use crate::reference::norm as reference;
use crate::reference::quantised::{quantise_groups, quantise_rows};
use crate::testing::{Random, assert_close, assert_close_bf16, on_devices, special_values};

/// Of a result's magnitude: two roundings of the products, and the square root's and the sum's halves.
const F32_TOLERANCE: f64 = 2e-6;

#[test]
fn rms_norm_is_what_it_says() {
    let mut random = Random::new(1);
    for (rows, width) in [(1, 1), (3, 5), (2, 256), (5, 704), (1, 2816), (4, 513), (0, 7)] {
        let input = random.normal(rows * width, 3.0);
        let weight = random.normal(width, 1.0);
        for weight in [None, Some(&weight[..])] {
            let expected = reference::rms_norm(&input, weight, width, 1e-6);
            let (f32s, bf16s) = on_devices(|device| {
                let (input, weight) = (device.upload(&input)?, weight.map(|weight| device.upload(weight)).transpose()?);
                let weight = weight.as_ref().map(|weight| weight.as_slice());
                let (mut f32s, mut bf16s) = (device.allocate(rows * width)?, device.allocate::<bf16>(rows * width)?);
                rms_norm(input.as_slice(), weight, width, 1e-6, f32s.as_mut())?;
                rms_norm(input.as_slice(), weight, width, 1e-6, bf16s.as_mut())?;
                Ok((f32s.as_slice().read()?, bf16s.as_slice().read()?))
            });
            assert_close(&f32s, &expected, F32_TOLERANCE, 0.0);
            assert_close_bf16(&bf16s, &expected, F32_TOLERANCE, 0.0);
        }
    }
}

#[test]
fn rms_norm_of_what_is_no_number_stays_in_its_row() {
    let width = 40;
    for value in special_values() {
        let mut input = vec![0.5_f32; 3 * width];
        input[width + 7] = value;
        let expected = reference::rms_norm(&input, None, width, 1e-6);
        let found = on_devices(|device| {
            let input = device.upload(&input)?;
            let mut output = device.allocate::<f32>(3 * width)?;
            rms_norm(input.as_slice(), None, width, 1e-6, output.as_mut())?;
            output.as_slice().read()
        });
        assert!(found[..width].iter().chain(&found[2 * width..]).all(|value| value.is_finite()));
        if (value * value).is_finite() {
            assert_close(&found, &expected, F32_TOLERANCE, 0.0);
        } else {
            // The square of a great number is infinite in f32: the row's other numbers become zero, or none.
            assert!(found[width..2 * width].iter().all(|value| *value == 0.0 || value.is_nan()));
        }
    }
}

#[test]
fn rms_norm_refuses_what_does_not_fit() {
    let device = crate::Device::emulator();
    let input = device.allocate::<f32>(12).unwrap();
    let mut output = device.allocate::<f32>(12).unwrap();
    let mut refused = |weight: Option<Slice<'_, f32>>, width, length| {
        let error = rms_norm(input.as_slice(), weight, width, 1e-6, output.slice_mut(0..length)).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    };
    refused(None, 5, 12);
    refused(None, 0, 12);
    refused(None, 4, 8);
    refused(Some(input.as_slice()), 4, 12);
}

/// Sizes of the stream.
const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 5), (2, 256), (4, 705), (1, 2816), (0, 8)];
/// Beside the sums' relative errors, those of terms that cancel: all are of the order of one.
const SUM_TOLERANCE: f64 = 3e-6;

#[test]
fn a_normed_addend_joins_the_stream() {
    let mut random = Random::new(10);
    for (rows, width) in SHAPES {
        let (stream, addend) = (random.normal(rows * width, 1.0), random.normal(rows * width, 5.0));
        let weights: Vec<Vec<f32>> = (0..3).map(|_| random.normal(width, 1.0)).collect();
        let (sum, first, third) = on_devices(|device| {
            let mut sum = device.upload(&stream)?;
            let addend = device.upload(&addend)?;
            let weights = weights.iter().map(|weight| device.upload(weight)).collect::<Result<Vec<_>, _>>()?;
            let mut outputs = [device.allocate::<f32>(rows * width)?, device.allocate::<f32>(rows * width)?];
            let [first, third] = &mut outputs;
            let normed = [
                Some(NormedOutput { weight: Some(weights[1].as_slice()), output: first.as_mut().into() }),
                None,
                Some(NormedOutput { weight: None, output: third.as_mut().into() }),
            ];
            add_normed(addend.as_slice(), weights[0].as_slice(), width, 1e-6, sum.as_mut(), normed)?;
            Ok((sum.as_slice().read()?, first.as_slice().read()?, third.as_slice().read()?))
        });
        let expected = reference::add_normed(&stream, &addend, &weights[0], width, 1e-6);
        assert_close(&sum, &expected, SUM_TOLERANCE, SUM_TOLERANCE);
        // The norms are those of the stream as it was written.
        assert_close(&first, &reference::rms_norm(&sum, Some(&weights[1]), width, 1e-6), F32_TOLERANCE, 0.0);
        assert_close(&third, &reference::rms_norm(&sum, None, width, 1e-6), F32_TOLERANCE, 0.0);
    }
}

#[test]
fn norms_are_quantised_as_they_are_written() {
    let mut random = Random::new(12);
    for (rows, width) in SHAPES {
        let (stream, addend) = (random.normal(rows * width, 1.0), random.normal(rows * width, 5.0));
        let weight = random.normal(width, 1.0);
        let (normed, numbers, scales) = on_devices(|device| {
            let (mut sum, addend) = (device.upload(&stream)?, device.upload(&addend)?);
            let weight = device.upload(&weight)?;
            let mut normed = device.allocate::<f32>(rows * width)?;
            let (mut numbers, mut scales) = (device.allocate::<u8>(rows * width)?, device.allocate::<f32>(rows)?);
            let quantised = Fp8RowsMut { numbers: numbers.as_mut(), scales: scales.as_mut() };
            let outputs = [
                Some(NormedOutput { weight: Some(weight.as_slice()), output: quantised.into() }),
                Some(NormedOutput { weight: Some(weight.as_slice()), output: normed.as_mut().into() }),
                None,
            ];
            add_normed(addend.as_slice(), weight.as_slice(), width, 1e-6, sum.as_mut(), outputs)?;
            Ok((normed.as_slice().read()?, numbers.as_slice().read()?, scales.as_slice().read()?))
        });
        assert!((numbers, scales) == quantise_rows(&normed, width), "{rows} x {width}");
        let (normed, numbers, scales) = on_devices(|device| {
            let (stream, weight) = (device.upload(&stream)?, device.upload(&weight)?);
            let weight = Some(weight.as_slice());
            let mut normed = device.allocate::<f32>(rows * width)?;
            rms_norm(stream.as_slice(), weight, width, 1e-6, normed.as_mut())?;
            let (mut numbers, mut scales) = (device.allocate::<u8>(rows * width)?, device.allocate::<f32>(rows)?);
            let quantised = Fp8RowsMut { numbers: numbers.as_mut(), scales: scales.as_mut() };
            rms_norm::<f32>(stream.as_slice(), weight, width, 1e-6, quantised)?;
            Ok((normed.as_slice().read()?, numbers.as_slice().read()?, scales.as_slice().read()?))
        });
        assert!((numbers, scales) == quantise_rows(&normed, width), "{rows} x {width} alone");
    }
}

#[test]
fn norms_are_quantised_by_groups_as_they_are_written() {
    let mut random = Random::new(13);
    for (rows, width) in [(1, 16), (3, 48), (2, 256), (4, 2816), (0, 32)] {
        let (stream, addend) = (random.normal(rows * width, 1.0), random.normal(rows * width, 5.0));
        let weight = random.normal(width, 1.0);
        let scale = 0.004;
        // In the middle of the outputs, beside ones of the other kinds.
        let (normed, words, groups) = on_devices(|device| {
            let (mut sum, addend, weight) = (device.upload(&stream)?, device.upload(&addend)?, device.upload(&weight)?);
            let (mut normed, mut bytes) = (device.allocate::<f32>(rows * width)?, device.allocate::<u8>(rows * width)?);
            let (mut words, mut groups) = (device.allocate(rows * width / 8)?, device.allocate(rows * width / 16)?);
            let mut scales = device.allocate(rows)?;
            let grouped = Fp4RowsMut { words: words.as_mut(), group_scales: groups.as_mut(), scale };
            let output = |output| Some(NormedOutput { weight: Some(weight.as_slice()), output });
            let outputs = [
                output(normed.as_mut().into()),
                output(grouped.into()),
                output(Fp8RowsMut { numbers: bytes.as_mut(), scales: scales.as_mut() }.into()),
            ];
            add_normed(addend.as_slice(), weight.as_slice(), width, 1e-6, sum.as_mut(), outputs)?;
            let (normed, bytes) = (normed.as_slice().read()?, bytes.as_slice().read()?);
            assert!((bytes, scales.as_slice().read()?) == quantise_rows(&normed, width));
            Ok((normed, words.as_slice().read()?, groups.as_slice().read()?))
        });
        assert!((words, groups) == quantise_groups(&normed, scale), "{rows} x {width}");
        let (normed, words, groups) = on_devices(|device| {
            let stream = device.upload(&stream)?;
            let mut normed = device.allocate::<f32>(rows * width)?;
            rms_norm(stream.as_slice(), None, width, 1e-6, normed.as_mut())?;
            let (mut words, mut groups) = (device.allocate(rows * width / 8)?, device.allocate(rows * width / 16)?);
            let grouped = Fp4RowsMut { words: words.as_mut(), group_scales: groups.as_mut(), scale };
            rms_norm::<bf16>(stream.as_slice(), None, width, 1e-6, grouped)?;
            Ok((normed.as_slice().read()?, words.as_slice().read()?, groups.as_slice().read()?))
        });
        assert!((words, groups) == quantise_groups(&normed, scale), "{rows} x {width} alone");
    }
}

#[test]
fn norms_in_groups_that_do_not_fit_are_refused() {
    let device = crate::Device::emulator();
    let input = device.allocate::<f32>(48).unwrap();
    let (mut words, mut groups) = (device.allocate::<u32>(6).unwrap(), device.allocate::<u8>(3).unwrap());
    let mut refused = |width: usize, groups_len: usize, scale: f32, expected: &str| {
        let output = Fp4RowsMut { words: words.as_mut(), group_scales: groups.slice_mut(0..groups_len), scale };
        let error = rms_norm::<f32>(input.as_slice(), None, width, 1e-6, output).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(24, 3, 1.0, "rows of 24 numbers are not groups of 16");
    refused(48, 2, 1.0, "the output's list of groups' scales has 2 numbers, not 3");
    refused(48, 3, 0.0, "the output's scale is 0, not a number above zero");
}

#[test]
fn quantised_norms_without_a_scale_for_each_row_are_refused() {
    let device = crate::Device::emulator();
    let (weight, mut stream) = (device.allocate::<f32>(4).unwrap(), device.allocate::<f32>(12).unwrap());
    let addend = device.allocate::<f32>(12).unwrap();
    let (mut numbers, mut scales) = (device.allocate::<u8>(12).unwrap(), device.allocate::<f32>(2).unwrap());
    let quantised = Fp8RowsMut { numbers: numbers.as_mut(), scales: scales.as_mut() };
    let output = NormedOutput::<f32> { weight: None, output: quantised.into() };
    let outputs = [None, None, Some(output)];
    let error = add_normed(addend.as_slice(), weight.as_slice(), 4, 1e-6, stream.as_mut(), outputs).unwrap_err();
    assert_eq!(error.to_string(), "add_normed: an output's list of scales has 2 numbers, not 3");
}

#[test]
fn a_layer_ends_with_both_networks_normed_and_scaled() {
    let mut random = Random::new(11);
    for (rows, width) in SHAPES {
        for slots in [1, 2, 8] {
            let mut numbers = |count: usize, deviation| random.normal(count, deviation);
            let (stream, dense) = (numbers(rows * width, 1.0), numbers(rows * width, 4.0));
            let sparse = numbers(rows * slots * width, 0.5);
            let weights: Vec<Vec<f32>> = (0..4).map(|_| numbers(width, 1.0)).collect();
            let (sum, normed) = on_devices(|device| {
                let mut sum = device.upload(&stream)?;
                let (dense, sparse) = (device.upload(&dense)?, device.upload(&sparse)?);
                let weights = weights.iter().map(|weight| device.upload(weight)).collect::<Result<Vec<_>, _>>()?;
                let mut output = device.allocate::<bf16>(rows * width)?;
                let layer = FeedForward {
                    dense: dense.as_slice(),
                    dense_weight: weights[0].as_slice(),
                    sparse: sparse.as_slice(),
                    slots,
                    sparse_weight: weights[1].as_slice(),
                    weight: weights[2].as_slice(),
                    scalar: 0.7,
                };
                let next = NormedOutput { weight: Some(weights[3].as_slice()), output: output.as_mut().into() };
                finish_layer(layer, width, 1e-6, sum.as_mut(), [Some(next), None, None])?;
                Ok((sum.as_slice().read()?, output.as_slice().read()?))
            });
            let end = reference::LayerEnd {
                stream: &stream,
                dense: &dense,
                dense_weight: &weights[0],
                sparse: &sparse,
                slots,
                sparse_weight: &weights[1],
                weight: &weights[2],
                scalar: 0.7,
            };
            assert_close(&sum, &reference::finish_layer(&end, width, 1e-6), SUM_TOLERANCE, SUM_TOLERANCE);
            let expected = reference::rms_norm(&sum, Some(&weights[3]), width, 1e-6);
            assert_close_bf16(&normed, &expected, F32_TOLERANCE, 0.0);
        }
    }
}

#[test]
fn a_row_too_long_for_a_block_is_refused() {
    let device = crate::Device::emulator();
    let width = 20_000;
    let ones = device.upload(&vec![1.0_f32; width]).unwrap();
    let mut stream = device.allocate::<f32>(width).unwrap();
    let layer = FeedForward {
        dense: ones.as_slice(),
        dense_weight: ones.as_slice(),
        sparse: ones.as_slice(),
        slots: 1,
        sparse_weight: ones.as_slice(),
        weight: ones.as_slice(),
        scalar: 1.0,
    };
    let error = finish_layer::<f32>(layer, width, 1e-6, stream.as_mut(), [None, None, None]).unwrap_err();
    assert!(error.to_string().contains("shared memory"), "{error}");
}

#[test]
fn results_round_to_the_nearest_bf16_and_of_two_to_the_even_one() {
    // Of ones the norm is one, so what is written is the weight.
    let mut weight: Vec<f32> =
        [0x3F80_8000, 0x3F81_8000, 0x3F80_8001, 0x3F80_7FFF, 0xBF81_8000, 0x7F7F_FFFF, 0x0000_8000, 0x8001_8000]
            .map(f32::from_bits)
            .to_vec();
    weight.extend([0x7F80_0001, 0x7FFF_FFFF, 0xFFFF_FFFF].map(f32::from_bits));
    weight.extend(special_values());
    let width = weight.len();
    let found = on_devices(|device| {
        let (ones, weight) = (device.upload(&vec![1.0_f32; width])?, device.upload(&weight)?);
        let mut output = device.allocate::<bf16>(width)?;
        rms_norm(ones.as_slice(), Some(weight.as_slice()), width, 0.0, output.as_mut())?;
        output.as_slice().read()
    });
    for (found, weight) in found.into_iter().zip(weight) {
        let expected = bf16::from_f32(weight);
        let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        assert!(same, "{weight:e} became {:#x}, not {:#x}", found.to_bits(), expected.to_bits());
    }
}
