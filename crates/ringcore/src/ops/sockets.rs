//! Operations on sockets, one completion each.
//! Pair: src/ops/sockets.ts
//!
//! Errors are those of node:net: `connect ECONNREFUSED 127.0.0.1:1`. The ring waits for sockets
//! with O_NONBLOCK as for others; with MSG_DONTWAIT they give EAGAIN, which is passed on.

use super::fields::{count, nothing, Fd};
use super::messages::check_message_flags;
use crate::address::{decode, encode, Address};
use crate::buffer::IoBuf;
use crate::direct::Direct;
use crate::error::{host_error, Error, Result};
use crate::input::{Input, Patch};
use crate::op::{BufResult, Op, Operation};
use crate::sqe::*;
use std::any::Any;

/// res as a count, or an error as node:net shows it.
pub(crate) fn net_count(
  res: i32,
  syscall: &'static str,
  address: Option<&Address>,
) -> Result<usize> {
  match count(res, syscall) {
    Err(Error::Os { errno, syscall, .. }) => Err(host_error(errno, syscall, address)),
    other => other,
  }
}

// PAIR: SocketOp
/// An operation that moves no bytes.
pub struct SocketOp<T> {
  sqe: Sqe,
  input: Result<Option<Input>>,
  syscall: &'static str,
  /// For errors: where to.
  address: Option<Address>,
  read: fn(i32) -> T,
}

impl<T> SocketOp<T> {
  fn op(sqe: Sqe, syscall: &'static str, read: fn(i32) -> T) -> Op<SocketOp<T>> {
    Op::new(SocketOp { sqe, input: Ok(None), syscall, address: None, read })
  }
}

/// An operation on an address: bind and connect.
fn to_address(fd: Fd, opcode: u32, address: Address, syscall: &'static str) -> Op<SocketOp<()>> {
  let bytes = encode(&address);
  let off = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
  let sqe = Sqe { off, ..fd.on(opcode) };
  let input = bytes.map(|bytes| Some(Input::at_addr(bytes)));
  Op::new(SocketOp { sqe, input, syscall, address: Some(address), read: nothing })
}

impl<T> Operation for SocketOp<T> {
  type Output = Result<T>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    Ok((self.sqe, std::mem::replace(&mut self.input, Ok(None))?))
  }

  fn finish(self, res: i32) -> Result<T> {
    net_count(res, self.syscall, self.address.as_ref()).map(|_| (self.read)(res))
  }

  fn fail(self, error: Error) -> Result<T> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    None
  }
}

/// Where the kernel writes the address of who connected.
#[derive(Default)]
struct Peer {
  length: u32,
  bytes: [[u8; 32]; 4],
}

// PAIR: AcceptFrom
/// Takes a connection, and the address of who made it.
pub struct AcceptFrom<T> {
  sqe: Sqe,
  peer: Box<Peer>,
  read: fn(i32) -> T,
}

impl<T> Operation for AcceptFrom<T> {
  type Output = Result<(T, Option<Address>)>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    self.peer.length = MSG_NAME_BYTES;
    let addr = &raw mut self.peer.bytes as u64;
    let off = &raw mut self.peer.length as u64;
    Ok((Sqe { addr, off, ..self.sqe }, None))
  }

  fn finish(self, res: i32) -> Self::Output {
    net_count(res, "accept", None)?;
    let bytes = self.peer.bytes.as_flattened();
    let address = decode(&bytes[..bytes.len().min(self.peer.length as usize)]);
    Ok(((self.read)(res), address))
  }

  fn fail(self, error: Error) -> Self::Output {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.peer)))
  }
}

// PAIR: Exchange
/// Moves the bytes of one buffer to or from a socket.
pub struct Exchange<B: IoBuf> {
  sqe: Sqe,
  to: Option<Address>,
  buffer: B,
  syscall: &'static str,
}

impl<B: IoBuf> Exchange<B> {
  fn op(sqe: Sqe, flags: i32, buffer: B, syscall: &'static str) -> Op<Exchange<B>> {
    let sqe = Sqe { op_flags: flags as u32, ..sqe };
    Op::new(Exchange { sqe, to: None, buffer, syscall })
  }
}

impl<B: IoBuf> Op<Exchange<B>> {
  // PAIR: only-rust Op.to -- TypeScript passes { to }
  /// Sends to this address, whatever the socket is connected to.
  pub fn to(mut self, address: impl Into<Address>) -> Self {
    if let Some(exchange) = self.fresh() {
      exchange.to = Some(address.into());
    }
    self
  }

  // PAIR: only-rust Op.pollFirst -- TypeScript passes { pollFirst: true }
  /// Waits for the socket before it tries for the first time. Kernel: 5.19.
  pub fn poll_first(mut self) -> Self {
    if let Some(exchange) = self.fresh() {
      exchange.sqe.ioprio = IORING_RECVSEND_POLL_FIRST as u16;
    }
    self
  }
}

impl<B: IoBuf> Operation for Exchange<B> {
  type Output = BufResult<usize, B>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    check_message_flags(self.sqe.op_flags as i32)?;
    let len = self.buffer.length().min(MAX_TRANSFER as usize) as u32;
    let mut sqe = Sqe { addr: self.buffer.address() as u64, len, ..self.sqe };
    let Some(to) = &self.to else {
      return Ok((sqe, None));
    };
    let bytes = encode(to)?;
    let [low, high] = (bytes.len() as u16).to_ne_bytes();
    sqe.file_index = u32::from_ne_bytes([low, high, 0, 0]); // addr_len is its low half.
    Ok((sqe, Some(Input::new(bytes, [Patch::Off(0), Patch::Nothing]))))
  }

  fn finish(self, res: i32) -> BufResult<usize, B> {
    (net_count(res, self.syscall, self.to.as_ref()), self.buffer)
  }

  fn fail(self, error: Error) -> BufResult<usize, B> {
    (Err(error), self.buffer)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.buffer)))
  }
}

// PAIR: socket
/// Makes a socket of a domain (AF_*) and type (SOCK_*), always SOCK_CLOEXEC. The descriptor is the
/// caller's to close (I3).
///
/// Man: io_uring_prep_socket(3), socket(2). Kernel: 5.19.
pub fn socket(domain: i32, kind: i32, protocol: i32) -> Op<SocketOp<i32>> {
  let off = (kind | libc::SOCK_CLOEXEC) as u32 as u64;
  let sqe = Sqe { off, len: protocol as u32, ..Fd::Raw(domain).on(IORING_OP_SOCKET) };
  SocketOp::op(sqe, "socket", |fd| fd)
}

// PAIR: only-rust socketDirect -- TypeScript passes { direct } to op.socket
/// The same into a slot of the ring's table, without a descriptor of the process and without
/// SOCK_CLOEXEC. What fails leaves the slot as it was.
///
/// Man: io_uring_prep_socket_direct(3), socket(2). Kernel: 5.19.
pub fn socket_direct(domain: i32, kind: i32, protocol: i32, direct: &Direct) -> Op<SocketOp<()>> {
  let off = (kind & !libc::SOCK_CLOEXEC) as u32 as u64;
  let sqe = Sqe { off, len: protocol as u32, ..Fd::Raw(domain).on(IORING_OP_SOCKET) };
  SocketOp::op(direct.id().fill(sqe), "socket", nothing)
}

// PAIR: bind
/// Gives a socket its address. Port 0 is any free one; a unix socket without a path gets an
/// abstract name.
///
/// Man: io_uring_prep_bind(3), bind(2). Kernel: 6.11.
pub fn bind(fd: impl Into<Fd>, address: impl Into<Address>) -> Op<SocketOp<()>> {
  to_address(fd.into(), IORING_OP_BIND, address.into(), "bind")
}

// PAIR: listen
/// Lets a bound socket take connections; so many may wait (the kernel takes at most somaxconn).
///
/// Man: io_uring_prep_listen(3), listen(2). Kernel: 6.11.
pub fn listen(fd: impl Into<Fd>, backlog: u32) -> Op<SocketOp<()>> {
  let sqe = Sqe { len: backlog.min(i32::MAX as u32), ..fd.into().on(IORING_OP_LISTEN) };
  SocketOp::op(sqe, "listen", nothing)
}

// PAIR: accept
/// Takes one connection, always SOCK_CLOEXEC; `flags` may add SOCK_NONBLOCK. The descriptor is the
/// caller's to close (I3); one that comes after the caller has gone is closed.
///
/// Man: io_uring_prep_accept(3), accept4(2). Kernel: 5.5.
pub fn accept(fd: impl Into<Fd>, flags: i32) -> Op<SocketOp<i32>> {
  let op_flags = (flags | libc::SOCK_CLOEXEC) as u32;
  SocketOp::op(Sqe { op_flags, ..fd.into().on(IORING_OP_ACCEPT) }, "accept", |fd| fd)
}

// PAIR: only-rust acceptFrom -- TypeScript passes { wantAddress: true }
/// The same with the address of who connected.
///
/// Man: io_uring_prep_accept(3), accept4(2). Kernel: 5.5.
pub fn accept_from(fd: impl Into<Fd>, flags: i32) -> Op<AcceptFrom<i32>> {
  let op_flags = (flags | libc::SOCK_CLOEXEC) as u32;
  let sqe = Sqe { op_flags, ..fd.into().on(IORING_OP_ACCEPT) };
  Op::new(AcceptFrom { sqe, peer: Box::default(), read: |fd| fd })
}

// PAIR: only-rust acceptDirect -- TypeScript passes { direct } to op.accept
/// Takes one connection into a slot of the ring's table, without a descriptor of the process and
/// without SOCK_CLOEXEC. What fails leaves the slot as it was.
///
/// Man: io_uring_prep_accept_direct(3), accept4(2). Kernel: 5.19.
pub fn accept_direct(fd: impl Into<Fd>, flags: i32, direct: &Direct) -> Op<SocketOp<()>> {
  SocketOp::op(accept_into(fd.into(), flags, direct), "accept", nothing)
}

// PAIR: only-rust acceptFromDirect -- TypeScript passes { direct, wantAddress: true }
/// The same with the address of who connected.
///
/// Man: io_uring_prep_accept_direct(3), accept4(2). Kernel: 5.19.
pub fn accept_from_direct(fd: impl Into<Fd>, flags: i32, direct: &Direct) -> Op<AcceptFrom<()>> {
  let sqe = accept_into(fd.into(), flags, direct);
  Op::new(AcceptFrom { sqe, peer: Box::default(), read: nothing })
}

fn accept_into(fd: Fd, flags: i32, direct: &Direct) -> Sqe {
  let op_flags = (flags & !libc::SOCK_CLOEXEC) as u32;
  direct.id().fill(Sqe { op_flags, ..fd.on(IORING_OP_ACCEPT) })
}

// PAIR: connect
/// Connects a socket.
///
/// Man: io_uring_prep_connect(3), connect(2). Kernel: 5.5.
pub fn connect(fd: impl Into<Fd>, address: impl Into<Address>) -> Op<SocketOp<()>> {
  to_address(fd.into(), IORING_OP_CONNECT, address.into(), "connect")
}

// PAIR: shutdown
/// Ends one direction of a connection (SHUT_RD, SHUT_WR) or both (SHUT_RDWR).
///
/// Man: io_uring_prep_shutdown(3), shutdown(2). Kernel: 5.11.
pub fn shutdown(fd: impl Into<Fd>, how: i32) -> Op<SocketOp<()>> {
  let sqe = Sqe { len: how as u32, ..fd.into().on(IORING_OP_SHUTDOWN) };
  SocketOp::op(sqe, "shutdown", nothing)
}

// PAIR: send
/// Sends at most 1 MiB of `buffer`. The count may be short, except with MSG_WAITALL.
///
/// Man: io_uring_prep_send(3), send(2). Kernel: 5.6; with an address 6.0.
pub fn send<B: IoBuf>(fd: impl Into<Fd>, buffer: B, flags: i32) -> Op<Exchange<B>> {
  Exchange::op(fd.into().on(IORING_OP_SEND), flags, buffer, "send")
}

// PAIR: recv
/// Receives at most `buffer.len()` bytes (and at most 1 MiB); 0 is the end of the connection.
///
/// Man: io_uring_prep_recv(3), recv(2). Kernel: 5.6.
pub fn recv<B: IoBuf>(fd: impl Into<Fd>, buffer: B, flags: i32) -> Op<Exchange<B>> {
  Exchange::op(fd.into().on(IORING_OP_RECV), flags, buffer, "recv")
}

// PAIR: sendZc
/// The same as `send`, but the network card reads the buffer itself: it comes back when that is
/// done, over TCP when the peer has acknowledged the bytes: where it never reads, never. Worth it
/// from some 16 KiB on. EOPNOTSUPP on unix sockets.
///
/// Man: io_uring_prep_send_zc(3), send(2). Kernel: 6.0.
pub fn send_zc<B: IoBuf>(fd: impl Into<Fd>, buffer: B, flags: i32) -> Op<Exchange<B>> {
  Exchange::op(fd.into().on(IORING_OP_SEND_ZC), flags, buffer, "send")
}
