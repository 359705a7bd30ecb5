//! The driver over the kernel: set-up steps down, parks lose nothing, numbers are the kernel's.
// PAIR: only-rust kernel.rs -- set-up and the park order are below the border; TypeScript is only
// told the flags and woken.

use io_uring::opcode;
use ringcore::cqe::Cqe;
use ringcore::kernel::{setup, step_down, Kernel, Options, SetupFlags};
use ringcore::mock::Random;
use ringcore::ring::{Driver, Wait};
use ringcore::sqe::*;
use std::io;

fn stress() -> bool {
  std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1")
}

fn refused(errno: i32) -> io::Error {
  io::Error::from_raw_os_error(errno)
}

#[test]
fn a_flag_that_the_kernel_does_not_know_is_stepped_down_from() {
  for flag in [
    "SINGLE_ISSUER",
    "DEFER_TASKRUN",
    "COOP_TASKRUN",
    "TASKRUN_FLAG",
    "SUBMIT_ALL",
    "CLAMP",
    "NO_SQARRAY",
  ] {
    let (ring, flags) =
      step_down(&Options::default(), |entries, cq, flags| match flags.names().contains(&flag) {
        true => Err(refused(libc::EINVAL)),
        false => setup(entries, cq, flags),
      })
      .unwrap_or_else(|error| panic!("without {flag}: {error}"));
    assert!(!flags.names().contains(&flag));
    assert!(ring.params().sq_entries() >= 256, "it works without {flag}");
  }
  let (_ring, flags) =
    step_down(&Options::default(), |entries, cq, flags| match flags == SetupFlags::default() {
      true => setup(entries, cq, flags),
      false => Err(refused(libc::EINVAL)),
    })
    .expect("the last step has no flag at all");
  assert!(flags.names().is_empty());
}

#[test]
fn other_refusals_are_not_tried_again_and_no_memory_halves_the_entries() {
  for errno in [libc::EPERM, libc::ENOSYS, libc::EOPNOTSUPP, libc::EMFILE, libc::ENFILE] {
    let mut tries = 0;
    let result = step_down(&Options::default(), |_, _, _| -> io::Result<()> {
      tries += 1;
      Err(refused(errno))
    });
    assert_eq!(result.unwrap_err().raw_os_error(), Some(errno));
    assert_eq!(tries, 1, "errno {errno}");
  }
  let mut sizes = Vec::new();
  let result = step_down(&Options::default(), |entries, _, flags| {
    sizes.push(entries);
    match entries > 64 {
      true => Err(refused(libc::ENOMEM)),
      false => Ok(flags),
    }
  });
  assert!(result.is_ok());
  assert_eq!(sizes, [256, 128, 64]);
}

#[allow(unsafe_code)]
fn poll_in(fd: i32, limit_ms: i32) -> bool {
  let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
  // SAFETY: I1: one struct of this function's own, alive for the whole call.
  unsafe { libc::poll(&mut poll, 1, limit_ms) == 1 }
}

#[test]
fn no_wake_up_is_lost_however_the_completion_races_the_park() {
  let mut kernel = Kernel::open(&Options::default()).unwrap();
  let eventfd = kernel.eventfd();
  let mut random = Random::new(99);
  let parks = if stress() { 1_000_000 } else { 20_000 };
  let (mut blocked, mut in_flight, mut times) = (0, 0usize, [[0u64; 2]; 1024]);
  for round in 0..parks {
    kernel.unpark();
    let wanted = 1 + random.below(3) as usize;
    while in_flight < wanted {
      let place = (round as usize * 4 + in_flight) % times.len();
      times[place] = [0, 1000 + random.below(30_000) as u64];
      let timer = Sqe {
        opcode: IORING_OP_TIMEOUT as u8,
        fd: -1,
        addr: times[place].as_ptr() as u64,
        len: 1,
        ..Sqe::default()
      };
      let nop = Sqe { opcode: IORING_OP_NOP as u8, flags: IOSQE_ASYNC as u8, ..Sqe::default() };
      kernel.push(&[if random.chance(50) { timer } else { nop }]);
      in_flight += 1;
    }
    kernel.submit(Wait::No).unwrap();
    let mut cqes = [Cqe::default(); 64];
    in_flight -= kernel.reap(&mut cqes);
    for i in 0..random.below(2000) {
      std::hint::black_box(i);
    }
    if in_flight > 0 && kernel.park() {
      blocked += 1;
      let woken = poll_in(eventfd, 2000);
      assert!(woken, "park {round} of {parks} got no wake-up");
      assert!(ringcore::kernel::wait_eventfd(eventfd));
    }
  }
  assert!(blocked > parks / 20, "it hardly ever slept: {blocked}");
  while in_flight > 0 {
    kernel.submit(Wait::Forever).unwrap();
    in_flight -= kernel.reap(&mut [Cqe::default(); 64]);
  }
}

#[test]
fn opcodes_and_flags_have_the_numbers_of_the_kernel() {
  let ours = [
    ("NOP", IORING_OP_NOP, opcode::Nop::CODE),
    ("READV", IORING_OP_READV, opcode::Readv::CODE),
    ("WRITEV", IORING_OP_WRITEV, opcode::Writev::CODE),
    ("FSYNC", IORING_OP_FSYNC, opcode::Fsync::CODE),
    ("READ_FIXED", IORING_OP_READ_FIXED, opcode::ReadFixed::CODE),
    ("WRITE_FIXED", IORING_OP_WRITE_FIXED, opcode::WriteFixed::CODE),
    ("POLL_ADD", IORING_OP_POLL_ADD, opcode::PollAdd::CODE),
    ("POLL_REMOVE", IORING_OP_POLL_REMOVE, opcode::PollRemove::CODE),
    ("SENDMSG", IORING_OP_SENDMSG, opcode::SendMsg::CODE),
    ("RECVMSG", IORING_OP_RECVMSG, opcode::RecvMsg::CODE),
    ("TIMEOUT", IORING_OP_TIMEOUT, opcode::Timeout::CODE),
    ("TIMEOUT_REMOVE", IORING_OP_TIMEOUT_REMOVE, opcode::TimeoutRemove::CODE),
    ("ACCEPT", IORING_OP_ACCEPT, opcode::Accept::CODE),
    ("ASYNC_CANCEL", IORING_OP_ASYNC_CANCEL, opcode::AsyncCancel::CODE),
    ("LINK_TIMEOUT", IORING_OP_LINK_TIMEOUT, opcode::LinkTimeout::CODE),
    ("CONNECT", IORING_OP_CONNECT, opcode::Connect::CODE),
    ("FALLOCATE", IORING_OP_FALLOCATE, opcode::Fallocate::CODE),
    ("OPENAT", IORING_OP_OPENAT, opcode::OpenAt::CODE),
    ("CLOSE", IORING_OP_CLOSE, opcode::Close::CODE),
    ("STATX", IORING_OP_STATX, opcode::Statx::CODE),
    ("READ", IORING_OP_READ, opcode::Read::CODE),
    ("WRITE", IORING_OP_WRITE, opcode::Write::CODE),
    ("FADVISE", IORING_OP_FADVISE, opcode::Fadvise::CODE),
    ("SEND", IORING_OP_SEND, opcode::Send::CODE),
    ("RECV", IORING_OP_RECV, opcode::Recv::CODE),
    ("OPENAT2", IORING_OP_OPENAT2, opcode::OpenAt2::CODE),
    ("SPLICE", IORING_OP_SPLICE, opcode::Splice::CODE),
    ("TEE", IORING_OP_TEE, opcode::Tee::CODE),
    ("SHUTDOWN", IORING_OP_SHUTDOWN, opcode::Shutdown::CODE),
    ("RENAMEAT", IORING_OP_RENAMEAT, opcode::RenameAt::CODE),
    ("UNLINKAT", IORING_OP_UNLINKAT, opcode::UnlinkAt::CODE),
    ("MKDIRAT", IORING_OP_MKDIRAT, opcode::MkDirAt::CODE),
    ("SYMLINKAT", IORING_OP_SYMLINKAT, opcode::SymlinkAt::CODE),
    ("LINKAT", IORING_OP_LINKAT, opcode::LinkAt::CODE),
    ("SOCKET", IORING_OP_SOCKET, opcode::Socket::CODE),
    ("SEND_ZC", IORING_OP_SEND_ZC, opcode::SendZc::CODE),
    ("FUTEX_WAIT", IORING_OP_FUTEX_WAIT, opcode::FutexWait::CODE),
    ("FTRUNCATE", IORING_OP_FTRUNCATE, opcode::Ftruncate::CODE),
    ("BIND", IORING_OP_BIND, opcode::Bind::CODE),
    ("LISTEN", IORING_OP_LISTEN, opcode::Listen::CODE),
  ];
  for (name, value, code) in ours {
    assert_eq!(value, code as u32, "{name}");
  }
  for op in ringcore::table::OPS {
    assert!(ours.iter().any(|(_, value, _)| *value == op.opcode), "{} is not compared", op.name);
  }
  let Ok(header) = std::fs::read_to_string("/usr/include/linux/io_uring.h") else {
    eprintln!("NOT COMPARED with linux/io_uring.h, which is not on this machine");
    return;
  };
  let start = header.find("enum io_uring_op {").expect("the enum is there");
  let body = header[start..].split('}').next().unwrap();
  let words = body.split(|c: char| !c.is_alphanumeric() && c != '_');
  let names: Vec<&str> = words.filter(|word| word.starts_with("IORING_OP_")).collect();
  for (name, value, _) in ours {
    let place = names.iter().position(|word| word[10..] == *name);
    if place.is_none() && value > 49 {
      continue; // The installed header is older than the operation; the crate above is not.
    }
    assert_eq!(place, Some(value as usize), "{name} in linux/io_uring.h");
  }
}

/// The value of `#define NAME (1U << 4)`, `(1U << NAME_BIT)` or a number in the header.
fn defined(header: &str, name: &str) -> Option<u32> {
  let line = header.lines().find(|line| {
    let mut words = line.split_whitespace();
    words.next() == Some("#define") && words.next() == Some(name)
  })?;
  let text = line.split_once(name)?.1.split("/*").next()?.trim();
  let text = text.trim_start_matches('(').trim_end_matches(')');
  let Some(("1U" | "1", shift)) = text.split_once("<<").map(|(one, by)| (one.trim(), by.trim()))
  else {
    return match text.strip_prefix("0x") {
      Some(hex) => u32::from_str_radix(hex, 16).ok(),
      None => text.parse().ok(),
    };
  };
  // The bits of IOSQE_* are an enum that counts from 0, before the flags themselves.
  let mut bits: Vec<&str> = Vec::new();
  for word in header.split(|c: char| !c.is_alphanumeric() && c != '_') {
    if word.starts_with("IOSQE_") && word.ends_with("_BIT") && !bits.contains(&word) {
      bits.push(word);
    }
  }
  let place = bits.iter().position(|bit| *bit == shift);
  Some(1 << place.map_or_else(|| shift.parse().ok(), |place| Some(place as u32))?)
}

#[test]
fn flags_have_the_numbers_of_the_kernel_where_its_header_knows_them() {
  let Ok(header) = std::fs::read_to_string("/usr/include/linux/io_uring.h") else {
    eprintln!("NOT COMPARED with linux/io_uring.h, which is not on this machine");
    return;
  };
  let ours = SQE_CONSTANTS.iter().chain(ringcore::cqe::CQE_CONSTANTS);
  let flags = ours.filter(|constant| {
    let kernels = constant.name.starts_with("IORING_") || constant.name.starts_with("IOSQE_");
    kernels && !constant.name.starts_with("IORING_OP_")
  });
  let (mut compared, mut unknown) = (Vec::new(), Vec::new());
  for flag in flags {
    match defined(&header, flag.name) {
      Some(value) => {
        assert_eq!(flag.value, value, "{} in linux/io_uring.h", flag.name);
        compared.push(flag.name);
      }
      None => unknown.push(flag.name),
    }
  }
  if !unknown.is_empty() {
    eprintln!("NOT COMPARED, this linux/io_uring.h is older than {unknown:?}");
  }
  // As old as io_uring's second year: without them the comparison has read nothing.
  for name in ["IOSQE_ASYNC", "IORING_CQE_F_MORE"] {
    assert!(compared.contains(&name), "{name} was not found, only {compared:?}");
  }
}
