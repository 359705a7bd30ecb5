//! Memory that the kernel may see: slabs, the regions in them, and the arena for inputs (I1, I2).
//! Pair: src/buffer.ts
//!
//! ```text
//! slab (one mmap, page aligned)                       class  region bytes  slab
//! +--------+--------+--------+--------+ ...             0       64          64 KiB
//! |region 0|region 1|region 2|region 3|                 1      512          64 KiB
//! +--------+--------+--------+--------+ ...             2      4 KiB         1 MiB
//!     |                                                ...
//!     `- busy: the kernel holds it, from push to the   10      1 MiB         4 MiB
//!        operation's last CQE (I2)
//! ```
//! A slab is reference counted: the ring holds one count, everything that shows its bytes to
//! JavaScript another. It is unmapped when the last one is dropped, on whatever thread that is.
#![allow(unsafe_code)]

use crate::alloc::Allocations;
pub use crate::alloc::{alloc, Alloc};
use crate::error::{Error, Result};
pub use crate::input::Arena;
use crate::sqe::{FIRST_ALLOCATED, MAX_TRANSFER, MSG_PAYLOAD};
use std::ptr::NonNull;
use std::sync::Arc;

/// Anonymous memory from mmap, page aligned, zeroed, never moved.
pub struct Slab {
  base: NonNull<u8>,
  len: usize,
}

// SAFETY: I6: a slab is only an owned address range. Nothing in it is read or written through a
// `&Slab`; those who do (the owner of the ring) keep to their own thread. Dropping it anywhere is
// an munmap.
unsafe impl Send for Slab {}
// SAFETY: I6: as above, `&Slab` gives out an address and nothing else.
unsafe impl Sync for Slab {}

impl Slab {
  /// Maps `len` bytes; the kernel gives pages on first touch only.
  pub fn new(len: usize) -> Result<Arc<Slab>> {
    Slab::map(len).map(Arc::new)
  }

  /// The same with the first byte at a multiple of `align`, a power of two.
  pub fn aligned(len: usize, align: usize) -> Result<Arc<Slab>> {
    if align <= 4096 {
      return Slab::new(len);
    }
    let mut slab = Slab::map(len + align)?;
    let start = slab.base.as_ptr();
    let before = start.align_offset(align);
    let base = start.wrapping_add(before);
    // SAFETY: I1: both ends lie in the mapping made just now, outside of what is kept, and are
    // whole pages since `len` and `align` are.
    unsafe {
      if before > 0 {
        libc::munmap(start.cast(), before);
      }
      libc::munmap(base.wrapping_add(len).cast(), align - before);
    }
    slab.base = NonNull::new(base).expect("inside of a mapping");
    slab.len = len;
    Ok(Arc::new(slab))
  }

  fn map(len: usize) -> Result<Slab> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: I1: a new anonymous mapping; no existing memory is named.
    let address = unsafe {
      libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    };
    match NonNull::new(address.cast::<u8>()) {
      Some(base) if address != libc::MAP_FAILED => Ok(Slab { base, len }),
      _ => Err(Error::Memory { wanted: len, limit: usize::MAX }),
    }
  }

  /// The first byte.
  pub fn base(&self) -> *mut u8 {
    self.base.as_ptr()
  }

  /// Bytes mapped.
  pub fn len(&self) -> usize {
    self.len
  }

  /// Gives the pages back; who reads them again finds zeros. The address range stays.
  fn discard(&self) {
    // SAFETY: I2: its caller has seen that the kernel holds none of it.
    unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_DONTNEED) };
  }

  /// A slab is never empty.
  pub fn is_empty(&self) -> bool {
    self.len == 0
  }
}

/// AddressSanitizer knows nothing of what mmap gave us. Under it (`npm run test:asan`) a region is
/// poisoned by hand while nobody holds it, so that whatever our code and the mock kernel do there
/// is caught. What the real kernel writes is not instrumented: the spray tests are for that.
fn poison(address: *mut u8, len: usize, poisoned: bool) {
  #[cfg(ringcore_asan)]
  {
    extern "C" {
      fn __asan_poison_memory_region(address: *const u8, len: usize);
      fn __asan_unpoison_memory_region(address: *const u8, len: usize);
    }
    // SAFETY: I2: marks a part of a mapped slab in the sanitizer's shadow and touches no byte.
    unsafe {
      match poisoned {
        true => __asan_poison_memory_region(address, len),
        false => __asan_unpoison_memory_region(address, len),
      }
    }
  }
  let _ = (address, len, poisoned);
}

/// Leaks on purpose what the kernel may still touch (I7), and says so to LeakSanitizer: whatever
/// else is leaked is a fault.
pub(crate) fn leak<T>(value: T) {
  let place: *mut T = Box::leak(Box::new(value));
  #[cfg(ringcore_asan)]
  {
    extern "C" {
      fn __lsan_ignore_object(object: *const std::ffi::c_void);
    }
    // SAFETY: I7: names an allocation that was leaked just now; it and what it owns are no leaks.
    unsafe { __lsan_ignore_object(place.cast()) };
  }
  let _ = place;
}

impl Drop for Slab {
  fn drop(&mut self) {
    // The next mapping at this address is somebody else's.
    poison(self.base(), self.len, false);
    // SAFETY: I2: the ring dropped its count only after every CQE came (or leaked it on purpose),
    // so the kernel no longer writes here; nobody else holds a count.
    unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
  }
}

/// A buffer that goes into an operation and comes back with its result.
///
/// # Safety
/// The bytes stay where they are when the value is moved, until it is dropped (I2).
pub unsafe trait IoBuf: Default + Unpin + 'static {
  /// The first byte.
  fn address(&mut self) -> *mut u8;
  /// Bytes.
  fn length(&self) -> usize;
  /// Most of them that one operation moves (I7).
  fn longest(&self) -> usize {
    MAX_TRANSFER as usize
  }
}

// SAFETY: I2: a vector's bytes are on the heap, wherever the vector itself is moved to.
unsafe impl IoBuf for Vec<u8> {
  fn address(&mut self) -> *mut u8 {
    self.as_mut_ptr()
  }

  fn length(&self) -> usize {
    self.len()
  }
}

// PAIR: CLASSES
/// Region sizes: a cache line, 512 bytes, then 4 KiB (so that O_DIRECT works) doubling to 1 MiB.
pub const CLASSES: usize = 11;

// PAIR: classOf
/// The smallest class whose regions hold `len` bytes.
pub fn class_of(len: usize) -> usize {
  match len {
    0..=64 => 0,
    65..=512 => 1,
    _ => 2 + len.div_ceil(4096).next_power_of_two().trailing_zeros() as usize,
  }
}

// PAIR: classBytes
/// Bytes of one region of a class.
pub fn class_bytes(class: usize) -> usize {
  match class {
    0 => 64,
    1 => 512,
    _ => 4096 << (class - 2),
  }
}

/// Bytes of one slab of a class: few mappings for many small regions, four of the largest.
fn slab_bytes(class: usize) -> usize {
  match class {
    0 | 1 => 64 << 10,
    _ => (1 << 20).max(4 * class_bytes(class)),
  }
}

struct Region {
  range: u32,
  offset: u32,
  len: u32,
  /// Operations in flight that name it. More than one only within a chain.
  busy: u32,
}

/// The regions of one slab. Without the slab their ids wait for the next one of the class.
struct Range {
  first: u32,
  count: u32,
  class: usize,
  slab: Option<Arc<Slab>>,
}

/// New regions: ids `first .. first + count`, each `bytes` long, side by side from the slab's base.
pub struct Growth {
  pub first: u32,
  pub count: u32,
  pub bytes: u32,
  pub slab: Arc<Slab>,
}

// PAIR: Regions
/// All regions of a ring. Who uses which free one is the caller's business (TypeScript keeps the
/// stacks); that none is used twice at once or out of range is checked here.
pub struct Regions {
  ranges: Vec<Range>,
  regions: Vec<Region>,
  bytes: usize,
  /// Bytes of other memory that counts against the limit: buffer groups.
  others: usize,
  limit: usize,
  /// Memory of `buffer.alloc`, which has ids of its own.
  pub allocations: Allocations,
}

impl Regions {
  /// No memory yet; at most `limit` bytes ever.
  pub fn new(limit: usize) -> Regions {
    let (ranges, regions) = (Vec::new(), Vec::new());
    Regions { ranges, regions, bytes: 0, others: 0, limit, allocations: Allocations::default() }
  }

  // PAIR: Regions.grow
  /// Maps one more slab of a class. Beyond the limit: `Error::Memory`, at the call, never a wait.
  pub fn grow(&mut self, class: usize) -> Result<Growth> {
    if class >= CLASSES {
      return Err(Error::Invalid(format!("region class {class} is not below {CLASSES}")));
    }
    let len = slab_bytes(class);
    self.afford(len)?;
    let slab = Slab::new(len)?;
    let bytes = class_bytes(class);
    let count = (len / bytes) as u32;
    let vacant = self.ranges.iter_mut().find(|range| range.class == class && range.slab.is_none());
    let first = match vacant {
      Some(range) => {
        range.slab = Some(slab.clone());
        range.first
      }
      None => {
        let (first, range) = (self.regions.len() as u32, self.ranges.len() as u32);
        if first + count > FIRST_ALLOCATED {
          return Err(Error::Memory { wanted: len, limit: self.limit });
        }
        for i in 0..count {
          let offset = i * bytes as u32;
          self.regions.push(Region { range, offset, len: bytes as u32, busy: 0 });
        }
        self.ranges.push(Range { first, count, class, slab: Some(slab.clone()) });
        first
      }
    };
    poison(slab.base(), len, true);
    self.bytes += len;
    Ok(Growth { first, count, bytes: bytes as u32, slab })
  }

  /// Counts memory that is no region against the limit.
  pub(crate) fn charge(&mut self, len: usize) -> Result<()> {
    self.afford(len)?;
    self.others += len;
    Ok(())
  }

  /// That memory went.
  pub(crate) fn discharge(&mut self, len: usize) {
    self.others -= len;
  }

  /// Whether so many bytes more are within the limit.
  pub(crate) fn afford(&self, len: usize) -> Result<()> {
    let mapped = self.bytes + self.others + self.allocations.bytes();
    match mapped.checked_add(len) {
      Some(all) if all <= self.limit => Ok(()),
      _ => Err(Error::Memory { wanted: len, limit: self.limit }),
    }
  }

  // PAIR: Regions.shrink
  /// Gives a slab back by the first of its regions; how many bytes. None of them may be the
  /// kernel's: 0, and nothing happens (I2). Their ids are used again by the next slab of the class.
  pub fn shrink(&mut self, first: u32) -> usize {
    let range = self.ranges.iter_mut().find(|range| range.first == first && range.slab.is_some());
    let Some(range) = range else {
      return 0;
    };
    let regions = &self.regions[first as usize..(first + range.count) as usize];
    if regions.iter().any(|region| region.busy != 0) {
      return 0;
    }
    let Some(slab) = range.slab.take() else {
      return 0;
    };
    // Whoever shows it to JavaScript has a count until it is collected; the pages go now.
    slab.discard();
    self.bytes -= slab.len();
    slab.len()
  }

  // PAIR: Regions.hold
  /// Marks a region as held by the kernel and gives the address of `offset`. `None` when the id,
  /// the range, or a second use at once is wrong: the caller answers EINVAL.
  pub fn hold(&mut self, id: u32, offset: u32, len: u32) -> Option<*mut u8> {
    self.hold_in(id, offset, len, &[])
  }

  /// The same for a member of a chain that holds regions already: its members may share.
  pub fn hold_in(&mut self, id: u32, offset: u32, len: u32, chain: &[u32]) -> Option<*mut u8> {
    if id >= FIRST_ALLOCATED {
      return self.allocations.hold(id, offset, len);
    }
    let region = self.regions.get_mut(id as usize)?;
    let end = offset.checked_add(len)?;
    if end > region.len || (region.busy != 0 && !chain.contains(&id)) {
      return None;
    }
    let slab = self.ranges[region.range as usize].slab.as_ref()?;
    region.busy += 1;
    poison(slab.base().wrapping_add(region.offset as usize), region.len as usize, false);
    Some(slab.base().wrapping_add((region.offset + offset) as usize))
  }

  // PAIR: Regions.release
  /// The operation's last CQE came: the kernel holds the region no longer (I2).
  pub fn release(&mut self, id: u32) {
    if id >= FIRST_ALLOCATED {
      self.allocations.release(id);
    } else if let Some(region) = self.regions.get_mut(id as usize) {
      region.busy = region.busy.saturating_sub(1);
      if let Some(slab) = &self.ranges[region.range as usize].slab {
        let address = slab.base().wrapping_add(region.offset as usize);
        poison(address, region.len as usize, region.busy == 0);
      }
    }
  }

  /// A copy of the head of a message's region.
  pub(crate) fn message(&self, id: u32) -> Option<[u8; MSG_PAYLOAD as usize]> {
    let region = self.regions.get(id as usize).filter(|region| region.len >= MSG_PAYLOAD)?;
    let base = self.ranges[region.range as usize].slab.as_ref()?.base();
    let from = base.wrapping_add(region.offset as usize);
    poison(from, MSG_PAYLOAD as usize, false);
    // SAFETY: I2: it is as long, in a slab that this keeps, and nobody else's.
    let head = unsafe { from.cast::<[u8; MSG_PAYLOAD as usize]>().read() };
    poison(from, MSG_PAYLOAD as usize, region.busy == 0);
    Some(head)
  }

  /// Bytes of slabs.
  pub fn bytes(&self) -> usize {
    self.bytes
  }

  /// Gives the slabs up without unmapping them, for a ring that did not drain (I7).
  pub fn leak(&mut self) {
    leak(std::mem::take(&mut self.ranges));
    self.regions.clear();
    self.allocations.leak();
  }
}

#[cfg(test)]
mod tests {
  use super::*;

  #[test]
  fn classes_hold_what_they_are_chosen_for() {
    for len in [0, 1, 63, 64, 65, 511, 512, 513, 4095, 4096, 4097, 65536, 65537, 1 << 20] {
      let class = class_of(len);
      assert!(class < CLASSES && class_bytes(class) >= len, "{len}");
      assert!(class == 0 || class_bytes(class - 1) < len, "{len} fits a smaller class");
    }
  }
}
