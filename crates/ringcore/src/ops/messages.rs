//! sendmsg and recvmsg: bytes with an address and control data, such as descriptors.
//! Pair: src/ops/messages.ts
//!
//! ```text
//! msghdr ──> name      struct sockaddr_*
//!        ──> iovec ──> payload
//!        ──> control   | len 8 | level 4 | type 4 | data ... | len 8 ...
//! ```
//! Received descriptors are always close-on-exec, and closed where nobody receives them (I3).
#![allow(unsafe_code)]

use super::fields::Fd;
use super::sockets::net_count;
use crate::address::{decode, encode, Address};
use crate::buffer::IoBuf;
use crate::error::{Error, Result};
use crate::input::{Input, Patch};
use crate::op::{BufResult, Op, Operation};
use crate::ring::close_now;
use crate::sqe::*;
use std::any::Any;
use std::os::fd::{FromRawFd, OwnedFd};

/// Bytes before the data of a control message.
const HEAD: usize = 16;

/// One control message: where it starts and ends, its level and type.
struct Control {
  from: usize,
  end: usize,
  kind: (i32, i32),
}

/// The control messages in these bytes. A length that cannot be ends them; zeros do.
fn controls(bytes: &[u8]) -> impl Iterator<Item = Control> + '_ {
  let mut from = 0usize;
  std::iter::from_fn(move || {
    let head = bytes.get(from..from + HEAD)?;
    let len = u64::from_ne_bytes(head[..8].try_into().expect("eight bytes"));
    let word = |at: usize| i32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
    if len < HEAD as u64 || len > (bytes.len() - from) as u64 {
      return None;
    }
    let control = Control { from, end: from + len as usize, kind: (word(8), word(12)) };
    from += (len as usize).next_multiple_of(8);
    Some(control)
  })
}

// PAIR: only-rust controlLength -- TypeScript reads the length from the head of the region
/// Bytes that the control messages take up.
pub fn control_length(bytes: &[u8]) -> usize {
  let end = controls(bytes).last().map_or(0, |last| last.end.next_multiple_of(8));
  end.min(bytes.len())
}

// PAIR: rights
/// The descriptors in control data (SCM_RIGHTS).
pub fn rights(control: &[u8]) -> Vec<i32> {
  let descriptors = |each: &Control| each.kind == (libc::SOL_SOCKET, libc::SCM_RIGHTS);
  controls(control)
    .filter(descriptors)
    .flat_map(|each| control[each.from + HEAD..each.end].chunks_exact(4))
    .map(|fd| i32::from_ne_bytes(fd.try_into().expect("four bytes")))
    .collect()
}

// PAIR: rightsControl
/// Control data that passes these descriptors on (SCM_RIGHTS).
pub fn rights_control(fds: &[i32]) -> Vec<u8> {
  let len = HEAD + 4 * fds.len();
  let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
  bytes.extend_from_slice(&(len as u64).to_ne_bytes());
  bytes.extend_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
  bytes.extend_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
  fds.iter().for_each(|fd| bytes.extend_from_slice(&fd.to_ne_bytes()));
  bytes.resize(len.next_multiple_of(8), 0);
  bytes
}

// PAIR: checkMessageFlags
/// MSG_ZEROCOPY would leave the memory with the network beyond the completion (I2).
pub(crate) fn check_message_flags(flags: i32) -> Result<()> {
  if flags < 0 || flags & libc::MSG_ZEROCOPY != 0 {
    return Err(Error::Invalid(format!("flags {flags:#x}: for MSG_ZEROCOPY there is send_zc")));
  }
  Ok(())
}

/// A struct msghdr and its iovec as words, and what they point to; it stays put until the last CQE
/// (I2).
#[derive(Default)]
struct Message<B: IoBuf> {
  words: Box<[u64; 9]>,
  name: Vec<u8>,
  control: Vec<u8>,
  buffer: B,
}

/// A field of 4 bytes and its padding.
fn half(value: u32) -> u64 {
  let [a, b, c, d] = value.to_ne_bytes();
  u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])
}

fn first_half(word: u64) -> u32 {
  let [a, b, c, d, ..] = word.to_ne_bytes();
  u32::from_ne_bytes([a, b, c, d])
}

impl<B: IoBuf> Message<B> {
  /// Fills in the addresses; the first word's own.
  fn address(&mut self) -> u64 {
    let len = self.buffer.length().min(MAX_TRANSFER as usize);
    let iovec = &raw mut self.words[7] as u64;
    *self.words = [
      if self.name.is_empty() { 0 } else { self.name.as_mut_ptr() as u64 },
      half(self.name.len() as u32),
      iovec,
      1,
      if self.control.is_empty() { 0 } else { self.control.as_mut_ptr() as u64 },
      self.control.len() as u64,
      0,
      self.buffer.address() as u64,
      len as u64,
    ];
    self.words.as_mut_ptr() as u64
  }

  /// Its entry. The iovec goes along as an input that nobody points to: the ring counts its bytes.
  fn entry(&mut self, sqe: Sqe) -> (Sqe, Option<Input>) {
    let sqe = Sqe { addr: self.address(), len: 1, ..sqe };
    let iovec = [self.words[7], self.words[8]].map(u64::to_ne_bytes).concat();
    (sqe, Some(Input::new(iovec, [Patch::Nothing, Patch::Nothing])))
  }
}

// PAIR: SendMessage
/// Sends bytes with an address and control data.
pub struct SendMessage<B: IoBuf> {
  sqe: Sqe,
  to: Option<Address>,
  message: Message<B>,
}

impl<B: IoBuf> Op<SendMessage<B>> {
  // PAIR: only-rust Op.to -- TypeScript passes { to }
  /// Sends to this address, whatever the socket is connected to.
  pub fn to(mut self, address: impl Into<Address>) -> Self {
    if let Some(sending) = self.fresh() {
      sending.to = Some(address.into());
    }
    self
  }

  // PAIR: only-rust Op.control -- TypeScript passes { control } or { descriptors }
  /// Sends this control data as well, for instance `rights_control(&[fd])`.
  pub fn control(mut self, control: Vec<u8>) -> Self {
    if let Some(sending) = self.fresh() {
      sending.message.control = control;
    }
    self
  }
}

impl<B: IoBuf> Operation for SendMessage<B> {
  type Output = BufResult<usize, B>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    check_message_flags(self.sqe.op_flags as i32)?;
    if let Some(to) = &self.to {
      self.message.name = encode(to)?;
    }
    Ok(self.message.entry(self.sqe))
  }

  fn finish(self, res: i32) -> BufResult<usize, B> {
    (net_count(res, "sendmsg", self.to.as_ref()), self.message.buffer)
  }

  fn fail(self, error: Error) -> BufResult<usize, B> {
    (Err(error), self.message.buffer)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.message)))
  }
}

/// A message that has come, beside its bytes.
#[derive(Debug)]
pub struct Received {
  /// Bytes of the payload.
  pub count: usize,
  /// Who sent it, where the socket says so.
  pub address: Option<Address>,
  /// MSG_TRUNC, MSG_CTRUNC, MSG_EOR ...
  pub flags: i32,
  /// All control data as it came.
  pub control: Vec<u8>,
  /// The descriptors in it.
  pub descriptors: Vec<OwnedFd>,
}

/// Memory of a receive: descriptors in it that nobody took are closed with it (I3). The control
/// data is zero until the kernel writes it.
#[derive(Default)]
struct Incoming<B: IoBuf>(Message<B>);

impl<B: IoBuf> Incoming<B> {
  /// What came; it holds no descriptors any more.
  fn take(&mut self, count: usize) -> Received {
    let Message { words, name, control, .. } = &mut self.0;
    let mut control = std::mem::take(control);
    let own = |fd| {
      // SAFETY: I3: the kernel made the descriptor for this message, which nobody else has seen.
      unsafe { OwnedFd::from_raw_fd(fd) }
    };
    let descriptors = rights(&control).into_iter().map(own).collect();
    control.truncate(control_length(&control));
    let address = decode(&name[..name.len().min(first_half(words[1]) as usize)]);
    // The kernel repeats what it was asked for.
    let flags = first_half(words[6]) as i32 & !libc::MSG_CMSG_CLOEXEC;
    Received { count, address, flags, control, descriptors }
  }
}

impl<B: IoBuf> Drop for Incoming<B> {
  fn drop(&mut self) {
    rights(&self.0.control).into_iter().for_each(close_now);
  }
}

// PAIR: ReceiveMessage
/// Receives bytes with their sender's address and control data.
pub struct ReceiveMessage<B: IoBuf> {
  sqe: Sqe,
  incoming: Incoming<B>,
}

impl<B: IoBuf> Op<ReceiveMessage<B>> {
  // PAIR: only-rust Op.room -- TypeScript passes { control: bytes }
  /// Takes up to so many bytes of control data; without it there is none, and descriptors that were
  /// sent are dropped by the kernel (MSG_CTRUNC).
  pub fn room(mut self, bytes: usize) -> Self {
    if let Some(receiving) = self.fresh() {
      receiving.incoming.0.control = vec![0; bytes];
    }
    self
  }
}

impl<B: IoBuf> Operation for ReceiveMessage<B> {
  type Output = BufResult<Received, B>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    check_message_flags(self.sqe.op_flags as i32)?;
    self.incoming.0.name = vec![0; MSG_NAME_BYTES as usize];
    Ok(self.incoming.0.entry(self.sqe))
  }

  fn finish(mut self, res: i32) -> BufResult<Received, B> {
    let received = net_count(res, "recvmsg", None).map(|count| self.incoming.take(count));
    (received, std::mem::take(&mut self.incoming.0.buffer))
  }

  fn fail(mut self, error: Error) -> BufResult<Received, B> {
    (Err(error), std::mem::take(&mut self.incoming.0.buffer))
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.incoming)))
  }
}

// PAIR: sendmsg
/// Sends at most 1 MiB of `buffer`, with an address (`to`) and control data (`control`).
///
/// Man: io_uring_prep_sendmsg(3), sendmsg(2). Kernel: 5.3.
pub fn sendmsg<B: IoBuf>(fd: impl Into<Fd>, buffer: B, flags: i32) -> Op<SendMessage<B>> {
  let sqe = Sqe { op_flags: flags as u32, ..fd.into().on(IORING_OP_SENDMSG) };
  let message = Message { buffer, ..Message::default() };
  Op::new(SendMessage { sqe, to: None, message })
}

// PAIR: recvmsg
/// Receives at most `buffer.len()` bytes with their sender's address, and control data where there
/// is `room`. Descriptors that come are close-on-exec.
///
/// Man: io_uring_prep_recvmsg(3), recvmsg(2). Kernel: 5.3.
pub fn recvmsg<B: IoBuf>(fd: impl Into<Fd>, buffer: B, flags: i32) -> Op<ReceiveMessage<B>> {
  let op_flags = (flags | libc::MSG_CMSG_CLOEXEC) as u32;
  let sqe = Sqe { op_flags, ..fd.into().on(IORING_OP_RECVMSG) };
  let message = Message { buffer, ..Message::default() };
  Op::new(ReceiveMessage { sqe, incoming: Incoming(message) })
}
