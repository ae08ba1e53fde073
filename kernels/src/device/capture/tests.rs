use crate::ops::fill::fill;
use crate::{Device, Error};

fn device() -> Device {
    if cfg!(feature = "card") { Device::cuda(0).unwrap() } else { Device::emulator() }
}

#[test]
fn captured_work_is_done_when_it_is_launched_and_as_often() {
    let device = device();
    let (mut from, mut to) = (device.upload(&[1.0_f32; 40]).unwrap(), device.upload(&[2.0_f32; 40]).unwrap());
    let graph = device
        .capture(|| {
            to.as_mut().copy_from(from.as_slice())?;
            fill(7, 1.0, from.as_mut())
        })
        .unwrap();
    assert_eq!(to.as_slice().read().unwrap(), [2.0; 40], "nothing has been launched yet");
    graph.launch().unwrap();
    assert_eq!(to.as_slice().read().unwrap(), [1.0; 40]);
    let filled = from.as_slice().read().unwrap();
    assert_ne!(filled, [1.0; 40]);
    graph.launch().unwrap();
    assert_eq!(to.as_slice().read().unwrap(), filled);

    let clearing = device.capture(|| to.as_mut().clear()).unwrap();
    clearing.launch().unwrap();
    assert_eq!(to.as_slice().read().unwrap(), [0.0; 40]);
}

#[test]
fn what_makes_the_host_wait_cannot_be_captured() {
    let device = device();
    let mut buffer = device.upload(&[1_u32, 2]).unwrap();
    let refused = |result: Result<crate::Graph, Error>| {
        let error = result.err().unwrap();
        assert!(error.to_string().contains("cannot be part of a graph"), "{error}");
    };
    refused(device.capture(|| device.synchronize()));
    refused(device.capture(|| device.allocate::<u32>(1).map(drop)));
    refused(device.capture(|| device.mark().map(drop)));
    refused(device.capture(|| buffer.as_slice().read().map(drop)));
    refused(device.capture(|| buffer.as_mut().write(&[3, 4])));
    let graph = device.capture(|| Ok(())).unwrap();
    refused(device.capture(|| graph.launch()));
    // All is as before.
    buffer.as_mut().write(&[3, 4]).unwrap();
    assert_eq!(buffer.as_slice().read().unwrap(), [3, 4]);
}

#[test]
fn a_graph_whose_buffers_may_be_gone_is_not_launched() {
    let device = device();
    let mut buffer = device.upload(&[1.0_f32; 4]).unwrap();
    let graph = device.capture(|| buffer.as_mut().clear()).unwrap();
    assert!(graph.is_current());
    drop(device.allocate::<u8>(1).unwrap());
    assert!(!graph.is_current());
    let error = graph.launch().unwrap_err();
    assert!(error.to_string().contains("given back"), "{error}");
    assert_eq!(buffer.as_slice().read().unwrap(), [1.0; 4]);
}

#[test]
fn another_threads_work_is_not_captured() {
    let device = device();
    let (mut own, mut other) = (device.upload(&[1_u8; 4]).unwrap(), device.upload(&[1_u8; 4]).unwrap());
    let graph = device
        .capture(|| {
            std::thread::scope(|scope| scope.spawn(|| other.as_mut().clear()).join().unwrap())?;
            own.as_mut().clear()
        })
        .unwrap();
    assert_eq!((own.as_slice().read().unwrap(), other.as_slice().read().unwrap()), (vec![1; 4], vec![0; 4]));
    graph.launch().unwrap();
    assert_eq!(own.as_slice().read().unwrap(), [0; 4]);
}

#[test]
fn kernels_are_timed_by_name() {
    let device = device();
    let mut buffer = device.allocate::<f32>(1000).unwrap();
    let (filled, times) = device.profile(|| (0..3).try_for_each(|seed| fill(seed, 1.0, buffer.as_mut()))).unwrap();
    filled.unwrap();
    assert_eq!(times.len(), 1);
    assert_eq!((times[0].name, times[0].launches), ("fill_f32", 3));
    assert!(!times[0].time.is_zero());
    // What comes later is not timed.
    fill(9, 1.0, buffer.as_mut()).unwrap();
    assert_eq!(device.profile(|| ()).unwrap().1, []);
}
