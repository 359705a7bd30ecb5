// PAIR: only-rust start.rs -- TypeScript only asks; Rust decides what becomes of a descriptor
//! What becomes of a descriptor: an operation, a cancel, a member of a chain, or an errno.

use crate::border::{Border, Descriptor, MAX_TICKET};
use crate::cqe::H_CLOSED;
use crate::decode::Decoded;
use crate::slot::{Held, Key, Owner};
use crate::sqe::*;
use std::ptr::NonNull;

/// A member of a chain: its ticket, and its entry or why there is none.
pub(crate) struct Member {
  pub ticket: u32,
  pub decoded: std::result::Result<Decoded, i32>,
}

impl Border {
  /// What is true of every descriptor.
  pub(crate) fn check(&self, d: &Descriptor) -> std::result::Result<(), i32> {
    let ticket = d[D_TICKET as usize];
    if ticket != NO_TICKET && (ticket >= MAX_TICKET || self.in_use(ticket)) {
      return Err(libc::EINVAL);
    }
    let opcode = d[D_OPCODE as usize];
    if self.missing.iter().any(|missing| *missing as u32 == opcode) {
      return Err(ERRNO_UNSUPPORTED_OP as i32);
    }
    let opcode = d[D_OPCODE as usize];
    if !self.ring.allows(opcode) && crate::table::info(opcode).is_some() {
      return Err((ERRNO_NOT_ALLOWED + opcode) as i32);
    }
    Ok(())
  }

  /// A descriptor outside of a chain.
  pub(crate) fn single(&mut self, d: &Descriptor) -> std::result::Result<(), i32> {
    let word = |index: u32| d[index as usize];
    let ticket = word(D_TICKET);
    let waits = ticket != NO_TICKET;
    match word(D_OPCODE) {
      IORING_OP_ASYNC_CANCEL => return self.cancel(d),
      // One that the kernel never saw ends here, as with a cancel.
      IORING_OP_POLL_REMOVE if waits && word(D_LENGTH) == 0 => {
        let target = self.key_of(word(D_REGION));
        let queued = |key: &Key| self.ring.slot(*key).is_some_and(|slot| slot.queued);
        if let Some(target) = target.filter(queued) {
          let key = self.ring.cancel_op(Some(target), Owner::Ticket(ticket));
          self.remember(ticket, key);
          return Ok(());
        }
      }
      // What the ring owes goes out before the backlog, and on a closed ring at once (I3).
      IORING_OP_CLOSE if !waits && word(D_FILE_INDEX) == 0 => {
        if word(D_FD) as i32 != self.protected {
          self.ring.close_fd(word(D_FD) as i32);
        }
        return Ok(());
      }
      BORDER_RETURN | BORDER_CLOSE_GROUP => return self.group(d),
      _ => {}
    }
    let decoded = self.decode(d, &[])?;
    let message = decoded.message;
    let key = self.ring.push(decoded.entry(ticket));
    self.pushed(key, ticket, message);
    Ok(())
  }

  /// What TypeScript says of a buffer group; the kernel never sees such a descriptor.
  fn group(&mut self, d: &Descriptor) -> std::result::Result<(), i32> {
    let half = |word: u32| u16::try_from(d[word as usize]).map_err(|_| libc::EINVAL);
    let id = half(D_REGION)?;
    if d[D_OPCODE as usize] == BORDER_RETURN {
      self.ring.return_buffer(id, half(D_LENGTH)?)?;
    } else {
      self.ring.close_group(id)?;
    }
    self.ring.reject(Owner::Ticket(d[D_TICKET as usize]), 0); // Done, and said so.
    Ok(())
  }

  /// A descriptor within a chain, whose members may share regions.
  pub(crate) fn member(&mut self, d: &Descriptor) -> std::result::Result<Decoded, i32> {
    let ticket = d[D_TICKET as usize];
    let twice = ticket != NO_TICKET && self.chain.iter().any(|member| member.ticket == ticket);
    if twice || d[D_OPCODE as usize] == IORING_OP_ASYNC_CANCEL {
      return Err(libc::EINVAL);
    }
    let regions = std::mem::take(&mut self.chain_regions);
    let decoded = self.decode(d, &regions);
    self.chain_regions = regions;
    if let Ok(Decoded { held: Held::Region(id), .. }) = &decoded {
      self.chain_regions.push(*id);
    }
    decoded
  }

  /// The chain goes in whole (I5), or ends whole: with its own errno where one is wrong, and with
  /// ECANCELED beside it.
  pub(crate) fn end_chain(&mut self, complete: bool) {
    let members = std::mem::take(&mut self.chain);
    self.chain_regions.clear();
    let fits = members.len() <= self.ring.longest_chain() || self.get(H_CLOSED) == 1;
    if complete && fits && members.iter().all(|member| member.decoded.is_ok()) {
      let tickets: Vec<_> = members.iter().map(|member| member.ticket).collect();
      let decoded: Vec<_> = members.into_iter().flat_map(|member| member.decoded).collect();
      let messages: Vec<_> = decoded.iter().map(|decoded| decoded.message).collect();
      let entries = decoded.into_iter().zip(&tickets).map(|(each, ticket)| each.entry(*ticket));
      let keys = self.ring.push_chain(entries.collect());
      for ((key, ticket), message) in keys.into_iter().zip(tickets).zip(messages) {
        self.pushed(key, ticket, message);
      }
      return;
    }
    for member in members {
      let errno = match member.decoded {
        Err(errno) => errno,
        Ok(decoded) => {
          if let Held::Region(id) = decoded.held {
            self.ring.regions.release(id);
          }
          if complete && fits {
            libc::ECANCELED
          } else {
            libc::EINVAL
          }
        }
      };
      self.ring.reject(Owner::Ticket(member.ticket), errno);
    }
  }

  /// The ring has it: its ticket finds it from now on.
  pub(crate) fn pushed(&mut self, key: Key, ticket: u32, message: Option<NonNull<u8>>) {
    if let (Some(slot), Some(_)) = (self.ring.slot(key), message) {
      slot.message = message;
    }
    if ticket != NO_TICKET {
      self.remember(ticket, key);
    } else {
      self.ring.disown(key);
    }
  }

  /// A cancel of the runtime's own, `op.cancel` with a ticket, or `op.cancelFd`.
  pub(crate) fn cancel(&mut self, d: &Descriptor) -> std::result::Result<(), i32> {
    let word = |index: u32| d[index as usize];
    let (ticket, flags, fd) = (word(D_TICKET), word(D_WORD0), word(D_FD) as i32);
    let reporter = Some(ticket).filter(|ticket| *ticket != NO_TICKET);
    if flags != 0 {
      let all = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
      if flags != all || reporter.is_none() {
        return Err(libc::EINVAL);
      }
      let direct = word(D_SQE_FLAGS) & IOSQE_FIXED_FILE != 0;
      let flags = if direct { all | IORING_ASYNC_CANCEL_FD_FIXED } else { all };
      if !direct && fd == self.protected {
        return Err(libc::EBADF);
      }
      let opcode = IORING_OP_ASYNC_CANCEL as u8;
      let sqe = Sqe { opcode, fd, op_flags: flags, ..Sqe::default() };
      let key = self.ring.cancel_fd(sqe, Owner::Ticket(ticket));
      self.remember(ticket, key);
      return Ok(());
    }
    match (reporter, self.key_of(word(D_REGION))) {
      (Some(ticket), target) => {
        let key = self.ring.cancel_op(target, Owner::Ticket(ticket));
        self.remember(ticket, key);
      }
      (None, Some(target)) => drop(self.ring.cancel(target)),
      (None, None) => {}
    }
    Ok(())
  }
}
