use super::*;
use crate::reference::norm as reference;
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
