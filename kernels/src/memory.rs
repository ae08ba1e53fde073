//! Device memory: typed buffers, views of them, and arenas that many buffers share.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use half::bf16;

use crate::{Device, Error};

/// Buffers begin at multiples of this, so that any vector load and any copy engine may read them.
pub(crate) const ALIGNMENT: usize = 256;

/// What buffers hold: plain data that means the same on host and device.
///
/// # Safety
///
/// Every bit pattern of the type's size must be a value of it, and it must have no padding.
#[expect(unsafe_code, reason = "buffers copy bytes, so a type has to promise that any bytes are a value")]
pub unsafe trait Element: Copy + Send + Sync + 'static {}

macro_rules! elements {
    ($($type:ty),*) => {$(
        // SAFETY: a number without padding, of which every bit pattern is a value.
        #[expect(unsafe_code, reason = "see the trait")]
        unsafe impl Element for $type {}
    )*};
}
elements!(f32, bf16, u8, u16, u32, i32, u64);

/// A run of device memory that is given back when nobody uses it any more.
pub(crate) struct Allocation {
    device: Device,
    address: u64,
    bytes: usize,
}

impl Allocation {
    pub(crate) fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        Ok(Self { device: device.clone(), address: device.allocate_bytes(bytes)?, bytes })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.device.free_bytes(self.address, self.bytes);
    }
}

/// Elements on a device. What a fresh buffer holds is undefined.
pub struct Buffer<T> {
    allocation: Arc<Allocation>,
    address: u64,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub(crate) fn new(device: &Device, len: usize) -> Result<Self, Error> {
        let allocation = Arc::new(Allocation::new(device, byte_count::<T>(len)?)?);
        Ok(Self { address: allocation.address, allocation, len, elements: PhantomData })
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole of it, to read.
    pub fn as_slice(&self) -> Slice<'_, T> {
        Slice { device: &self.allocation.device, address: self.address, len: self.len, elements: PhantomData }
    }

    /// The whole of it, to write.
    pub fn as_mut(&mut self) -> SliceMut<'_, T> {
        SliceMut { device: &self.allocation.device, address: self.address, len: self.len, elements: PhantomData }
    }

    /// A part of it, to read. Panics where the range is not inside, as a slice does.
    pub fn slice(&self, range: Range<usize>) -> Slice<'_, T> {
        self.as_slice().slice(range)
    }

    /// A part of it, to write. Panics where the range is not inside, as a slice does.
    pub fn slice_mut(&mut self, range: Range<usize>) -> SliceMut<'_, T> {
        self.as_mut().slice(range)
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} elements at {:#x})", self.len, self.address)
    }
}

/// Elements of a buffer, to read.
pub struct Slice<'a, T> {
    device: &'a Device,
    address: u64,
    len: usize,
    elements: PhantomData<&'a [T]>,
}

impl<T> Clone for Slice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Slice<'_, T> {}

impl<'a, T: Element> Slice<'a, T> {
    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of it. Panics where the range is not inside, as a slice does.
    pub fn slice(&self, range: Range<usize>) -> Slice<'a, T> {
        let address = part_address::<T>(self.address, self.len, &range);
        Slice { address, len: range.len(), ..*self }
    }

    /// Waits for all work before, and copies the elements to the host.
    pub fn read(&self) -> Result<Vec<T>, Error> {
        let mut elements = Vec::with_capacity(self.len);
        self.device.download(self.address, self.len * size_of::<T>(), elements.as_mut_ptr() as *mut u8)?;
        // SAFETY: the capacity is `len`, all of it has just been written, and any bytes are a value.
        #[expect(unsafe_code, reason = "the device writes what the vector holds")]
        unsafe {
            elements.set_len(self.len);
        }
        Ok(elements)
    }

    /// Waits for all work before, and copies the elements over those of `target`, which must be as many.
    pub fn read_into(&self, target: &mut [T]) -> Result<(), Error> {
        assert!(target.len() == self.len, "{} elements do not fit {}", self.len, target.len());
        self.device.download(self.address, size_of_val(target), target.as_mut_ptr() as *mut u8)
    }

    /// Where the device finds it.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }
}

/// Elements of a buffer, to write.
pub struct SliceMut<'a, T> {
    device: &'a Device,
    address: u64,
    len: usize,
    elements: PhantomData<&'a mut [T]>,
}

impl<'a, T: Element> SliceMut<'a, T> {
    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of it. Panics where the range is not inside, as a slice does.
    pub fn slice(self, range: Range<usize>) -> SliceMut<'a, T> {
        let address = part_address::<T>(self.address, self.len, &range);
        SliceMut { address, len: range.len(), ..self }
    }

    /// The same elements for a shorter time.
    pub fn reborrow(&mut self) -> SliceMut<'_, T> {
        SliceMut { device: self.device, address: self.address, len: self.len, elements: PhantomData }
    }

    /// The same elements, to read.
    pub fn as_slice(&self) -> Slice<'_, T> {
        Slice { device: self.device, address: self.address, len: self.len, elements: PhantomData }
    }

    /// The elements before `middle` and the others.
    pub fn split_at(self, middle: usize) -> (SliceMut<'a, T>, SliceMut<'a, T>) {
        let address = part_address::<T>(self.address, self.len, &(middle..self.len));
        (SliceMut { len: middle, ..self }, SliceMut { address, len: self.len - middle, ..self })
    }

    /// Copies as many elements from the host, behind all work before. The host's may be changed when this returns.
    pub fn write(&mut self, elements: &[T]) -> Result<(), Error> {
        assert!(elements.len() == self.len, "{} elements do not fit {}", elements.len(), self.len);
        self.device.upload_bytes(self.address, elements.as_ptr() as *const u8, size_of_val(elements))
    }

    /// The same from their bytes, the lowest first.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let expected = self.len * size_of::<T>();
        assert!(bytes.len() == expected, "{} bytes do not fit {expected}", bytes.len());
        self.device.upload_bytes(self.address, bytes.as_ptr(), expected)
    }

    /// Makes all bytes zero, behind all work before.
    pub fn clear(&mut self) -> Result<(), Error> {
        self.device.clear_bytes(self.address, self.len * size_of::<T>())
    }

    /// Copies as many elements of the same device, behind all work before.
    pub fn copy_from(&mut self, source: Slice<'_, T>) -> Result<(), Error> {
        assert!(source.len == self.len, "{} elements do not fit {}", source.len, self.len);
        assert!(source.device.is(self.device), "elements of another device cannot be copied");
        self.device.copy_bytes(self.address, source.address, self.len * size_of::<T>())
    }

    /// Where the device finds it.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.device
    }
}

/// One allocation that buffers are cut from, one after the other. It is given back when the arena and its last buffer are gone.
pub struct Arena {
    device: Device,
    /// On a card; on the emulator every buffer is its own, so that it has guards around it.
    allocation: Option<Arc<Allocation>>,
    bytes: usize,
    used: usize,
}

impl Arena {
    /// Takes `bytes` bytes from the device at once.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, Error> {
        let allocation = if device.is_emulator() { None } else { Some(Arc::new(Allocation::new(device, bytes)?)) };
        Ok(Self { device: device.clone(), allocation, bytes, used: 0 })
    }

    /// The bytes of an arena that a buffer of so many elements takes.
    pub fn footprint<T: Element>(len: usize) -> usize {
        len.saturating_mul(size_of::<T>()).checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)
    }

    /// The next buffer.
    pub fn take<T: Element>(&mut self, len: usize) -> Result<Buffer<T>, Error> {
        let bytes = Self::footprint::<T>(len);
        let free = self.bytes - self.used;
        if bytes > free {
            return Err(Error::OutOfMemory {
                requested_bytes: bytes as u64,
                free_bytes: free as u64,
                total_bytes: self.bytes as u64,
            });
        }
        let buffer = match &self.allocation {
            Some(allocation) => Buffer {
                allocation: Arc::clone(allocation),
                address: allocation.address + self.used as u64,
                len,
                elements: PhantomData,
            },
            None => Buffer::new(&self.device, len)?,
        };
        self.used += bytes;
        Ok(buffer)
    }
}

fn byte_count<T>(len: usize) -> Result<usize, Error> {
    len.checked_mul(size_of::<T>())
        .ok_or_else(|| crate::error::shape("buffer", format!("{len} elements are more bytes than there are addresses")))
}

fn part_address<T>(address: u64, len: usize, range: &Range<usize>) -> u64 {
    assert!(range.start <= range.end && range.end <= len, "{range:?} is not inside {len} elements");
    address + (range.start * size_of::<T>()) as u64
}
