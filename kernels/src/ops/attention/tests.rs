use super::*;
use crate::EmulatorOptions;
use crate::ops::segments::{CanvasSegment, PromptSegment, SegmentBuffer};
use crate::reference::attention::{self as reference, Heads, SegmentKeys};
use crate::testing::{Bits, Random, assert_close, on_devices};

/// Of the greatest value's magnitude: scores of some tens, rounded in f32, move a weight by 1e-5 at most.
const F32_TOLERANCE: f64 = 1e-5;
/// Of the greatest value's magnitude: a weight is rounded to bf16, by 2^-9 of itself, and so is the output.
const BF16_TOLERANCE: f64 = 1.0 / 256.0 + 1e-4;

trait TestElement: AttentionElement {
    const TOLERANCE: f64;
    fn round(value: f32) -> Self;
    fn widen(self) -> f32;
}

impl TestElement for f32 {
    const TOLERANCE: f64 = F32_TOLERANCE;
    fn round(value: f32) -> Self {
        value
    }
    fn widen(self) -> f32 {
        self
    }
}

impl TestElement for bf16 {
    const TOLERANCE: f64 = BF16_TOLERANCE;
    fn round(value: f32) -> Self {
        bf16::from_f32(value)
    }
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

fn widen<T: TestElement>(values: &[T]) -> Vec<f32> {
    values.iter().map(|value| value.widen()).collect()
}

struct Prompt<T> {
    keys: Vec<T>,
    values: Vec<T>,
}

/// Segments with all that they attend to. Rows of a segment stand over the prompt of the same index; caches have room for more.
struct Case<T> {
    shape: HeadShape,
    window: Option<usize>,
    /// Rows, and tokens before them.
    segments: Vec<(usize, usize)>,
    is_prompt: bool,
    prompts: Vec<Prompt<T>>,
    queries: Vec<T>,
    own: (Vec<T>, Vec<T>),
}

/// Tokens of room that a cache has behind those of its prompt; they hold no numbers.
const ROOM: usize = 3;

impl<T: TestElement> Case<T> {
    fn new(
        random: &mut Random,
        shape: HeadShape,
        window: Option<usize>,
        segments: &[(usize, usize)],
        is_prompt: bool,
    ) -> Self {
        // Scores have a deviation of about 2, so that no key wins alone.
        let deviation = (2.0 / (shape.head_dim as f32).sqrt()).sqrt();
        let rows: usize = segments.iter().map(|(rows, _)| rows).sum();
        let mut some = |count: usize, deviation: f32| -> Vec<T> {
            random.normal(count, deviation).into_iter().map(T::round).collect()
        };
        let prompts = segments
            .iter()
            .map(|(rows, cached)| {
                let tokens = cached + if is_prompt { *rows } else { 0 };
                let mut part = |deviation| {
                    let mut numbers = some(tokens * shape.kv_width(), deviation);
                    numbers.resize((tokens + ROOM) * shape.kv_width(), T::round(f32::NAN));
                    numbers
                };
                Prompt { keys: part(deviation), values: part(1.0) }
            })
            .collect();
        Self {
            shape,
            window,
            segments: segments.to_vec(),
            is_prompt,
            prompts,
            queries: some(rows * shape.query_width(), deviation),
            own: (some(rows * shape.kv_width(), deviation), some(rows * shape.kv_width(), 1.0)),
        }
    }

    fn run(&self, device: &Device, scratch_len: Option<usize>) -> Result<Vec<T>, Error> {
        let rows: usize = self.segments.iter().map(|(rows, _)| rows).sum();
        let queries = device.upload(&self.queries)?;
        let own = (device.upload(&self.own.0)?, device.upload(&self.own.1)?);
        let mut caches = Vec::new();
        for prompt in &self.prompts {
            caches.push((device.upload(&prompt.keys)?, device.upload(&prompt.values)?));
        }
        let mut output = device.allocate::<T>(rows * self.shape.query_width())?;
        let scratch_len = scratch_len.unwrap_or_else(|| attention_scratch_len::<T>(device, rows, self.shape));
        let mut scratch = device.allocate::<f32>(scratch_len)?;
        let mut buffer = SegmentBuffer::new(device, self.segments.len())?;
        let sizes = self.segments.iter().copied();
        let tables = if self.is_prompt {
            let segments = sizes.zip(&mut caches).map(|((rows, cached_tokens), (keys, values))| PromptSegment {
                rows,
                cached_tokens,
                keys: keys.as_mut(),
                values: values.as_mut(),
            });
            buffer.write_prompts(vec![segments.collect()], |_| self.shape)?
        } else {
            let segments = sizes.zip(&caches).map(|((rows, cached_tokens), (keys, values))| CanvasSegment {
                rows,
                cached_tokens,
                keys: keys.as_slice(),
                values: values.as_slice(),
            });
            buffer.write_canvases(&[segments.collect()], |_| self.shape)?
        };
        let input = AttentionInput {
            queries: queries.as_slice(),
            own: (!self.is_prompt).then(|| (own.0.as_slice(), own.1.as_slice())),
        };
        attend(&tables.layer(0), input, self.window, scratch.as_mut(), output.as_mut())?;
        output.as_slice().read()
    }

    fn expected(&self) -> Vec<f64> {
        let width = self.shape.kv_width();
        let tokens: Vec<(Vec<f32>, Vec<f32>)> = (self.prompts.iter())
            .map(|prompt| {
                let end = prompt.keys.len() - ROOM * width;
                (widen(&prompt.keys[..end]), widen(&prompt.values[..end]))
            })
            .collect();
        let segments: Vec<SegmentKeys<'_>> = (self.segments.iter().zip(&tokens))
            .map(|((rows, _), (keys, values))| SegmentKeys { rows: *rows, cached_keys: keys, cached_values: values })
            .collect();
        let HeadShape { heads, kv_heads, head_dim } = self.shape;
        let own = (widen(&self.own.0), widen(&self.own.1));
        let own = (!self.is_prompt).then_some((&own.0[..], &own.1[..]));
        let heads = Heads { heads, kv_heads, head_dim };
        reference::attend(heads, self.window, &segments, &widen(&self.queries), own)
    }
}

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> HeadShape {
    HeadShape { heads, kv_heads, head_dim }
}

fn check<T: TestElement>(case: &Case<T>)
where
    Vec<T>: Bits,
{
    let expected = case.expected();
    let magnitude = expected.iter().fold(1.0_f64, |greatest, value| greatest.max(value.abs()));
    for scratch_len in [Some(0), None] {
        let found = on_devices(|device| case.run(device, scratch_len));
        assert_close(&widen(&found), &expected, 0.0, T::TOLERANCE * magnitude);
    }
}

fn check_shapes<T: TestElement>(shapes: &[HeadShape])
where
    Vec<T>: Bits,
{
    let mut random = Random::new(7);
    for shape in shapes {
        for window in [None, Some(1), Some(2), Some(20)] {
            for is_prompt in [false, true] {
                for segments in [&[(1, 0)][..], &[(5, 37), (0, 4), (19, 0), (3, 90)]] {
                    check::<T>(&Case::new(&mut random, *shape, window, segments, is_prompt));
                }
            }
        }
    }
}

#[test]
fn attention_in_f32_is_what_it_says() {
    check_shapes::<f32>(&[shape(4, 2, 64), shape(3, 3, 6), shape(6, 1, 20), shape(2, 1, 66), shape(4, 2, 256)]);
}

#[test]
fn attention_in_bf16_is_what_it_says() {
    check_shapes::<bf16>(&[shape(4, 2, 64), shape(3, 3, 6), shape(6, 1, 20), shape(2, 1, 66), shape(4, 2, 256)]);
}

#[test]
fn the_widest_heads_are_attended_to() {
    let mut random = Random::new(8);
    for (window, is_prompt) in [(None, true), (Some(30), true), (None, false), (Some(30), false)] {
        check::<f32>(&Case::new(&mut random, shape(8, 1, 512), window, &[(9, 41)], is_prompt));
        check::<bf16>(&Case::new(&mut random, shape(8, 1, 512), window, &[(9, 41)], is_prompt));
    }
}

#[test]
fn the_kernel_for_cards_with_much_shared_memory_agrees() {
    let mut random = Random::new(9);
    for is_prompt in [false, true] {
        let case = Case::<bf16>::new(&mut random, shape(8, 1, 512), None, &[(9, 70)], is_prompt);
        let expected = case.expected();
        let options = EmulatorOptions { shared_bytes: 163 * 1024, ..EmulatorOptions::default() };
        let device = Device::emulator_with(options);
        let tile = tile_for::<bf16>(&device, 512).unwrap();
        assert_eq!(tile.kernel.name, "attend_bf16_512");
        for scratch_len in [Some(0), None] {
            let found = case.run(&device, scratch_len).unwrap();
            assert_close(&widen(&found), &expected, 0.0, BF16_TOLERANCE * 4.0);
        }
    }
}

#[test]
fn long_prompts_are_split_among_blocks() {
    let mut random = Random::new(10);
    let case = Case::<f32>::new(&mut random, shape(2, 1, 64), None, &[(4, 1500)], false);
    let options = EmulatorOptions { multiprocessors: 132, ..EmulatorOptions::default() };
    let device = Device::emulator_with(options);
    let split = case.run(&device, None).unwrap();
    let whole = case.run(&device, Some(0)).unwrap();
    assert!(split.bits() != whole.bits(), "shares that were added up are rounded otherwise");
    assert_close(&split, &case.expected(), 0.0, F32_TOLERANCE);
    assert_close(&whole, &case.expected(), 0.0, F32_TOLERANCE);
}

/// Puts a value into one number of a case's keys, and says which outputs are no numbers then.
fn check_special<T: TestElement>(value: f32, is_prompt: bool)
where
    Vec<T>: Bits,
{
    let mut random = Random::new(11);
    let shape = shape(2, 1, 64);
    let mut case = Case::<T>::new(&mut random, shape, Some(12), &[(6, 40), (3, 20)], is_prompt);
    // Inside the first prompt's window for some of its rows.
    case.prompts[0].keys[35 * shape.kv_width() + 5] = T::round(value);
    let expected = case.expected();
    let magnitude = expected.iter().filter(|value| value.is_finite()).fold(1.0_f64, |a, b| a.max(b.abs()));
    let found = widen(&on_devices(|device| case.run(device, None)));
    // What the second segment computes has nothing to do with the first one's prompt.
    let second = 6 * shape.query_width();
    assert!(found[second..].iter().all(|value| value.is_finite()));
    assert_close(&found, &expected, 0.0, T::TOLERANCE * magnitude);
}

#[test]
fn what_is_no_number_reaches_those_who_see_it() {
    for is_prompt in [false, true] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30] {
            check_special::<f32>(value, is_prompt);
            check_special::<bf16>(value, is_prompt);
        }
    }
}

#[test]
fn shares_without_keys_add_nothing() {
    let mut random = Random::new(13);
    let options = EmulatorOptions { multiprocessors: 132, ..EmulatorOptions::default() };
    let device = Device::emulator_with(options);
    // As many shares as the longest prompt is worth, of which the others leave most empty.
    for window in [None, Some(70)] {
        for is_prompt in [false, true] {
            let segments = [(2, 1200), (1, 0), (5, 30)];
            let case = Case::<f32>::new(&mut random, shape(2, 1, 64), window, &segments, is_prompt);
            let found = case.run(&device, None).unwrap();
            assert_close(&found, &case.expected(), 0.0, 4.0 * F32_TOLERANCE);
        }
    }
}

#[test]
fn keys_of_no_weight_are_no_keys() {
    fn check_weightless<T: TestElement>(is_prompt: bool)
    where
        Vec<T>: Bits,
    {
        let mut random = Random::new(14);
        let shape = shape(2, 1, 64);
        let mut case = Case::<T>::new(&mut random, shape, None, &[(4, 300), (2, 40)], is_prompt);
        case.queries.chunks_mut(64).for_each(|query| query[5] = T::round(1.0));
        // More than the first tile of the first prompt, and all that the second segment sees.
        for token in 0..100 {
            case.prompts[0].keys[token * 64 + 5] = T::round(f32::NEG_INFINITY);
        }
        let tokens = 40 + if is_prompt { 2 } else { 0 };
        for token in 0..tokens {
            case.prompts[1].keys[token * 64 + 5] = T::round(f32::NEG_INFINITY);
        }
        case.own.0[4 * 64..].chunks_mut(64).for_each(|key| key[5] = T::round(f32::NEG_INFINITY));
        let expected = case.expected();
        let (first, second) = expected.split_at(4 * shape.query_width());
        assert!(first.iter().all(|value| value.is_finite()) && second.iter().all(|value| value.is_nan()));
        for scratch_len in [Some(0), None] {
            let found = widen(&on_devices(|device| case.run(device, scratch_len)));
            assert_close(&found, &expected, 0.0, 4.0 * T::TOLERANCE);
        }
    }
    for is_prompt in [false, true] {
        check_weightless::<f32>(is_prompt);
        check_weightless::<bf16>(is_prompt);
    }
}

#[test]
fn scores_of_any_size_are_weighed() {
    let mut random = Random::new(12);
    let mut case = Case::<f32>::new(&mut random, shape(2, 1, 64), None, &[(4, 70)], false);
    case.queries.iter_mut().for_each(|query| *query *= 1e4);
    check(&case);
}

#[test]
fn attention_refuses_what_does_not_fit() {
    let device = Device::emulator();
    let shape = shape(4, 2, 8);
    let keys = device.allocate::<f32>(10 * shape.kv_width()).unwrap();
    let queries = device.allocate::<f32>(3 * shape.query_width()).unwrap();
    let mut output = device.allocate::<f32>(3 * shape.query_width()).unwrap();
    let mut scratch = device.allocate::<f32>(0).unwrap();
    let mut buffer = SegmentBuffer::new(&device, 1).unwrap();
    let canvas =
        |cached_tokens| CanvasSegment { rows: 3, cached_tokens, keys: keys.as_slice(), values: keys.as_slice() };
    assert!(matches!(buffer.write_canvases(&[vec![canvas(11)]], |_| shape), Err(Error::Shape { .. })));
    let odd = HeadShape { head_dim: 7, ..shape };
    assert!(matches!(buffer.write_canvases(&[vec![canvas(1)]], |_| odd), Err(Error::Shape { .. })));
    let uneven = HeadShape { heads: 3, ..shape };
    assert!(matches!(buffer.write_canvases(&[vec![canvas(1)]], |_| uneven), Err(Error::Shape { .. })));
    let tables = buffer.write_canvases(&[vec![canvas(10)]], |_| shape).unwrap();
    let own = keys.slice(0..3 * shape.kv_width());
    let input = AttentionInput { queries: queries.as_slice(), own: Some((own, own)) };
    let mut refused = |input, window| {
        let error = attend(&tables.layer(0), input, window, scratch.as_mut(), output.as_mut()).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    };
    refused(input, Some(0));
    refused(AttentionInput { own: None, ..input }, None);
    refused(AttentionInput { queries: queries.slice(0..8), ..input }, None);
    refused(AttentionInput { own: Some((own, keys.as_slice())), ..input }, None);
}

#[test]
fn room_for_many_rows_lets_few_rows_split_as_they_like() {
    let device = Device::emulator_with(EmulatorOptions { multiprocessors: 132, ..EmulatorOptions::default() });
    let shape = HeadShape { heads: 16, kv_heads: 2, head_dim: 512 };
    let tile = tile_for::<bf16>(&device, shape.head_dim).unwrap();
    let len = attention_scratch_len::<bf16>(&device, 2048, shape);
    for rows in [1, 16, 64, 100, 256] {
        let blocks = (rows * shape.heads).div_ceil(tile.queries).max(shape.kv_heads);
        let wanted = (2 * tile.blocks_at_once(&device) / blocks).min(SPLITS_MAX);
        let splits = len / (rows * shape.heads * (shape.head_dim + 2));
        assert!(wanted > 1 && splits >= wanted, "{rows} rows: {splits} splits, of {wanted}");
    }
    // A few megabytes, whatever the rows.
    assert!(len < 16 << 20 && attention_scratch_len::<bf16>(&device, 1, shape) <= 16 * 514 * SPLITS_MAX);
}
