// PAIR: only-rust decode.rs -- TypeScript writes descriptors in operations, Rust reads them
//! Descriptors become entries, by the operation table. Everything is checked here, or is a number
//! that the kernel judges; no address comes from outside (I1).
#![allow(unsafe_code)]

use crate::border::{Border, Descriptor};
use crate::input::{Input, Patch};
use crate::ops::{control_length, poll_word, rights, timespec};
use crate::ring::Entry;
use crate::slot::{Held, Key, Owner, Slot};
use crate::sqe::*;
use crate::table::{self, takes, Memory, OpInfo};
use std::ptr::NonNull;

/// IOSQE flags that a descriptor may set. CQE_SKIP would leave a ticket without its completion.
const SQE_FLAGS: u32 =
  IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_ASYNC | IOSQE_BUFFER_SELECT;

/// Bits of ioprio that may be set: POLL_FIRST, MULTISHOT, FIXED_BUF and accept's three.
const IOPRIO_KNOWN: u16 = 0b111;

/// Flags of messages that no descriptor may set. MSG_ZEROCOPY and MSG_SPLICE_PAGES leave the memory
/// with the network beyond the CQE (I2), MSG_CMSG_COMPAT writes control data in another form.
const MSG_REFUSED: u32 = libc::MSG_ZEROCOPY as u32 | 0x0800_0000 | 0x8000_0000;

/// An entry with what it holds, ready to be pushed.
pub(crate) struct Decoded {
  pub sqe: Sqe,
  pub input: Option<Input>,
  pub held: Held,
  /// Where lengths and flags of a received message go.
  pub message: Option<NonNull<u8>>,
}

impl Decoded {
  /// The same for the ring.
  pub(crate) fn entry(self, ticket: u32) -> Entry {
    let Decoded { sqe, input, held, .. } = self;
    Entry { sqe, input, held, owner: Owner::Ticket(ticket) }
  }
}

type Result<T> = std::result::Result<T, i32>;

impl Border {
  /// The entry that a descriptor asks for. `chain`: regions that its chain holds already.
  pub(crate) fn decode(&mut self, d: &Descriptor, chain: &[u32]) -> Result<Decoded> {
    let word = |index: u32| d[index as usize];
    let info = table::info(word(D_OPCODE)).ok_or(libc::EINVAL)?;
    if word(D_SQE_FLAGS) & !SQE_FLAGS != 0 {
      return Err(libc::EINVAL);
    }
    let (opcode, flags, fd) = (info.opcode as u8, word(D_SQE_FLAGS) as u8, word(D_FD) as i32);
    let mut sqe = Sqe { opcode, flags, fd, ..Sqe::default() };
    numbers(&mut sqe, info, d);
    self.rules(&mut sqe)?;
    let mut decoded = Decoded { sqe, input: None, held: Held::Nothing, message: None };
    match info.memory {
      Memory::Nothing => {}
      Memory::Bytes => self.bytes(&mut decoded, d, chain)?,
      Memory::Path | Memory::TwoPaths | Memory::PathHow => self.paths(&mut decoded, info, d)?,
      Memory::Time | Memory::TargetTime => self.time(&mut decoded, info, d)?,
      Memory::Target => decoded.sqe.addr = self.target(word(D_REGION)),
      _ => self.rarely(&mut decoded, info, d, chain)?,
    }
    Ok(decoded)
  }

  /// What no table says: rules of single operations.
  fn rules(&mut self, sqe: &mut Sqe) -> Result<()> {
    let direct = sqe.file_index != 0;
    // A direct descriptor is in no process's table, O_CLOEXEC means nothing to it (EINVAL).
    let cloexec = if direct { 0 } else { libc::O_CLOEXEC as u32 };
    const _: () = assert!(libc::O_CLOEXEC == libc::SOCK_CLOEXEC);
    match sqe.opcode as u32 {
      IORING_OP_NOP if sqe.op_flags & !(IORING_NOP_INJECT_RESULT | IORING_NOP_TW) != 0 => {
        return Err(libc::EINVAL);
      }
      IORING_OP_NOP => sqe.fd = -1,
      // The target's user_data is ours: only its events may be changed.
      IORING_OP_POLL_REMOVE
        if sqe.len & !(IORING_POLL_UPDATE_EVENTS | IORING_POLL_ADD_MULTI) != 0 =>
      {
        return Err(libc::EINVAL);
      }
      IORING_OP_OPENAT | IORING_OP_ACCEPT => sqe.op_flags |= cloexec,
      IORING_OP_SEND | IORING_OP_SEND_ZC | IORING_OP_SENDMSG | IORING_OP_RECV
      | IORING_OP_RECVMSG
        if sqe.op_flags & MSG_REFUSED != 0 =>
      {
        return Err(libc::EINVAL);
      }
      IORING_OP_RECVMSG => sqe.op_flags |= libc::MSG_CMSG_CLOEXEC as u32,
      IORING_OP_SOCKET => sqe.off = (sqe.off & 0xffff_ffff) | cloexec as u64,
      IORING_OP_CLOSE if direct => sqe.fd = 0,
      IORING_OP_CLOSE if sqe.fd == self.protected => return Err(libc::EBADF),
      IORING_OP_POLL_ADD | IORING_OP_POLL_REMOVE => sqe.op_flags = poll_word(sqe.op_flags),
      _ => {}
    }
    // Others make an iovec array of `addr` (IORING_SEND_VECTORIZED), or take more than one buffer.
    if sqe.ioprio & !IOPRIO_KNOWN != 0 {
      return Err(libc::EINVAL);
    }
    // A group of another ring, or one that is closing.
    let selects = sqe.flags as u32 & IOSQE_BUFFER_SELECT != 0;
    if selects && !self.ring.groups.open(sqe.buf_index) {
      return Err(libc::EINVAL);
    }
    // The kernel's own choice of a slot would not be known to who gives slots out here.
    let chosen = direct && table::info(sqe.opcode as u32).is_some_and(|info| info.opens);
    if chosen && sqe.file_index == u32::MAX {
      return Err(libc::EINVAL);
    }
    Ok(())
  }

  /// `len` bytes of a region.
  fn bytes(&mut self, to: &mut Decoded, d: &Descriptor, chain: &[u32]) -> Result<()> {
    to.sqe.len = d[D_LENGTH as usize];
    let id = d[D_REGION as usize];
    if id == NO_REGION {
      let selects = to.sqe.flags as u32 & IOSQE_BUFFER_SELECT != 0;
      return if to.sqe.len == 0 || selects { Ok(()) } else { Err(libc::EINVAL) };
    }
    if matches!(to.sqe.opcode as u32, IORING_OP_READ_FIXED | IORING_OP_WRITE_FIXED) {
      let index = self.ring.regions.allocations.registered(id);
      to.sqe.buf_index = index.ok_or(libc::EINVAL)?;
    }
    let from = d[D_REGION_OFFSET as usize];
    to.sqe.addr = self.hold(to, id, from, to.sqe.len, chain)? as u64;
    Ok(())
  }

  /// One or two paths, or a path behind a struct open_how.
  fn paths(&mut self, to: &mut Decoded, info: &OpInfo, d: &Descriptor) -> Result<()> {
    let mut bytes = self.input(d)?;
    let how = if info.memory == Memory::PathHow { 24 } else { 0 };
    let text = bytes.get(how..).ok_or(libc::EINVAL)?;
    let first = text.iter().position(|byte| *byte == 0).ok_or(libc::EINVAL)?;
    let last = text.len() - 1;
    let patches = match info.memory {
      Memory::TwoPaths => {
        let second = text[first + 1..].iter().position(|byte| *byte == 0).ok_or(libc::EINVAL)?;
        if first + 1 + second != last {
          return Err(libc::EINVAL);
        }
        [Patch::Addr(0), Patch::Off(first as u32 + 1)]
      }
      _ if first != last => return Err(libc::EINVAL),
      Memory::PathHow => [Patch::Addr(how as u32), Patch::Off(0)],
      _ => [Patch::Addr(0), Patch::Nothing],
    };
    if info.memory == Memory::PathHow {
      to.sqe.len = how as u32;
      if to.sqe.file_index == 0 {
        let flags = u64::from_ne_bytes(bytes[..8].try_into().expect("eight bytes"));
        bytes[..8].copy_from_slice(&(flags | libc::O_CLOEXEC as u64).to_ne_bytes());
      }
    }
    to.input = Some(Input::new(bytes, patches));
    Ok(())
  }

  /// Seconds and nanoseconds as words; `len` is the number of repeats of a multishot timer.
  fn time(&mut self, to: &mut Decoded, info: &OpInfo, d: &Descriptor) -> Result<()> {
    let (seconds, nanoseconds) = (offset(d), d[D_WORD1 as usize]);
    if seconds > i64::MAX as u64 || nanoseconds > 999_999_999 {
      return Err(libc::EINVAL);
    }
    let input = Input::time(timespec(seconds, nanoseconds));
    if info.memory == Memory::TargetTime {
      to.sqe.addr = self.target(d[D_REGION as usize]);
      to.input = Some(input.with_patches([Patch::Off(0), Patch::Nothing]));
    } else {
      (to.sqe.off, to.sqe.len) = (d[D_LENGTH as usize] as u64, 1);
      to.input = Some(input);
    }
    to.sqe.fd = -1;
    Ok(())
  }

  /// Kinds of memory that only few operations have.
  fn rarely(
    &mut self,
    to: &mut Decoded,
    info: &OpInfo,
    d: &Descriptor,
    chain: &[u32],
  ) -> Result<()> {
    let (id, from) = (d[D_REGION as usize], d[D_REGION_OFFSET as usize]);
    match info.memory {
      Memory::Vector => {
        let len = d[D_LENGTH as usize];
        let base = match (id, len) {
          (NO_REGION, 0) => 0,
          (NO_REGION, _) => return Err(libc::EINVAL),
          _ => self.hold(to, id, from, len, chain)? as u64,
        };
        to.input = Some(Input::at_addr(iovec(base, len as u64).to_vec()));
        to.sqe.len = 1;
      }
      Memory::BytesTo => {
        self.bytes(to, d, chain)?;
        if d[D_INPUT_LENGTH as usize] > 0 {
          let address = self.address(d)?;
          // addr_len is the low half of the field.
          let [low, high] = (address.len() as u16).to_ne_bytes();
          to.sqe.file_index = u32::from_ne_bytes([low, high, 0, 0]);
          to.input = Some(Input::new(address, [Patch::Off(0), Patch::Nothing]));
        }
      }
      Memory::PathStat => {
        self.paths(to, info, d)?;
        to.sqe.off = self.hold(to, id, from, STATX_BYTES, chain)? as u64;
      }
      Memory::Address => {
        let address = self.address(d)?;
        to.sqe.off = address.len() as u64;
        to.input = Some(Input::at_addr(address));
      }
      Memory::AddressOut if id == NO_REGION => {}
      Memory::AddressOut => {
        let base = self.hold(to, id, 0, MSG_NAME + MSG_NAME_BYTES, chain)? as u64;
        (to.sqe.addr, to.sqe.off) = (base + MSG_NAME as u64, base);
      }
      Memory::Message | Memory::MessageOut => self.message(to, info, d, chain)?,
      _ => return Err(libc::EINVAL),
    }
    Ok(())
  }

  /// A msghdr over a region: name, control data, payload at fixed places.
  fn message(
    &mut self,
    to: &mut Decoded,
    info: &OpInfo,
    d: &Descriptor,
    chain: &[u32],
  ) -> Result<()> {
    let (name, control) = (d[D_WORD1 as usize], d[D_WORD2 as usize]);
    let len = d[D_LENGTH as usize];
    if name > MSG_NAME_BYTES || control > MSG_CONTROL_BYTES {
      return Err(libc::EINVAL);
    }
    let end = MSG_PAYLOAD.checked_add(len).ok_or(libc::EINVAL)?;
    let start = self.hold(to, d[D_REGION as usize], 0, end, chain)?;
    let base = start as u64;
    let at = |place: u32, len: u32| if len == 0 { 0 } else { base + place as u64 };
    // struct msghdr of 64-bit Linux, then its one iovec.
    let mut bytes = vec![0; 72];
    let mut put = |place: usize, value: u64| {
      bytes[place..place + 8].copy_from_slice(&value.to_ne_bytes());
    };
    put(0, at(MSG_NAME, name));
    put(24, 1);
    put(32, at(MSG_CONTROL, control));
    put(40, control as u64);
    bytes[8..12].copy_from_slice(&name.to_ne_bytes());
    bytes[56..].copy_from_slice(&iovec(base + MSG_PAYLOAD as u64, len as u64));
    let input = Input::new(bytes, [Patch::Addr(0), Patch::Inner(16, 56)]);
    to.sqe.len = 1;
    if info.memory == Memory::MessageOut {
      let old = start.wrapping_add(MSG_CONTROL as usize);
      // SAFETY: I2: in the region, which this operation holds and the kernel has not seen yet. What
      // a message before left there must not be taken for descriptors of this one (I3).
      unsafe { old.write_bytes(0, MSG_CONTROL_BYTES as usize) };
      to.input = Some(input.outliving());
      to.message = NonNull::new(start);
    } else {
      to.input = Some(input);
    }
    Ok(())
  }

  /// Holds bytes of a region until the operation's last CQE (I2).
  fn hold(
    &mut self,
    to: &mut Decoded,
    id: u32,
    from: u32,
    len: u32,
    chain: &[u32],
  ) -> Result<*mut u8> {
    let address = self.ring.regions.hold_in(id, from, len, chain).ok_or(libc::EINVAL)?;
    to.held = Held::Region(id);
    Ok(address)
  }

  /// A socket address from the inputs area. The kernel checks what it says.
  fn address(&self, d: &Descriptor) -> Result<Vec<u8>> {
    let bytes = self.input(d)?;
    if bytes.len() > MSG_NAME_BYTES as usize {
      return Err(libc::EINVAL);
    }
    Ok(bytes)
  }

  /// The target's user_data, or one that is nobody's (ENOENT from the kernel).
  fn target(&self, ticket: u32) -> u64 {
    self.key_of(ticket).map_or(u64::MAX, Key::user_data)
  }

  /// Bytes from the inputs area, copied, at least one.
  fn input(&self, d: &Descriptor) -> Result<Vec<u8>> {
    let (from, len) = (d[D_INPUT as usize], d[D_INPUT_LENGTH as usize]);
    let end = from.checked_add(len).ok_or(libc::EINVAL)?;
    if end > crate::cqe::INPUTS_BYTES || len == 0 {
      return Err(libc::EINVAL);
    }
    let place = (crate::cqe::BORDER_INPUTS + from) as usize;
    let start = self.memory().base().wrapping_add(place);
    // SAFETY: I6: in the slab by the check above; only the JavaScript thread writes there, and it
    // is in this call.
    Ok(unsafe { std::slice::from_raw_parts(start, len as usize) }.to_vec())
  }
}

fn offset(d: &Descriptor) -> u64 {
  ((d[D_OFFSET_HI as usize] as u64) << 32) | d[D_OFFSET_LO as usize] as u64
}

/// The fields that are numbers, those that the operation takes.
fn numbers(sqe: &mut Sqe, info: &OpInfo, d: &Descriptor) {
  let word = |index: u32| d[index as usize];
  if info.takes & takes::OFF != 0 {
    sqe.off = offset(d);
  }
  if info.takes & takes::LEN != 0 {
    sqe.len = word(D_LENGTH);
  }
  if info.takes & takes::FLAGS != 0 {
    sqe.op_flags = word(D_WORD0);
  }
  if info.takes & takes::ADDR != 0 {
    sqe.addr = ((word(D_WORD2) as u64) << 32) | word(D_WORD1) as u64;
  }
  if info.takes & takes::IOPRIO != 0 {
    sqe.ioprio = word(D_IOPRIO) as u16;
  }
  if info.takes & takes::BUF != 0 {
    sqe.buf_index = (word(D_IOPRIO) >> 16) as u16;
  }
  if info.takes & takes::FILE != 0 {
    sqe.file_index = word(D_FILE_INDEX);
  }
}

/// A `struct iovec` of 64-bit Linux.
pub(crate) fn iovec(base: u64, len: u64) -> [u8; 16] {
  let mut bytes = [0; 16];
  bytes[..8].copy_from_slice(&base.to_ne_bytes());
  bytes[8..].copy_from_slice(&len.to_ne_bytes());
  bytes
}

impl Slot {
  /// A message was received: its lengths and flags are in the msghdr, which TypeScript never sees;
  /// they go to the start of its region.
  /// Back comes the region of one that was received.
  pub(crate) fn publish_message(&mut self, res: i32) -> Option<u32> {
    let (to, msghdr) = (self.message?, self.inputs.as_deref()?);
    let word = |place: usize| u32::from_ne_bytes(msghdr[place..place + 4].try_into().expect("4"));
    // SAFETY: I2: as below; the region has more than so many bytes.
    let head = unsafe { to.as_ptr().cast::<[u8; MSG_PAYLOAD as usize]>().read() };
    // Not the msghdr's length: of a receive in several parts it counts the last one only.
    let control = &head[MSG_CONTROL as usize..][..MSG_CONTROL_BYTES as usize];
    let words = [word(8), control_length(control) as u32, word(48)];
    const _: () = assert!(MSG_CONTROL_LENGTH == 4 && MSG_FLAGS == 8);
    // SAFETY: I2: the region is held until this very CQE, it has more than 12 bytes there, page
    // or 512 byte aligned, and the kernel has done with it.
    unsafe { to.as_ptr().cast::<[u32; 3]>().write(words) };
    match self.held {
      Held::Region(id) if res >= 0 => Some(id),
      _ => None,
    }
  }
}

/// The descriptors that came with a message, from the head of its region.
pub(crate) fn received(head: &[u8; MSG_PAYLOAD as usize]) -> Vec<i32> {
  let place = MSG_CONTROL_LENGTH as usize;
  let len = u32::from_ne_bytes(head[place..place + 4].try_into().expect("four bytes"));
  let end = MSG_CONTROL + len.min(MSG_CONTROL_BYTES);
  rights(&head[MSG_CONTROL as usize..end as usize])
}
