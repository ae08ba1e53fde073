use super::*;

const SHAPE: HeadShape = HeadShape { heads: 2, kv_heads: 1, head_dim: 4 };

#[test]
fn segments_are_counted_layer_by_layer() {
    let device = Device::emulator();
    let cache = device.allocate::<f32>(64).unwrap();
    let mut buffer = SegmentBuffer::new(&device, 4).unwrap();
    let canvas = |rows, cached_tokens, from: usize| CanvasSegment {
        rows,
        cached_tokens,
        keys: cache.slice(from..64),
        values: cache.slice(from..64),
    };
    let layers = [vec![canvas(3, 5, 0), canvas(7, 2, 0)], vec![canvas(3, 5, 1), canvas(7, 2, 0)]];
    let wide = HeadShape { head_dim: 8, ..SHAPE };
    let tables = buffer.write_canvases(&layers, |layer| if layer == 0 { SHAPE } else { wide }).unwrap();
    let (first, second) = (tables.layer(0), tables.layer(1));
    assert_eq!((first.rows(), first.longest(), first.cached_bound(), first.count()), (10, 7, 8, 2));
    assert_eq!(second.address() - first.address(), 2 * size_of::<SegmentRecord>() as u64);
    assert_eq!((first.shape(), second.shape()), (SHAPE, wide));
    assert!(first.is_aligned() && !second.is_aligned() && !first.is_prompt());
    let records = tables.records.read().unwrap();
    assert_eq!((records[1].first_row, records[1].rows, records[1].cached_tokens), (3, 7, 2));
}

#[test]
fn a_cache_without_room_is_refused() {
    let device = Device::emulator();
    let mut keys = device.allocate::<f32>(40).unwrap();
    let mut values = device.allocate::<f32>(40).unwrap();
    let mut buffer = SegmentBuffer::new(&device, 1).unwrap();
    let mut write = |rows, cached_tokens, length: usize| {
        let segment =
            PromptSegment { rows, cached_tokens, keys: keys.slice_mut(0..length), values: values.slice_mut(0..40) };
        buffer.write_prompts(vec![vec![segment]], |_| SHAPE).map(|tables| {
            let layer = tables.layer(0);
            (layer.rows(), layer.cached_bound())
        })
    };
    assert_eq!(write(4, 6, 40).unwrap(), (4, 6));
    for refused in [write(5, 6, 40), write(1, 2, 36), write(usize::MAX, 1, 40)] {
        assert!(matches!(refused, Err(Error::Shape { .. })));
    }
}

#[test]
fn a_buffer_holds_no_more_than_it_has_room_for() {
    let device = Device::emulator();
    let cache = device.allocate::<f32>(8).unwrap();
    let mut buffer = SegmentBuffer::new(&device, 1).unwrap();
    let canvas = || CanvasSegment { rows: 1, cached_tokens: 0, keys: cache.as_slice(), values: cache.as_slice() };
    let refused = buffer.write_canvases(&[vec![canvas(), canvas()]], |_| SHAPE);
    assert!(matches!(refused, Err(Error::Shape { .. })));
}

#[test]
fn launches_stay_the_same_while_a_prompt_grows() {
    assert_eq!([0, 1, 2, 3, 200, 256, 257, 512, 513].map(rounded_up), [0, 1, 2, 4, 256, 256, 512, 512, 768]);
    assert_eq!(rounded_up(usize::MAX), usize::MAX);
}
