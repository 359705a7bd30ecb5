//! The border: any descriptor ends as a completion for its ticket, and as nothing else.
// PAIR: only-rust border.rs -- descriptors that TypeScript never writes can be written here only

use proptest::prelude::*;
use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::kernel::{Kernel, Options};
use ringcore::ring::Ring;
use ringcore::sqe::*;
use std::time::Duration;

fn border() -> (Border, i32) {
  let kernel = Kernel::open(&Options::default()).unwrap();
  let eventfd = kernel.eventfd();
  let ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
  (Border::new(ring, eventfd).unwrap(), eventfd)
}

/// Writes the descriptors and takes turns; every completion as (ticket, res).
fn turns(border: &mut Border, list: &[[u32; 16]], wanted: usize) -> Vec<(u32, i32)> {
  for (index, descriptor) in list.iter().enumerate() {
    for (word, value) in descriptor.iter().enumerate() {
      border.set_word(BORDER_DESCRIPTORS / 4 + (index * 16 + word) as u32, *value);
    }
  }
  border.set(H_DESCRIPTORS, list.len() as u32);
  border.set(H_MODE, TURN_ENTER);
  let mut got = Vec::new();
  for _ in 0..2000 {
    border.turn();
    got.extend(taken(border));
    if got.len() >= wanted && border.get(H_MORE) == 0 {
      break;
    }
  }
  got
}

fn taken(border: &mut Border) -> Vec<(u32, i32)> {
  let at = |index| BORDER_COMPLETIONS / 4 + index * COMPLETION_WORDS;
  let count = border.get(H_COMPLETIONS);
  let list = (0..count).map(|i| (border.word(at(i)), border.word(at(i) + 1) as i32));
  let list = list.collect();
  border.set(H_COMPLETIONS, 0);
  list
}

fn descriptor(opcode: u32, ticket: u32) -> [u32; 16] {
  let mut words = [0; 16];
  words[D_OPCODE as usize] = opcode;
  words[D_FD as usize] = u32::MAX;
  words[D_REGION as usize] = NO_REGION;
  words[D_TICKET as usize] = ticket;
  words
}

#[test]
fn a_hundred_deferred_completions_come_in_one_turn() {
  let (mut border, _) = border();
  let list: Vec<[u32; 16]> = (0..100)
    .map(|ticket| {
      let mut words = descriptor(IORING_OP_NOP, ticket);
      words[D_WORD0 as usize] = IORING_NOP_TW;
      words
    })
    .collect();
  let first = turns(&mut border, &list, 0);
  assert_eq!(first.len(), 100, "one enter posts twenty at most");
  assert!(border.close(Duration::from_secs(5)));
}

#[test]
fn the_rings_own_eventfd_cannot_be_closed() {
  let (mut border, eventfd) = border();
  let mut words = descriptor(IORING_OP_CLOSE, 1);
  words[D_FD as usize] = eventfd as u32;
  assert_eq!(turns(&mut border, &[words], 1), [(1, -libc::EBADF)]);
  let nop = descriptor(IORING_OP_NOP, 2);
  assert_eq!(turns(&mut border, &[nop], 1), [(2, 0)]);
  assert!(border.close(Duration::from_secs(5)));
}

proptest! {
  #![proptest_config(ProptestConfig {
    failure_persistence: None, ..ProptestConfig::with_cases(200)
  })]

  #[test]
  fn any_words_give_one_completion_and_the_ring_goes_on(
    mut words in prop::array::uniform16(prop_oneof![any::<u32>(), 0u32..64, Just(0u32)]),
    ticket in 0u32..100,
  ) {
    let (mut border, _) = border();
    // Real descriptors of this process are nobody's game; a timer may last for years.
    words[D_FD as usize] = 0x3fff_ffff;
    words[D_TICKET as usize] = ticket;
    let waits = words[D_OPCODE as usize] == IORING_OP_TIMEOUT;
    if !waits {
      let got = turns(&mut border, &[words], 1);
      prop_assert_eq!(got.len(), 1);
      prop_assert_eq!(got[0].0, ticket);
      let nop = descriptor(IORING_OP_NOP, ticket);
      prop_assert_eq!(turns(&mut border, &[nop], 1), vec![(ticket, 0)]);
    }
    prop_assert!(border.close(Duration::from_secs(5)));
  }
}
