//! The driver over the kernel: set-up steps down, parks lose nothing.
// PAIR: only-rust kernel.rs -- set-up and the park order are below the border; TypeScript is only
// told the flags and woken.

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
