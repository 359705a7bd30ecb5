//! Memory that operations name instead of copying it: `buffer.alloc`, and registered buffers.
//! Pair: src/alloc.ts
//!
//! ```text
//! region id   0 ........ FIRST_ALLOCATED ........ NO_REGION
//!             |          |
//!             |          `- one allocation: a slab of its own, several operations at once
//!             `- a region: bytes are copied, one operation (or chain) at a time
//! registered: the kernel has pinned its pages and knows them by an index (RLIMIT_MEMLOCK)
//! ```
//! JavaScript sees an allocation as an ArrayBuffer that holds a count of the slab. When it has been
//! collected the id is free, at the latest with the last CQE of those who name it (I2).
#![allow(unsafe_code)]

use crate::buffer::{leak, IoBuf, Slab};
use crate::error::{errno_error, Error, Result};
use crate::executor::current;
use crate::ring::Ring;
use crate::sqe::{BUFFER_SLOTS, FIRST_ALLOCATED, LONGEST_TRANSFER};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Memory that several operations may name at once: clones are the same bytes. Members of a chain
/// pass bytes on through it.
#[derive(Clone, Default)]
pub struct Alloc {
  slab: Option<Arc<Slab>>,
  len: usize,
}

// PAIR: alloc
/// Page aligned memory of `len` bytes, zeroed.
pub fn alloc(len: usize) -> Result<Alloc> {
  Ok(Alloc { slab: Some(Slab::new(whole_pages(len))?), len })
}

fn whole_pages(len: usize) -> usize {
  len.max(1).next_multiple_of(4096)
}

impl Alloc {
  /// Copies bytes in, from the first on. The kernel may be at work on them: who needs to know waits
  /// for the operation.
  pub fn copy_from(&self, bytes: &[u8]) {
    assert!(bytes.len() <= self.len, "{} bytes into {}", bytes.len(), self.len);
    if let Some(slab) = &self.slab {
      // SAFETY: I2: in the slab by the check above, which this handle keeps; nobody has a reference
      // to its bytes, only addresses.
      unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), slab.base(), bytes.len()) };
    }
  }

  /// A copy of the first `len` bytes.
  pub fn to_vec(&self, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len.min(self.len)];
    if let Some(slab) = &self.slab {
      // SAFETY: I2: as above.
      unsafe { std::ptr::copy_nonoverlapping(slab.base(), bytes.as_mut_ptr(), bytes.len()) };
    }
    bytes
  }
}

// SAFETY: I2: the slab stays where it is, and mapped, as long as one handle is left.
unsafe impl IoBuf for Alloc {
  fn address(&mut self) -> *mut u8 {
    self.slab.as_ref().map_or(std::ptr::null_mut(), |slab| slab.base())
  }

  fn length(&self) -> usize {
    self.len
  }

  fn longest(&self) -> usize {
    LONGEST_TRANSFER as usize
  }
}

// PAIR: only-rust FixedBuf -- a TypeScript view is registered by what it shows, not by its type
/// Registered memory, for `read_fixed` and `write_fixed` of the runtime that registered it. Clones
/// are the same bytes; the kernel lets go of them with the last one.
#[derive(Clone, Default)]
pub struct FixedBuf {
  memory: Alloc,
  registration: Option<Rc<Registration>>,
}

// PAIR: only-rust registered -- TypeScript passes { registered: true } to buffer.alloc
/// Memory of `len` bytes, registered with the runtime that polls the caller. ENOMEM of a low
/// RLIMIT_MEMLOCK is `Error::Locked`. Kernel: 5.19.
pub fn registered(len: usize) -> Result<FixedBuf> {
  let memory = alloc(len)?;
  let slab = memory.slab.clone().expect("alloc maps one");
  let registration = current()?.reactor.borrow_mut().ring.register(&slab)?;
  Ok(FixedBuf { memory, registration: Some(Rc::new(registration)) })
}

impl FixedBuf {
  /// Its bytes.
  pub fn memory(&self) -> &Alloc {
    &self.memory
  }

  /// Its index, and the serial number of the ring that knows it. None: the default, no memory.
  pub(crate) fn index(&self) -> Option<(u16, u32)> {
    self.registration.as_ref().map(|registration| (registration.index, registration.ring))
  }
}

// SAFETY: I2: as for `Alloc`.
unsafe impl IoBuf for FixedBuf {
  fn address(&mut self) -> *mut u8 {
    self.memory.address()
  }

  fn length(&self) -> usize {
    self.memory.length()
  }

  fn longest(&self) -> usize {
    self.memory.longest()
  }
}

/// An index and the bytes behind it that the kernel can let go of.
type Released = Rc<RefCell<Vec<(u16, usize)>>>;

/// A place in the ring's table of registered buffers.
pub struct Registration {
  index: u16,
  len: usize,
  ring: u32,
  released: Released,
}

impl Drop for Registration {
  fn drop(&mut self) {
    // Whoever drops it may have borrowed the ring, which unregisters it soon.
    self.released.borrow_mut().push((self.index, self.len));
  }
}

/// The ring's table of registered buffers, made at its first use.
#[derive(Default)]
pub struct BufferTable {
  made: bool,
  free: Vec<u16>,
  released: Released,
  bytes: usize,
}

impl BufferTable {
  /// Bytes that are registered.
  pub fn bytes(&self) -> usize {
    self.bytes
  }
}

struct Place {
  /// None: the id is free.
  slab: Option<Arc<Slab>>,
  len: u32,
  /// Operations in flight that name it.
  busy: u32,
  /// Its ArrayBuffer was collected: free at the last release.
  forgotten: bool,
  registration: Option<Registration>,
}

/// All memory of `buffer.alloc` of a ring, by id.
#[derive(Default)]
pub struct Allocations {
  places: Vec<Place>,
  free: Vec<u32>,
  bytes: usize,
}

impl Allocations {
  fn insert(&mut self, slab: Arc<Slab>, len: u32, registration: Option<Registration>) -> u32 {
    self.bytes += slab.len();
    let place = Place { slab: Some(slab), len, busy: 0, forgotten: false, registration };
    let index = self.free.pop().unwrap_or(self.places.len() as u32);
    if index as usize == self.places.len() {
      self.places.push(place);
    } else {
      self.places[index as usize] = place;
    }
    FIRST_ALLOCATED + index
  }

  fn get(&mut self, id: u32) -> Option<&mut Place> {
    let index = id.checked_sub(FIRST_ALLOCATED)? as usize;
    self.places.get_mut(index).filter(|place| place.slab.is_some())
  }

  /// The address of `offset`; from now on the kernel holds it once more. `None`: EINVAL.
  pub(crate) fn hold(&mut self, id: u32, offset: u32, len: u32) -> Option<*mut u8> {
    let place = self.get(id).filter(|place| !place.forgotten)?;
    if offset.checked_add(len)? > place.len {
      return None;
    }
    let base = place.slab.as_ref()?.base();
    place.busy += 1;
    Some(base.wrapping_add(offset as usize))
  }

  /// One of those who hold it has had its last CQE (I2).
  pub(crate) fn release(&mut self, id: u32) {
    let Some(place) = self.get(id) else {
      return;
    };
    place.busy = place.busy.saturating_sub(1);
    if place.forgotten {
      self.forget(id);
    }
  }

  /// Nobody can name it any more: free now, or with its last release. Whether it is free.
  pub fn forget(&mut self, id: u32) -> bool {
    let Some(place) = self.get(id) else {
      return false;
    };
    place.forgotten = true;
    if place.busy > 0 {
      return false;
    }
    let len = place.slab.take().map_or(0, |slab| slab.len());
    place.registration = None;
    self.bytes -= len;
    self.free.push(id - FIRST_ALLOCATED);
    true
  }

  /// The index of registered memory.
  pub(crate) fn registered(&mut self, id: u32) -> Option<u16> {
    self.get(id)?.registration.as_ref().map(|registration| registration.index)
  }

  /// Bytes mapped.
  pub fn bytes(&self) -> usize {
    self.bytes
  }

  /// Gives all of it up without unmapping it, for a ring that did not drain (I7).
  pub(crate) fn leak(&mut self) {
    leak(std::mem::take(&mut self.places));
    self.free.clear();
  }
}

impl Ring {
  /// Memory for `buffer.alloc`: its id, and the slab to be shown. `align` is a power of two.
  pub fn allocate(&mut self, len: u32, align: usize, registered: bool) -> Result<(u32, Arc<Slab>)> {
    if !align.is_power_of_two() || align > 2 << 20 {
      return Err(Error::Invalid(format!("an alignment of {align} bytes")));
    }
    let bytes = whole_pages(len as usize);
    self.regions.afford(bytes)?;
    let slab = Slab::aligned(bytes, align)?;
    let registration = if registered { Some(self.register(&slab)?) } else { None };
    Ok((self.regions.allocations.insert(slab.clone(), len, registration), slab))
  }

  /// The ArrayBuffer of an allocation was collected.
  pub fn forget(&mut self, id: u32) {
    self.regions.allocations.forget(id);
    self.unregister();
  }

  /// Registers a slab; the table is made at the first one.
  pub fn register(&mut self, slab: &Arc<Slab>) -> Result<Registration> {
    self.unregister();
    if !self.buffers.made {
      self.driver.register_buffers(BUFFER_SLOTS).map_err(|errno| match errno {
        libc::EINVAL => {
          Error::UnsupportedOp { name: "sparse table of registered buffers", kernel: "5.19" }
        }
        _ => refused(errno, slab.len()),
      })?;
      self.buffers.made = true;
      self.buffers.free = (0..BUFFER_SLOTS as u16).rev().collect();
    }
    let index = self.buffers.free.pop().ok_or_else(|| errno_error(libc::ENOBUFS, "register"))?;
    if let Err(errno) = self.driver.set_buffer(index as u32, Some(slab)) {
      self.buffers.free.push(index);
      return Err(refused(errno, slab.len()));
    }
    self.buffers.bytes += slab.len();
    let released = self.buffers.released.clone();
    Ok(Registration { index, len: slab.len(), ring: self.serial, released })
  }

  /// The kernel lets go of what was released. Operations that still use it keep it by themselves.
  pub(crate) fn unregister(&mut self) {
    if self.buffers.released.borrow().is_empty() {
      return;
    }
    for (index, len) in self.buffers.released.take() {
      self.buffers.bytes -= len;
      if self.closed || self.driver.set_buffer(index as u32, None).is_ok() {
        self.buffers.free.push(index);
      }
    }
  }
}

/// Why a buffer could not be registered.
fn refused(errno: i32, wanted: usize) -> Error {
  match errno {
    libc::ENOMEM => {
      let limit = crate::probe::Surroundings::read().memlock;
      Error::Locked { wanted, limit }
    }
    _ => errno_error(errno, "register"),
  }
}
