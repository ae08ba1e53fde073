use super::*;
use crate::Device;
use crate::ops::segments::{CanvasSegment, HeadShape, PromptSegment, SegmentBuffer};
use crate::reference::rope as reference;
use crate::testing::{Random, assert_close, assert_close_bf16, on_devices};

/// Of a head's magnitude: a norm's roundings, and those of a rotation's two products.
const TOLERANCE: f64 = 2e-6;
const EPS: f32 = 1e-6;
/// Tokens that the caches have room for.
const CAPACITY: usize = 50;

struct Case {
    shape: HeadShape,
    has_values: bool,
    /// Rows, and tokens before them.
    segments: Vec<(usize, usize)>,
    projected: Vec<f32>,
    query_norm: Vec<f32>,
    key_norm: Vec<f32>,
    frequencies: Vec<f32>,
}

/// Queries, keys and values, row by row.
type Placed<N> = (Vec<N>, Vec<N>, Vec<N>);

impl Case {
    fn new(random: &mut Random, shape: HeadShape, has_values: bool, segments: &[(usize, usize)]) -> Self {
        let rows: usize = segments.iter().map(|(rows, _)| rows).sum();
        let width = shape.query_width() + shape.kv_width() * if has_values { 2 } else { 1 };
        let half = shape.head_dim / 2;
        // The last quarter does not rotate, as where only a part of the dimensions does.
        let frequencies = (0..half)
            .map(|index| if index >= half - half / 4 { 0.0 } else { 10_000_f32.powf(-(index as f32) / half as f32) });
        Self {
            shape,
            has_values,
            segments: segments.to_vec(),
            projected: random.normal(rows * width, 2.0),
            query_norm: random.normal(shape.head_dim, 1.0),
            key_norm: random.normal(shape.head_dim, 1.0),
            frequencies: frequencies.collect(),
        }
    }

    fn rows(&self) -> usize {
        self.segments.iter().map(|(rows, _)| rows).sum()
    }

    fn expected(&self) -> Placed<f64> {
        let HeadShape { heads, kv_heads, head_dim } = self.shape;
        let width = self.projected.len().checked_div(self.rows()).unwrap_or(1);
        let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let positions = self.segments.iter().flat_map(|(rows, cached)| *cached..cached + rows);
        for (row, position) in self.projected.chunks(width).zip(positions) {
            let head = |index: usize| &row[index * head_dim..][..head_dim];
            let rotation = Some((&self.frequencies[..], position));
            for index in 0..heads {
                queries.extend(reference::place_head(head(index), Some(&self.query_norm), EPS, rotation));
            }
            for index in heads..heads + kv_heads {
                keys.extend(reference::place_head(head(index), Some(&self.key_norm), EPS, rotation));
                let value = if self.has_values { head(index + kv_heads) } else { head(index) };
                values.extend(reference::place_head(value, None, EPS, None));
            }
        }
        (queries, keys, values)
    }

    /// What canvas rows get.
    fn run_canvas<T: HeadElement>(&self, device: &Device) -> Result<Placed<T>, Error> {
        let (rows, shape) = (self.rows(), self.shape);
        let cache = device.allocate::<T>(CAPACITY * shape.kv_width())?;
        let segments = self.segments.iter().map(|(rows, cached_tokens)| CanvasSegment {
            rows: *rows,
            cached_tokens: *cached_tokens,
            keys: cache.as_slice(),
            values: cache.as_slice(),
        });
        let mut buffer = SegmentBuffer::new(device, self.segments.len())?;
        let tables = buffer.write_canvases(&[segments.collect()], |_| shape)?;
        let mut queries = device.allocate(rows * shape.query_width())?;
        let mut keys = device.allocate(rows * shape.kv_width())?;
        let mut values = device.allocate(rows * shape.kv_width())?;
        let own = OwnKeys { keys: keys.as_mut(), values: values.as_mut() };
        self.place(device, &tables.layer(0), Some(queries.as_mut()), Some(own))?;
        Ok((queries.as_slice().read()?, keys.as_slice().read()?, values.as_slice().read()?))
    }

    /// What prompt rows get, with the whole caches; queries if they are asked for.
    fn run_prompt<T: HeadElement>(&self, device: &Device, with_queries: bool) -> Result<Placed<T>, Error> {
        let (rows, shape) = (self.rows(), self.shape);
        let room = CAPACITY * shape.kv_width();
        let mut keys = device.allocate::<T>(self.segments.len() * room)?;
        let mut values = device.allocate::<T>(self.segments.len() * room)?;
        let mut queries = device.allocate(if with_queries { rows * shape.query_width() } else { 0 })?;
        keys.as_mut().clear()?;
        values.as_mut().clear()?;
        let (mut keys_left, mut values_left) = (keys.as_mut(), values.as_mut());
        let mut segments = Vec::new();
        for (rows, cached_tokens) in &self.segments {
            let (keys, values);
            (keys, keys_left) = keys_left.split_at(room);
            (values, values_left) = values_left.split_at(room);
            segments.push(PromptSegment { rows: *rows, cached_tokens: *cached_tokens, keys, values });
        }
        let mut buffer = SegmentBuffer::new(device, self.segments.len())?;
        let tables = buffer.write_prompts(vec![segments], |_| shape)?;
        let wanted = with_queries.then(|| queries.as_mut());
        self.place(device, &tables.layer(0), wanted, None)?;
        Ok((queries.as_slice().read()?, keys.as_slice().read()?, values.as_slice().read()?))
    }

    fn place<T: HeadElement>(
        &self,
        device: &Device,
        segments: &Segments<'_, T>,
        queries: Option<SliceMut<'_, T>>,
        own: Option<OwnKeys<'_, T>>,
    ) -> Result<(), Error> {
        let projected = device.upload(&self.projected)?;
        let (query_norm, key_norm) = (device.upload(&self.query_norm)?, device.upload(&self.key_norm)?);
        let frequencies = device.upload(&self.frequencies)?;
        let weights = HeadWeights {
            query_norm: query_norm.as_slice(),
            key_norm: key_norm.as_slice(),
            inverse_frequencies: frequencies.as_slice(),
            eps: EPS,
            has_values: self.has_values,
        };
        place_heads(segments, projected.as_slice(), weights, queries, own)?;
        device.synchronize()
    }

    /// A cache with the rows of each segment behind its tokens, and zeros elsewhere.
    fn in_caches(&self, rows: &[f64]) -> Vec<f64> {
        let width = self.shape.kv_width();
        let mut caches = vec![0.0; self.segments.len() * CAPACITY * width];
        let mut left = rows;
        for (cache, (rows, cached)) in caches.chunks_mut(CAPACITY * width).zip(&self.segments) {
            let own;
            (own, left) = left.split_at(rows * width);
            cache[cached * width..][..own.len()].copy_from_slice(own);
        }
        caches
    }
}

fn cases() -> Vec<Case> {
    let mut random = Random::new(21);
    let mut cases = Vec::new();
    for (heads, kv_heads, head_dim) in [(4, 2, 64), (3, 3, 6), (2, 1, 2), (16, 2, 512), (6, 1, 66)] {
        let shape = HeadShape { heads, kv_heads, head_dim };
        for has_values in [true, false] {
            for segments in [&[(1, 0)][..], &[(0, 7), (5, 40), (0, 0), (3, 0), (1, 49)], &[]] {
                cases.push(Case::new(&mut random, shape, has_values, segments));
            }
        }
    }
    cases
}

/// Of a norm over `head_dim` numbers: the greatest that a number can be, so what roundings are measured by.
fn magnitude(case: &Case) -> f64 {
    let weights = case.query_norm.iter().chain(&case.key_norm);
    let weight = weights.fold(1.0_f64, |greatest, weight| greatest.max(f64::from(weight.abs())));
    (case.shape.head_dim as f64).sqrt() * weight
}

#[test]
fn heads_of_canvases_are_placed() {
    for case in cases() {
        let expected = case.expected();
        let found = on_devices(|device| case.run_canvas::<f32>(device));
        let absolute = TOLERANCE * magnitude(&case);
        assert_close(&found.0, &expected.0, 0.0, absolute);
        assert_close(&found.1, &expected.1, 0.0, absolute);
        assert_close(&found.2, &expected.2, 0.0, absolute);
        let found = on_devices(|device| case.run_canvas::<bf16>(device));
        assert_close_bf16(&found.0, &expected.0, 0.0, absolute);
        assert_close_bf16(&found.1, &expected.1, 0.0, absolute);
        assert_close_bf16(&found.2, &expected.2, 0.0, absolute);
    }
}

#[test]
fn heads_of_prompts_are_appended_to_their_caches_and_nothing_else_is() {
    for case in cases() {
        let (queries, keys, values) = case.expected();
        let (keys, values) = (case.in_caches(&keys), case.in_caches(&values));
        let absolute = TOLERANCE * magnitude(&case);
        for with_queries in [true, false] {
            let found = on_devices(|device| case.run_prompt::<f32>(device, with_queries));
            assert_close(&found.0, if with_queries { &queries } else { &[] }, 0.0, absolute);
            assert_close(&found.1, &keys, 0.0, absolute);
            assert_close(&found.2, &values, 0.0, absolute);
        }
        let found = on_devices(|device| case.run_prompt::<bf16>(device, true));
        assert_close_bf16(&found.1, &keys, 0.0, absolute);
        assert_close_bf16(&found.2, &values, 0.0, absolute);
    }
}

#[test]
fn a_head_that_is_no_number_spoils_no_other() {
    let mut random = Random::new(22);
    let shape = HeadShape { heads: 2, kv_heads: 1, head_dim: 8 };
    let mut case = Case::new(&mut random, shape, true, &[(2, 3)]);
    case.projected[8 + 3] = f32::NAN;
    let (queries, keys, values) = on_devices(|device| case.run_canvas::<f32>(device));
    assert!(queries[8..16].iter().all(|value| value.is_nan()));
    let others = queries[..8].iter().chain(&queries[16..]).chain(&keys).chain(&values);
    assert!(others.into_iter().all(|value| value.is_finite()));
}

#[test]
fn placing_refuses_what_does_not_fit() {
    let device = Device::emulator();
    let mut random = Random::new(23);
    let shape = HeadShape { heads: 2, kv_heads: 1, head_dim: 8 };
    let good = Case::new(&mut random, shape, true, &[(2, 3)]);
    assert!(good.run_canvas::<f32>(&device).is_ok());
    let refused = |case: &Case| {
        assert!(matches!(case.run_canvas::<f32>(&device), Err(Error::Shape { .. })));
    };
    refused(&Case { has_values: false, ..Case::new(&mut random, shape, true, &[(2, 3)]) });
    refused(&Case { key_norm: vec![1.0; 7], ..Case::new(&mut random, shape, true, &[(2, 3)]) });
    refused(&Case { frequencies: vec![1.0; 8], ..Case::new(&mut random, shape, true, &[(2, 3)]) });
}
