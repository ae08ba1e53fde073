mod block_scaled;

use super::*;
use crate::kernel::kernel;
use crate::{Arena, Buffer, Device};

#[repr(C)]
#[derive(Clone, Copy)]
struct FaultParameters {
    input: u64,
    output: u64,
}

kernel!(static BARRIER_FOR_SOME: "faults", barrier_for_some(FaultParameters));
kernel!(static DIFFERENT_BARRIERS: "faults", different_barriers(FaultParameters));
kernel!(static SHUFFLE_FOR_SOME: "faults", shuffle_for_some(FaultParameters));
kernel!(static DIFFERENT_COLLECTIVES: "faults", different_collectives(FaultParameters));
kernel!(static FOLLOW_FOR_SOME: "faults", follow_for_some(FaultParameters));
kernel!(static WRITE_OUTSIDE: "faults", write_outside(FaultParameters));
kernel!(static WRITE_OUTSIDE_SHARED: "faults", write_outside_shared(FaultParameters));
kernel!(static UNALIGNED_COPY: "faults", unaligned_copy(FaultParameters));
kernel!(static UNALIGNED_VECTOR: "faults", unaligned_vector(FaultParameters));
kernel!(static MISSING_WAIT: "faults", missing_wait(FaultParameters));
kernel!(static NEVER_WAITS: "faults", never_waits(FaultParameters));
kernel!(static WITH_WAIT: "faults", with_wait(FaultParameters));
kernel!(static MISSING_BARRIER: "faults", missing_barrier(FaultParameters));
kernel!(static OTHER_PARAMETERS: "faults", with_wait(u64));

const LAUNCH: Launch = Launch { grid: [1, 1, 1], threads: 64, shared_bytes: 256 };

fn numbers() -> Vec<f32> {
    (0..64_u8).map(f32::from).collect()
}

/// Launches the kernel on numbers from 0 to 63, and reads what it wrote.
fn launch(kernel: &Kernel<FaultParameters>, launch: Launch, reversed: bool) -> Result<Vec<f32>, Error> {
    let device = Device::emulator_with(EmulatorOptions { reversed, ..EmulatorOptions::default() });
    let input = device.upload(&numbers())?;
    let mut output: Buffer<f32> = device.allocate(64)?;
    let parameters = FaultParameters { input: input.as_slice().address(), output: output.as_mut().address() };
    // SAFETY: the kernels read and write 64 numbers, but for the one that writes one more, which stands in the buffer's guard.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(kernel, launch, &parameters)?;
    }
    output.as_slice().read()
}

#[track_caller]
fn assert_refused(kernel: &Kernel<FaultParameters>, words: &str) {
    for reversed in [false, true] {
        let error = launch(kernel, LAUNCH, reversed).unwrap_err();
        assert!(matches!(error, Error::Emulation { .. }), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains(words) && sentence.contains(kernel.name), "{sentence}");
    }
}

#[test]
fn a_thread_that_ends_before_the_kernel_before_it_is_noticed() {
    assert_refused(&FOLLOW_FOR_SOME, "has not waited");
}

#[test]
fn threads_that_part_at_a_barrier_are_noticed() {
    assert_refused(&BARRIER_FOR_SOME, "others have finished");
    assert_refused(&DIFFERENT_BARRIERS, "different barriers");
}

#[test]
fn lanes_that_part_at_a_collective_operation_are_noticed() {
    assert_refused(&SHUFFLE_FOR_SOME, "do not all take part");
    assert_refused(&DIFFERENT_COLLECTIVES, "different collective operations");
}

#[test]
fn writing_outside_of_what_was_given_is_noticed() {
    assert_refused(&WRITE_OUTSIDE, "outside of a buffer of 256 bytes");
    assert_refused(&WRITE_OUTSIDE_SHARED, "behind its shared memory");
    assert_refused(&UNALIGNED_COPY, "copy is not aligned");
    assert_refused(&UNALIGNED_VECTOR, "an address that is not aligned");
}

#[test]
fn what_nobody_waited_for_is_not_there() {
    assert!(launch(&MISSING_WAIT, LAUNCH, false).unwrap().iter().all(|value| value.is_nan()));
    let mut expected = numbers();
    expected[62..].fill(0.0);
    assert_eq!(launch(&WITH_WAIT, LAUNCH, false).unwrap(), expected);
    assert_eq!(launch(&WITH_WAIT, LAUNCH, true).unwrap(), expected);
    // Copies that belong to no group yet are not waited for.
    assert_refused(&NEVER_WAITS, "copies nobody has waited for");
}

#[test]
fn the_order_of_threads_shows_where_a_barrier_is_missing() {
    let (forward, reversed) = (launch(&MISSING_BARRIER, LAUNCH, false), launch(&MISSING_BARRIER, LAUNCH, true));
    let is_there = |values: Vec<f32>| values.iter().map(|value| !value.is_nan()).collect::<Vec<_>>();
    assert_ne!(is_there(forward.unwrap()), is_there(reversed.unwrap()));
}

#[test]
fn launches_that_no_card_could_run_are_refused() {
    let refused = |launched| launch(&WITH_WAIT, launched, false).unwrap_err().to_string();
    assert!(refused(Launch { threads: 33, ..LAUNCH }).contains("whole warps"));
    assert!(refused(Launch { threads: 128, ..LAUNCH }).contains("more threads than the kernel allows"));
    assert!(refused(Launch { shared_bytes: 100 << 10, ..LAUNCH }).contains("shared memory"));
    assert!(refused(Launch { grid: [1, 1 << 16, 1], ..LAUNCH }).contains("grid"));
    let nothing = launch(&WITH_WAIT, Launch { grid: [1, 0, 1], ..LAUNCH }, false).unwrap();
    assert!(nothing.iter().all(|value| value.is_nan()), "a grid without blocks ran");
}

#[test]
fn parameters_of_another_size_are_refused() {
    let device = Device::emulator();
    // SAFETY: the kernel is not run.
    #[expect(unsafe_code, reason = "a launch")]
    let error = unsafe { device.launch(&OTHER_PARAMETERS, LAUNCH, &0) }.unwrap_err();
    assert_eq!(error.to_string(), "the kernel with_wait takes 16 bytes of parameters, not 8");
}

#[test]
fn memory_ends_where_the_device_says() {
    let device = Device::emulator_with(EmulatorOptions { memory_bytes: 1000, ..EmulatorOptions::default() });
    let first: Buffer<f32> = device.allocate(200).unwrap();
    let error = device.allocate::<f32>(100).unwrap_err();
    assert_eq!(error.to_string(), "the device has no room for 400 bytes: 200 of its 1000 are free");
    drop(first);
    assert_eq!(device.memory().unwrap(), (1000, 1000));
    let second = device.allocate::<f32>(250).unwrap();
    assert!(second.as_slice().read().unwrap().iter().all(|value| value.is_nan()), "fresh memory holds numbers");
    assert!(device.allocate::<u64>(usize::MAX / 2).is_err());
}

#[test]
fn an_arena_hands_out_what_it_holds() {
    let device = Device::emulator();
    let mut arena = Arena::new(&device, Arena::footprint::<f32>(3) + Arena::footprint::<u8>(256)).unwrap();
    let mut numbers = arena.take::<f32>(3).unwrap();
    let bytes = arena.take::<u8>(256).unwrap();
    assert!(matches!(arena.take::<u8>(1), Err(Error::OutOfMemory { requested_bytes: 256, free_bytes: 0, .. })));
    drop(arena);
    numbers.as_mut().write(&[1.0, 2.0, 3.0]).unwrap();
    assert_eq!(numbers.as_slice().read().unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(bytes.len(), 256);
}

#[test]
fn parts_of_buffers_are_read_written_and_copied() {
    let device = Device::emulator();
    let mut buffer = device.upload(&[1_u32, 2, 3, 4, 5]).unwrap();
    let other = device.upload(&[9_u32, 8]).unwrap();
    buffer.slice_mut(1..3).copy_from(other.as_slice()).unwrap();
    let (mut left, mut right) = buffer.as_mut().split_at(3);
    left.reborrow().slice(0..1).clear().unwrap();
    right.write(&[6, 7]).unwrap();
    assert_eq!(buffer.as_slice().read().unwrap(), [0, 9, 8, 6, 7]);
    let mut two = [0; 2];
    buffer.slice(3..5).read_into(&mut two).unwrap();
    assert_eq!(two, [6, 7]);
    let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| buffer.slice(4..6).len()));
    assert!(outside.is_err(), "a part may not reach beyond its buffer");
}

#[test]
fn marks_tell_how_long_the_work_between_them_took() {
    let device = Device::emulator();
    let first = device.mark().unwrap();
    launch(&WITH_WAIT, Launch { grid: [50, 1, 1], ..LAUNCH }, false).unwrap();
    let second = device.mark().unwrap();
    assert!(second.since(&first).unwrap() > std::time::Duration::ZERO);
    assert_eq!(first.since(&first).unwrap(), std::time::Duration::ZERO);
}
