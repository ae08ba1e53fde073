use super::*;
use crate::ops::rows::NormedOutput;
use crate::reference::{embed as reference, norm};
use crate::testing::{Random, assert_close, on_devices};
use crate::{Device, bf16};

const TOLERANCE: f64 = 2e-6;

#[test]
fn each_row_is_its_tokens_row_of_the_table_scaled() {
    let mut random = Random::new(20);
    for (vocabulary, width, rows) in [(1, 1, 1), (7, 3, 5), (50, 513, 4), (9, 256, 0)] {
        let mut ids: Vec<u32> = (0..rows).map(|_| random.below(vocabulary) as u32).collect();
        if let Some(last) = ids.last_mut() {
            *last = vocabulary as u32 - 1;
        }
        let wide = random.normal(vocabulary * width, 1.0);
        let narrow: Vec<bf16> = wide.iter().copied().map(bf16::from_f32).collect();
        let widened: Vec<f32> = narrow.iter().map(|value| value.to_f32()).collect();
        let found = on_devices(|device| {
            let ids = device.upload(&ids)?;
            let (wide, narrow) = (device.upload(&wide)?, device.upload(&narrow)?);
            let answer = |weights| {
                let mut stream = device.allocate::<f32>(rows * width)?;
                let table = Matrix { weights, outputs: vocabulary, inputs: width };
                embed(ids.as_slice(), &table, 53.0, stream.as_mut())?;
                stream.as_slice().read()
            };
            Ok((answer(Weights::F32(wide.as_slice()))?, answer(Weights::Bf16(narrow.as_slice()))?))
        });
        assert_eq!(found.0, reference::embed(&ids, &wide, width, 53.0));
        assert_eq!(found.1, reference::embed(&ids, &widened, width, 53.0));
    }
}

#[test]
fn a_token_that_is_none_makes_a_row_of_no_number() {
    let found = on_devices(|device| {
        let ids = device.upload(&[1_u32, 2, u32::MAX])?;
        let table = device.upload(&[1.0_f32; 2 * 4])?;
        let mut stream = device.allocate::<f32>(3 * 4)?;
        let table = Matrix { weights: Weights::F32(table.as_slice()), outputs: 2, inputs: 4 };
        embed(ids.as_slice(), &table, 1.0, stream.as_mut())?;
        stream.as_slice().read()
    });
    assert_eq!(found[..4], [1.0; 4]);
    assert!(found[4..].iter().all(|value| value.is_nan()));
}

#[test]
fn the_signal_joins_the_rows_that_have_one_and_all_rows_are_normed() {
    let mut random = Random::new(21);
    for (rows, entries, width) in [(1, 0, 5), (6, 4, 33), (3, 3, 2816)] {
        let stream = random.normal(rows * width, 50.0);
        let signal = random.normal(entries * width, 20.0);
        let weight = random.normal(width, 1.0);
        let sources: Vec<Option<usize>> = (0..rows).map(|row| (row + 1 < entries).then_some(row + 1)).collect();
        let (sum, normed) = on_devices(|device| {
            let mut stream = device.upload(&stream)?;
            let (signal, weight) = (device.upload(&signal)?, device.upload(&weight)?);
            let indices: Vec<u32> = sources.iter().map(|entry| entry.map_or(NO_SIGNAL, |entry| entry as u32)).collect();
            let sources = device.upload(&indices)?;
            let mut output = device.allocate::<f32>(rows * width)?;
            let signal = Signal { sources: sources.as_slice(), entries: signal.as_slice() };
            let next = NormedOutput { weight: Some(weight.as_slice()), output: output.as_mut().into() };
            self_condition(Some(signal), width, 1e-6, stream.as_mut(), [Some(next), None, None])?;
            Ok((stream.as_slice().read()?, output.as_slice().read()?))
        });
        assert_close(&sum, &reference::self_condition(&stream, &sources, &signal, width, 1e-6), TOLERANCE, TOLERANCE);
        assert_close(&normed, &norm::rms_norm(&sum, Some(&weight), width, 1e-6), TOLERANCE, 0.0);
    }
}

#[test]
fn without_a_signal_rows_are_normed_alone() {
    let stream = Random::new(22).normal(4 * 70, 30.0);
    let found = on_devices(|device| {
        let mut found = device.upload(&stream)?;
        self_condition::<f32>(None, 70, 1e-6, found.as_mut(), [None, None, None])?;
        found.as_slice().read()
    });
    assert_close(&found, &norm::rms_norm(&stream, None, 70, 1e-6), TOLERANCE, 0.0);
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let device = Device::emulator();
    let mut stream = device.allocate::<f32>(8).unwrap();
    let ids = device.upload(&[0_u32; 3]).unwrap();
    let numbers = device.upload(&[0.0_f32; 8]).unwrap();
    let table = Matrix { weights: Weights::F32(numbers.as_slice()), outputs: 2, inputs: 4 };
    assert!(matches!(embed(ids.as_slice(), &table, 1.0, stream.as_mut()), Err(Error::Shape { .. })));
    let bytes = device.upload(&[0_u8; 8]).unwrap();
    let quantised = Weights::Fp8 { numbers: bytes.as_slice(), scales: numbers.slice(0..2) };
    let refused = embed(ids.slice(0..2), &Matrix { weights: quantised, ..table }, 1.0, stream.as_mut()).unwrap_err();
    assert_eq!(refused.to_string(), "embed: a table is in f32 or bf16, not in fp8");
    let table = Matrix { outputs: 3, ..table };
    assert!(matches!(embed(ids.slice(0..2), &table, 1.0, stream.as_mut()), Err(Error::Shape { .. })));
    let signal = Signal { sources: ids.as_slice(), entries: numbers.as_slice() };
    let refused = self_condition::<f32>(Some(signal), 4, 1e-6, stream.as_mut(), [None, None, None]);
    assert!(matches!(refused, Err(Error::Shape { .. })));
}
