//! The border: any descriptor ends as a completion for its ticket, and as nothing else.
//! Pair: __test__/border.spec.ts
mod support;

use proptest::prelude::*;
use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::kernel::{Kernel, Options};
use ringcore::ring::{close_now, Ring};
use ringcore::sqe::*;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use support::{alone, descriptors, many};

/// The parts of a descriptor, by their words.
type Words = [(u32, u32)];
type Descriptor = [u32; 16];

const EINVAL: i32 = -libc::EINVAL;
const BOUND: Duration = Duration::from_secs(5);

fn border_of(entries: u32) -> (Border, i32) {
  let kernel = Kernel::open(&Options { entries, ..Options::default() }).unwrap();
  let eventfd = kernel.eventfd();
  let ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
  (Border::new(ring, eventfd).unwrap(), eventfd)
}

fn border() -> (Border, i32) {
  border_of(256)
}

fn descriptor(opcode: u32, ticket: u32, words: &Words) -> Descriptor {
  let mut list = [0; 16];
  list[D_OPCODE as usize] = opcode;
  list[D_FD as usize] = u32::MAX;
  list[D_REGION as usize] = NO_REGION;
  list[D_TICKET as usize] = ticket;
  words.iter().for_each(|(word, value)| list[*word as usize] = *value);
  list
}

fn nop(ticket: u32, words: &Words) -> Descriptor {
  descriptor(IORING_OP_NOP, ticket, words)
}

/// A timer that outlives every test.
fn timer(ticket: u32) -> Descriptor {
  descriptor(IORING_OP_TIMEOUT, ticket, &[(D_OFFSET_LO, 3600)])
}

fn cancel(ticket: u32, target: u32) -> Descriptor {
  descriptor(IORING_OP_ASYNC_CANCEL, ticket, &[(D_REGION, target)])
}

/// Writes the descriptors and takes one turn; nothing is delivered.
fn turn(border: &mut Border, list: &[Descriptor], mode: u32) {
  for (index, descriptor) in list.iter().enumerate() {
    for (word, value) in descriptor.iter().enumerate() {
      border.set_word(BORDER_DESCRIPTORS / 4 + (index * 16 + word) as u32, *value);
    }
  }
  border.set(H_DESCRIPTORS, list.len() as u32);
  border.set(H_MODE, mode);
  border.turn();
}

/// Every completion in the list as (ticket, res).
fn taken(border: &mut Border) -> Vec<(u32, i32)> {
  let at = |index| BORDER_COMPLETIONS / 4 + index * COMPLETION_WORDS;
  let count = border.get(H_COMPLETIONS);
  assert!(count <= MAX_COMPLETIONS);
  // One with F_MORE is not the last of its operation (send_zc).
  let last = (0..count).filter(|i| border.word(at(*i) + C_FLAGS) & IORING_CQE_F_MORE == 0);
  let list = last.map(|i| (border.word(at(i)), border.word(at(i) + C_RES) as i32)).collect();
  border.set(H_COMPLETIONS, 0);
  list
}

/// Takes turns until so many completions came and nothing is left to do.
fn turns(border: &mut Border, list: &[Descriptor], wanted: usize) -> Vec<(u32, i32)> {
  let watchdog = Instant::now() + Duration::from_secs(20);
  turn(border, list, TURN_ENTER);
  let mut got = taken(border);
  while got.len() < wanted || border.get(H_MORE) == 1 {
    assert!(Instant::now() < watchdog, "{} of {wanted} completions came", got.len());
    turn(border, &[], TURN_ENTER);
    got.extend(taken(border));
    std::thread::yield_now();
  }
  got
}

/// Closes the ring; what came at its end.
fn end(mut border: Border) -> Vec<(u32, i32)> {
  assert!(border.close(BOUND));
  let mut got = taken(&mut border);
  while border.get(H_MORE) == 1 {
    turn(&mut border, &[], 0);
    got.extend(taken(&mut border));
  }
  got
}

/// A pipe whose read waits until somebody writes.
#[allow(unsafe_code)]
fn pipe() -> [i32; 2] {
  let mut fds = [0; 2];
  // SAFETY: I3: two new descriptors, this test's to close.
  assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
  fds
}

/// Puts bytes into the inputs area.
fn write_input(border: &mut Border, from: u32, bytes: &[u8]) {
  for (i, byte) in bytes.iter().enumerate() {
    let at = BORDER_INPUTS + from + i as u32;
    let shift = at % 4 * 8;
    let word = border.word(at / 4) & !(0xff << shift);
    border.set_word(at / 4, word | u32::from(*byte) << shift);
  }
}

proptest! {
  #![proptest_config(ProptestConfig {
    failure_persistence: None, ..ProptestConfig::with_cases(many(200) as u32)
  })]

  #[test]
  fn any_words_give_one_completion_and_the_ring_goes_on(
    mut list in prop::collection::vec(prop::array::uniform16(
      prop_oneof![any::<u32>(), 0u32..64, Just(0u32), Just(u32::MAX)]), 1..20),
  ) {
    let _alone = alone();
    let before = descriptors();
    let (mut border, _) = border();
    border.grow(1).unwrap();
    for (ticket, words) in list.iter_mut().enumerate() {
      // Real descriptors of this process are nobody's game.
      words[D_FD as usize] = 0x3fff_ffff;
      words[D_TICKET as usize] = ticket as u32;
      // Any words at all are almost always refused at once: half of them get a good start.
      if words[15] % 2 == 0 {
        words[D_OPCODE as usize] %= 60;
        words[D_IOPRIO as usize] &= 7;
        words[D_SQE_FLAGS as usize] &= IOSQE_ASYNC | IOSQE_FIXED_FILE | IOSQE_IO_LINK;
      }
    }
    let timers = list.iter().filter(|words| words[D_OPCODE as usize] == IORING_OP_TIMEOUT);
    let mut got = turns(&mut border, &list, list.len() - timers.count());
    let nop = nop(1000, &[]);
    got.extend(turns(&mut border, &[nop], 1));
    prop_assert!(got.contains(&(1000, 0)));
    got.extend(end(border)); // A timer may last for years.
    let mut tickets: Vec<u32> = got.iter().map(|(ticket, _)| *ticket).collect();
    tickets.sort_unstable();
    prop_assert_eq!(tickets, (0..list.len() as u32).chain([1000]).collect::<Vec<_>>());
    prop_assert_eq!(descriptors(), before);
  }
}

#[test]
fn each_invalid_word_alone_is_einval() {
  let _alone = alone();
  let (mut border, _) = border();
  let mut list = vec![];
  // 256 would be a nop in the 8 bits that the kernel's entry has, 1 << 8 no flag at all.
  for opcode in [8, 20, 25, 29, 50, 63, 64, 255, 256, 256 + 14, 256 + 19, u32::MAX] {
    list.push(descriptor(opcode, 0, &[]));
  }
  let known = IOSQE_FIXED_FILE | IOSQE_ASYNC | IOSQE_BUFFER_SELECT | 0b1100;
  // A link flag alone is a chain without its end.
  for bit in (0..32).filter(|bit| 1 << bit & known == 0) {
    list.push(nop(0, &[(D_SQE_FLAGS, 1 << bit)]));
  }
  let nop_flags = IORING_NOP_INJECT_RESULT | IORING_NOP_TW;
  for bit in (0..32).filter(|bit| 1 << bit & nop_flags == 0) {
    list.push(nop(0, &[(D_WORD0, 1 << bit)]));
  }
  for words in [
    [(D_OFFSET_LO, 3600), (D_WORD1, 1_000_000_000)],
    [(D_OFFSET_LO, 3600), (D_WORD1, u32::MAX)],
    [(D_OFFSET_HI, 1 << 31), (D_OFFSET_LO, 0)],
    [(D_OFFSET_HI, u32::MAX), (D_OFFSET_LO, u32::MAX)],
  ] {
    list.push(descriptor(IORING_OP_TIMEOUT, 0, &words));
  }
  for (ticket, words) in list.iter_mut().enumerate() {
    words[D_TICKET as usize] = ticket as u32;
  }
  for ticket in [1 << 24, u32::MAX - 1] {
    list.push(nop(ticket, &[]));
  }
  let expected: Vec<_> = list.iter().map(|words| (words[D_TICKET as usize], EINVAL)).collect();
  assert_eq!(turns(&mut border, &list, list.len()), expected);
  // At the bounds they are good.
  let good = [(D_OFFSET_HI, i32::MAX as u32), (D_OFFSET_LO, u32::MAX), (D_WORD1, 999_999_999)];
  let list = [nop((1 << 24) - 1, &[]), descriptor(IORING_OP_TIMEOUT, 0, &good), timer(1)];
  assert_eq!(turns(&mut border, &list, 1), [((1 << 24) - 1, 0)]);
  // A ticket in use is refused without a change to whom it belongs.
  assert_eq!(turns(&mut border, &[nop(1, &[])], 1), [(1, EINVAL)]);
  assert_eq!(turns(&mut border, &[nop(1, &[])], 1), [(1, EINVAL)]);
  let got: HashMap<u32, i32> = turns(&mut border, &[cancel(2, 1)], 2).into_iter().collect();
  assert_eq!(got, HashMap::from([(1, -libc::ECANCELED), (2, 0)]));
  assert_eq!(turns(&mut border, &[nop(1, &[])], 1), [(1, 0)]);
  assert_eq!(end(border), [(0, -libc::ECANCELED)]);
}

#[test]
fn a_region_that_is_unknown_too_short_or_in_use_is_einval() {
  let _alone = alone();
  let (mut border, _) = border();
  let growth = border.grow(1).unwrap();
  let (id, fds) = (growth.first, pipe());
  let transfer = |opcode: u32, ticket: u32, region: u32, from: u32, len: u32| {
    let fd = fds[(opcode == IORING_OP_WRITE) as usize] as u32;
    let place = [(D_FD, fd), (D_REGION, region), (D_REGION_OFFSET, from), (D_LENGTH, len)];
    let mut words = descriptor(opcode, ticket, &place);
    (words[D_OFFSET_LO as usize], words[D_OFFSET_HI as usize]) = (u32::MAX, u32::MAX);
    words
  };
  for opcode in [IORING_OP_READ, IORING_OP_WRITE] {
    for (region, from, len) in [
      (id + growth.count, 0, 1),
      (NO_REGION, 0, 1),
      (NO_REGION - 1, 0, 0),
      (id, 0, 513),
      (id, 512, 1),
      (id, 1, 512),
      (id, u32::MAX, 1),
      (id, u32::MAX - 510, 511),
      (id, 1, u32::MAX),
      (id, 0, MAX_TRANSFER + 1),
    ] {
      let bad = transfer(opcode, 7, region, from, len);
      assert_eq!(turns(&mut border, &[bad], 1), [(7, EINVAL)], "{region} {from} {len}");
    }
  }
  // The read waits for the pipe; its region is the kernel's until then (I2).
  let list = [transfer(IORING_OP_READ, 1, id, 0, 512), transfer(IORING_OP_WRITE, 2, id, 0, 1)];
  assert_eq!(turns(&mut border, &list, 1), [(2, EINVAL)]);
  let other = transfer(IORING_OP_WRITE, 2, id + 1, 505, 7);
  let mut got = turns(&mut border, &[other], 2);
  got.sort_unstable();
  assert_eq!(got, [(1, 7), (2, 7)]);
  let again = transfer(IORING_OP_WRITE, 3, id, 0, 512);
  assert_eq!(turns(&mut border, &[again], 1), [(3, 512)]);
  assert_eq!(end(border), []);
  fds.into_iter().for_each(close_now);
}

#[test]
fn a_path_outside_of_the_inputs_or_without_its_one_nul_is_einval() {
  let _alone = alone();
  let (mut border, _) = border();
  let before = descriptors();
  write_input(&mut border, 0, b"/dev/null\0\0/dev\0null\0");
  write_input(&mut border, INPUTS_BYTES - 10, b"/dev/null\0");
  let open = |ticket, from, len| {
    let at_cwd = libc::AT_FDCWD as u32;
    let words = [(D_FD, at_cwd), (D_INPUT, from), (D_INPUT_LENGTH, len)];
    descriptor(IORING_OP_OPENAT, ticket, &words)
  };
  for (from, len) in [
    (0, 0),
    (0, 9),
    (0, 11),
    (11, 10),
    (INPUTS_BYTES - 10, 9),
    (INPUTS_BYTES - 10, 11),
    (INPUTS_BYTES, 1),
    (u32::MAX, 2),
    (u32::MAX - 1, 1),
    (9, u32::MAX),
  ] {
    assert_eq!(turns(&mut border, &[open(3, from, len)], 1), [(3, EINVAL)], "{from} {len}");
  }
  assert_eq!(descriptors(), before, "nothing was opened");
  for from in [0, INPUTS_BYTES - 10] {
    let got = turns(&mut border, &[open(3, from, 10)], 1);
    let fd = got[0].1;
    assert!(fd >= 0, "{got:?}");
    let close = descriptor(IORING_OP_CLOSE, 4, &[(D_FD, fd as u32)]);
    assert_eq!(turns(&mut border, &[close], 1), [(4, 0)]);
  }
  assert_eq!(end(border), []);
}

/// Six thousand descriptors, every other one invalid: what each ends with.
fn crowd(border: &mut Border) -> HashMap<u32, i32> {
  let tickets: Vec<u32> = (0..6000).collect();
  for part in tickets.chunks(MAX_DESCRIPTORS as usize) {
    let result = |ticket: u32| [(D_WORD0, IORING_NOP_INJECT_RESULT), (D_LENGTH, ticket)];
    let list = part.iter().map(|ticket| match ticket % 2 {
      0 => nop(*ticket, &result(*ticket)),
      _ => nop(*ticket, &[(D_SQE_FLAGS, 1 << 8)]),
    });
    let list: Vec<_> = list.collect();
    turn(border, &list, 0);
  }
  let ends = tickets.iter().map(|ticket| match ticket % 2 {
    0 => (*ticket, *ticket as i32),
    _ => (*ticket, EINVAL),
  });
  ends.collect()
}

#[test]
fn more_completions_than_the_list_holds_come_with_further_turns() {
  let _alone = alone();
  let (mut border, _) = border();
  let expected = crowd(&mut border);
  for _ in 0..100 {
    turn(&mut border, &[], TURN_ENTER | TURN_PARK);
    assert_eq!(border.get(H_MORE), 1, "it must not sleep on what has no room");
  }
  assert_eq!(border.get(H_COMPLETIONS), MAX_COMPLETIONS, "it is full");
  let mut got = taken(&mut border);
  got.extend(turns(&mut border, &[], 6000 - MAX_COMPLETIONS as usize));
  assert_eq!(got.len(), 6000, "none lost, none twice");
  assert_eq!(got.into_iter().collect::<HashMap<_, _>>(), expected);
  assert_eq!(border.get(H_STALE), 0);
  assert_eq!(end(border), []);
}

#[test]
fn a_close_brings_more_completions_than_the_list_holds() {
  let _alone = alone();
  let (mut border, _) = border();
  let expected = crowd(&mut border);
  let got = end(border);
  assert_eq!(got.len(), 6000, "none lost, none twice");
  let mut cancelled = 0;
  for (ticket, res) in got.iter().copied().collect::<HashMap<_, _>>() {
    // What the kernel never saw ends without it.
    cancelled += (res == -libc::ECANCELED) as usize;
    assert!(res == expected[&ticket] || (ticket % 2 == 0 && res == -libc::ECANCELED), "{ticket}");
  }
  assert!(cancelled >= 2000, "only {cancelled} waited");
}

#[test]
fn the_rings_own_eventfd_cannot_be_closed() {
  let _alone = alone();
  let (mut border, eventfd) = border();
  let before = descriptors();
  let close = |ticket| descriptor(IORING_OP_CLOSE, ticket, &[(D_FD, eventfd as u32)]);
  assert_eq!(turns(&mut border, &[close(1), close(NO_TICKET)], 1), [(1, -libc::EBADF)]);
  assert_eq!(turns(&mut border, &[nop(2, &[])], 1), [(2, 0)]);
  assert_eq!(descriptors(), before);
  assert_eq!(end(border), []);
}

#[test]
fn a_cancel_finds_its_target_in_the_backlog_and_in_flight_and_no_other() {
  let _alone = alone();
  let (mut border, _) = border_of(1);
  // The first fills the submission queue, the second waits behind it.
  let list = [timer(1), timer(2), cancel(3, 2)];
  assert_eq!(turns(&mut border, &list, 2), [(2, -libc::ECANCELED), (3, 0)]);
  assert_eq!(border.get(H_SUBMITTED), 1, "the kernel never saw it");
  for target in [0, 2, 3, 99, 1 << 24, NO_TICKET] {
    let got = turns(&mut border, &[cancel(4, target)], 1);
    assert_eq!(got, [(4, -libc::ENOENT)], "{target} is not there, or has ended");
  }
  assert_eq!(turns(&mut border, &[cancel(4, 4)], 1), [(4, -libc::ENOENT)], "itself");
  let got: HashMap<u32, i32> = turns(&mut border, &[cancel(5, 1)], 2).into_iter().collect();
  assert_eq!(got, HashMap::from([(1, -libc::ECANCELED), (5, 0)]));
  // The runtime's own cancels ask for no answer.
  turns(&mut border, &[timer(6)], 0);
  let list = [cancel(NO_TICKET, 6), cancel(NO_TICKET, 99)];
  assert_eq!(turns(&mut border, &list, 1), [(6, -libc::ECANCELED)]);
  assert_eq!(end(border), []);
}

#[test]
fn a_hundred_deferred_completions_come_in_one_turn() {
  let _alone = alone();
  let (mut border, _) = border();
  let list: Vec<_> = (0..100).map(|ticket| nop(ticket, &[(D_WORD0, IORING_NOP_TW)])).collect();
  turn(&mut border, &list, TURN_ENTER);
  assert_eq!(taken(&mut border).len(), 100, "one enter posts twenty at most");
  assert_eq!(end(border), []);
}

// PAIR: only-rust -- in TypeScript only the end of a thread leaves completions behind
#[test]
fn descriptors_in_completions_that_nobody_took_are_closed() {
  let _alone = alone();
  let before = descriptors();
  // With an empty list they are in it; behind a full one they are what close could not place.
  for full in [false, true] {
    let (mut border, _) = border();
    write_input(&mut border, 0, b"/dev/null\0");
    if full {
      let list: Vec<_> =
        (0..1024).map(|ticket| nop(100 + ticket, &[(D_SQE_FLAGS, 1 << 8)])).collect();
      (0..4).for_each(|_| turn(&mut border, &list, TURN_ENTER));
      while border.get(H_COMPLETIONS) < MAX_COMPLETIONS {
        turn(&mut border, &[], TURN_ENTER);
      }
    }
    let words = [(D_FD, libc::AT_FDCWD as u32), (D_INPUT_LENGTH, 10)];
    let list: Vec<_> = (0..10).map(|ticket| descriptor(IORING_OP_OPENAT, ticket, &words)).collect();
    let open = descriptors();
    turn(&mut border, &list, TURN_ENTER);
    if full {
      assert_eq!(border.get(H_COMPLETIONS), MAX_COMPLETIONS);
    } else {
      assert_eq!(border.get(H_COMPLETIONS), 10);
      assert_eq!(descriptors(), open + 10);
      border.set(H_TAKEN, 3); // Three are their callers' (I3).
    }
    assert!(border.close(BOUND));
    border.abandon_completions();
    border.abandon_completions(); // Once.
    let at = |index| BORDER_COMPLETIONS / 4 + index * COMPLETION_WORDS;
    let mine: Vec<i32> = (0..3).map(|index| border.word(at(index) + C_RES) as i32).collect();
    if !full {
      assert_eq!(descriptors(), before + 3);
      mine.into_iter().for_each(close_now);
    }
    drop(border);
    assert_eq!(descriptors(), before);
  }
}
