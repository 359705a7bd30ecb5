//! Provided buffer rings: memory from which the kernel takes a buffer when bytes have come.
//! Pair: src/group.ts
//!
//! ```text
//! slab   [ ring: count x (addr, len, id) | tail ]  [buffer 0][buffer 1][buffer 2] ...
//!           Rust writes entries, the kernel        the kernel writes bytes, then a completion
//!           takes them                             says the id: the buffer is lent
//! ```
//! Who waits for bytes holds no memory. Rust knows which ids are lent: one that the kernel has is
//! never given to it twice, and one that is shown to JavaScript is never given to it at all.
#![allow(unsafe_code)]

use crate::buffer::Slab;
use crate::error::{errno_error, Error, Result};
use crate::executor::{current, Executor};
use crate::ring::Ring;
use crate::sqe::MAX_TRANSFER;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::Arc;
use std::task::Waker;

/// Most buffers of one group.
pub const MAX_BUFFERS: u32 = 32768;

/// `struct io_uring_buf`. The tail of the ring lies in `resv` of the first one.
#[repr(C)]
struct Buf {
  addr: u64,
  len: u32,
  bid: u16,
  resv: u16,
}

const _: () = assert!(std::mem::size_of::<Buf>() == 16);
const TAIL: usize = std::mem::offset_of!(Buf, resv);

/// Where a buffer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
  /// In the ring: the kernel may write to it.
  Kernel,
  /// A completion named it, and nobody has returned it.
  Lent,
  /// The same, and JavaScript has a view of it.
  Shown,
}

struct Group {
  slab: Arc<Slab>,
  /// First byte of buffer 0, and from one buffer to the next.
  first: usize,
  stride: usize,
  size: u32,
  places: Vec<Place>,
  /// Buffers that are not the kernel's.
  out: u32,
  tail: u16,
  /// Operations in flight that may get a buffer of it (I2).
  users: u32,
  /// Nobody wants it any more: it goes with its last user and its last buffer.
  closing: bool,
  /// Shots that found no buffer.
  starved: Vec<Waker>,
}

impl Group {
  /// Gives a buffer to the kernel: the entry first, then the tail that makes it visible.
  fn publish(&mut self, id: u16) {
    let mask = self.places.len() - 1;
    let entry = self.slab.base().cast::<Buf>().wrapping_add(self.tail as usize & mask);
    let addr = self.slab.base() as u64 + (self.first + id as usize * self.stride) as u64;
    // SAFETY: I1: the entry is in the slab's first part by the mask, and the address names a buffer
    // of the same slab. The kernel reads entries below the tail only, and this one is not yet.
    // `resv` is not written: in the first entry it is the tail.
    unsafe {
      (&raw mut (*entry).addr).write(addr);
      (&raw mut (*entry).len).write(self.size);
      (&raw mut (*entry).bid).write(id);
    }
    self.tail = self.tail.wrapping_add(1);
    let tail = self.slab.base().wrapping_add(TAIL).cast::<AtomicU16>();
    // SAFETY: I1: two aligned bytes of the slab that only this thread writes and the kernel reads.
    unsafe { (*tail).store(self.tail, Ordering::Release) };
  }
}

/// A new group: buffer `id` begins at `first + id * stride` of the slab.
pub struct Provided {
  pub id: u16,
  pub first: usize,
  pub stride: usize,
  pub slab: Arc<Slab>,
}

/// All groups of a ring.
#[derive(Default)]
pub struct Groups {
  groups: Vec<Option<Group>>,
  bytes: usize,
}

impl Groups {
  /// Bytes mapped.
  pub fn bytes(&self) -> usize {
    self.bytes
  }

  fn get(&mut self, id: u16) -> Option<&mut Group> {
    self.groups.get_mut(id as usize)?.as_mut()
  }

  /// Whether operations may name it.
  pub fn open(&mut self, id: u16) -> bool {
    self.get(id).is_some_and(|group| !group.closing)
  }

  /// An operation that may get a buffer begins.
  pub(crate) fn hold(&mut self, id: u16) {
    if let Some(group) = self.get(id) {
      group.users += 1;
    }
  }

  /// A completion named a buffer: it is lent from now on.
  pub(crate) fn took(&mut self, id: u16, buffer: u16) {
    if let Some(group) = self.get(id) {
      if let Some(place @ Place::Kernel) = group.places.get_mut(buffer as usize) {
        *place = Place::Lent;
        group.out += 1;
      }
    }
  }

  /// Buffers that the kernel has.
  pub fn available(&mut self, id: u16) -> u32 {
    self.get(id).map_or(0, |group| group.places.len() as u32 - group.out)
  }

  /// Whoever found no buffer is woken when one comes back.
  pub(crate) fn starve(&mut self, id: u16, waker: &Waker) {
    if let Some(group) = self.get(id) {
      if !group.starved.iter().any(|other| other.will_wake(waker)) {
        group.starved.push(waker.clone());
      }
    }
  }

  /// The slab and the place of a lent buffer that is shown from now on. `None`: it is not lent, or
  /// shown already.
  pub fn show(&mut self, id: u16, buffer: u16) -> Option<(Arc<Slab>, usize, usize)> {
    let group = self.get(id)?;
    let place = group.places.get_mut(buffer as usize)?;
    if *place != Place::Lent {
      return None;
    }
    *place = Place::Shown;
    let from = group.first + buffer as usize * group.stride;
    Some((group.slab.clone(), from, group.size as usize))
  }

  /// The first byte of a buffer that is shown.
  pub fn shown(&mut self, id: u16, buffer: u16) -> Option<*const u8> {
    let group = self.get(id)?;
    let shown = group.places.get(buffer as usize) == Some(&Place::Shown);
    let from = group.first + buffer as usize * group.stride;
    shown.then(|| group.slab.base().wrapping_add(from).cast_const())
  }

  /// Its view is gone.
  pub fn hide(&mut self, id: u16, buffer: u16) {
    let place = self.get(id).and_then(|group| group.places.get_mut(buffer as usize));
    if let Some(place @ Place::Shown) = place {
      *place = Place::Lent;
    }
  }

  /// Gives the slabs up without unmapping them, for a ring that did not drain (I7).
  pub(crate) fn leak(&mut self) {
    self.groups.iter().flatten().for_each(|group| std::mem::forget(group.slab.clone()));
  }
}

impl Ring {
  // PAIR: only-rust Ring.provide -- in TypeScript Buffers.provide asks the driver for it
  /// Makes a group of `count` buffers (a power of two, at most 32768) of `size` bytes each.
  pub fn provide(&mut self, count: u32, size: u32) -> Result<Provided> {
    if !count.is_power_of_two() || count > MAX_BUFFERS {
      let text = format!("count must be a power of two of at most {MAX_BUFFERS}, not {count}");
      return Err(Error::Invalid(text));
    }
    if size == 0 || size > MAX_TRANSFER {
      return Err(Error::Invalid(format!("size must be 1 to {MAX_TRANSFER}, not {size}")));
    }
    if self.closed || self.fatal.is_some() {
      return Err(Error::Closed);
    }
    let first = (count as usize * 16).next_multiple_of(4096);
    let stride = (size as usize).next_multiple_of(64);
    let len = first + count as usize * stride;
    let free = self.groups.groups.iter().position(Option::is_none);
    let id = u16::try_from(free.unwrap_or(self.groups.groups.len()))
      .map_err(|_| Error::Invalid("a ring has at most 65536 buffer groups".into()))?;
    self.regions.charge(len)?;
    let made = Slab::new(len).and_then(|slab| {
      let address = slab.base() as u64;
      match self.driver.register_group(id, address, count as u16) {
        Ok(()) => Ok(slab),
        Err(errno) => Err(errno_error(errno, "io_uring_register")),
      }
    });
    let slab = made.inspect_err(|_| self.regions.discharge(len))?;
    self.groups.bytes += len;
    let places = vec![Place::Kernel; count as usize];
    let (out, tail, users, closing, starved) = (0, 0, 0, false, Vec::new());
    let mut group =
      Group { slab: slab.clone(), first, stride, size, places, out, tail, users, closing, starved };
    (0..count).for_each(|buffer| group.publish(buffer as u16));
    if free.is_none() {
      self.groups.groups.push(None);
    }
    self.groups.groups[id as usize] = Some(group);
    Ok(Provided { id, first, stride, slab })
  }

  // PAIR: only-rust Ring.returnBuffer -- in TypeScript it is a descriptor, BORDER_RETURN
  /// A lent buffer is the kernel's again. EINVAL, and nothing happens: it is not lent (a second
  /// return, an unknown id, one of another group), or JavaScript has a view of it.
  pub fn return_buffer(&mut self, id: u16, buffer: u16) -> std::result::Result<(), i32> {
    let group = self.groups.get(id).ok_or(libc::EINVAL)?;
    match group.places.get_mut(buffer as usize) {
      Some(place @ Place::Lent) => *place = Place::Kernel,
      _ => return Err(libc::EINVAL),
    }
    group.out -= 1;
    group.publish(buffer);
    group.starved.drain(..).for_each(Waker::wake);
    self.end_group(id);
    Ok(())
  }

  // PAIR: only-rust Ring.closeGroup -- in TypeScript it is a descriptor, BORDER_CLOSE_GROUP
  /// Nobody wants the group any more. Its memory goes when the last operation that may get a buffer
  /// has ended (I2) and the last lent one is back. EINVAL: there is no such group.
  pub fn close_group(&mut self, id: u16) -> std::result::Result<(), i32> {
    let group = self.groups.get(id).filter(|group| !group.closing).ok_or(libc::EINVAL)?;
    group.closing = true;
    self.end_group(id);
    Ok(())
  }

  /// An operation that might have got a buffer has ended.
  pub(crate) fn leave_group(&mut self, id: u16) {
    if let Some(group) = self.groups.get(id) {
      group.users = group.users.saturating_sub(1);
      self.end_group(id);
    }
  }

  fn end_group(&mut self, id: u16) {
    let ended = |group: &mut Group| group.closing && group.users == 0 && group.out == 0;
    if self.groups.get(id).is_some_and(ended) {
      self.driver.unregister_group(id);
      let group = self.groups.groups[id as usize].take().expect("looked at just now");
      self.groups.bytes -= group.slab.len();
      self.regions.discharge(group.slab.len());
    }
  }
}

struct Shared {
  executor: Rc<Executor>,
  provided: Provided,
  count: u32,
  size: u32,
}

impl Drop for Shared {
  fn drop(&mut self) {
    let _ = self.executor.reactor.borrow_mut().ring.close_group(self.provided.id);
  }
}

// PAIR: BufferGroup
/// A handle on a group; clones are the same one. It is closed with the last of them, of the streams
/// on it and of the buffers that it lent.
#[derive(Clone)]
pub struct BufferGroup {
  shared: Rc<Shared>,
}

impl BufferGroup {
  /// Buffers.
  pub fn count(&self) -> u32 {
    self.shared.count
  }

  /// Bytes of each.
  pub fn size(&self) -> u32 {
    self.shared.size
  }

  // PAIR: BufferGroup.available
  /// Buffers that the kernel may fill.
  pub fn available(&self) -> u32 {
    self.shared.executor.reactor.borrow_mut().ring.groups.available(self.id())
  }

  pub(crate) fn id(&self) -> u16 {
    self.shared.provided.id
  }

  /// It belongs to this runtime.
  pub(crate) fn check(&self, executor: &Rc<Executor>) -> Result<()> {
    let same = Rc::ptr_eq(&self.shared.executor, executor);
    if same {
      Ok(())
    } else {
      Err(Error::WrongRuntime)
    }
  }

  /// The buffer that a completion named, with so many bytes in it.
  pub(crate) fn lent(&self, buffer: u16, length: usize) -> Lent {
    Lent { group: self.clone(), buffer, length }
  }
}

// PAIR: Lent
/// Bytes that came, in a buffer of the group. Dropped, the buffer is the kernel's again. (In
/// TypeScript it is copied unless one asks for the buffer itself; here there is nothing to copy.)
pub struct Lent {
  group: BufferGroup,
  buffer: u16,
  length: usize,
}

impl std::ops::Deref for Lent {
  type Target = [u8];

  fn deref(&self) -> &[u8] {
    let Provided { first, stride, slab, .. } = &self.group.shared.provided;
    let start = slab.base().wrapping_add(first + self.buffer as usize * stride);
    // SAFETY: I2: the buffer is lent, so the kernel does not write to it before it is returned,
    // which is when `self` is dropped. The kernel said that `length` bytes fit and were written.
    unsafe { std::slice::from_raw_parts(start, self.length) }
  }
}

impl std::fmt::Debug for Lent {
  fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    write!(f, "Lent({} bytes)", self.length)
  }
}

// PAIR: only-rust Lent.drop -- JavaScript has no destructor, see Lent.release
impl Drop for Lent {
  fn drop(&mut self) {
    let mut reactor = self.group.shared.executor.reactor.borrow_mut();
    let _ = reactor.ring.return_buffer(self.group.id(), self.buffer);
  }
}

// PAIR: provide
/// Makes a group of `count` buffers (a power of two, at most 32768) of `size` bytes each (at most
/// 1 MiB) for the runtime that polls the caller. `Error::Memory`: `memory_limit` is reached.
///
/// Man: io_uring_register_buf_ring(3). Kernel: 5.19.
pub fn provide(count: u32, size: u32) -> Result<BufferGroup> {
  let executor = current()?;
  let provided = executor.reactor.borrow_mut().ring.provide(count, size)?;
  Ok(BufferGroup { shared: Rc::new(Shared { executor, provided, count, size }) })
}
