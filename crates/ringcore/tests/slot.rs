//! Slots against a model: a key finds its own operation or nothing (I4).

use proptest::prelude::*;
use ringcore::slot::{Held, Key, Lifecycle, Owner, Slots, OWNER_RING};
use std::collections::HashMap;

fn cases() -> u32 {
  match std::env::var("RINGCORE_STRESS") {
    Ok(value) if value == "1" => 2560,
    _ => 256,
  }
}

#[test]
fn a_freed_place_is_used_again_first() {
  let mut slots = Slots::default();
  let keys: Vec<Key> =
    (0..4).map(|i| slots.insert(Owner::Ticket(i), Held::Nothing, false)).collect();
  assert!(slots.remove(keys[1]).is_some());
  assert!(slots.remove(keys[2]).is_some());
  let again = slots.insert(Owner::Ticket(9), Held::Nothing, false);
  assert_eq!(again.slot, keys[2].slot);
  assert_eq!(slots.len(), 3);
}

// PAIR: only-rust -- the generation is kept in Rust, TypeScript has tickets
#[test]
fn a_generation_wraps_to_1_below_the_owner_bit() {
  let mut slots = Slots::default();
  let first = slots.insert(Owner::Future, Held::Nothing, false);
  let top = Key { generation: 0x7fff_ffff, ..first };
  slots.get(first).unwrap().generation = top.generation;
  assert_eq!(Key::of(top.user_data()), Some(top));
  assert!(slots.remove(top).is_some());
  let next = slots.insert(Owner::Future, Held::Nothing, false);
  assert_eq!(next, Key { slot: first.slot, generation: 1 }, "0 would be a ticket that is free");
  assert!(slots.get(top).is_none());
}

/// What a place is told while it is taken, and must still know when it is asked.
#[derive(Clone, Copy, Debug)]
enum Step {
  Insert {
    opens: bool,
    region: Option<u32>,
  },
  /// The n-th of those alive.
  Remove(usize),
  Complete(usize, i32),
  Abandon(usize),
  /// A key of an ended operation, and one with bits that nobody gave out.
  Stale(usize),
  Forged(u64),
}

fn step() -> impl Strategy<Value = Step> {
  prop_oneof![
    6 => (any::<bool>(), prop::option::of(any::<u32>()))
      .prop_map(|(opens, region)| Step::Insert { opens, region }),
    3 => any::<usize>().prop_map(Step::Remove),
    1 => (any::<usize>(), any::<i32>()).prop_map(|(place, res)| Step::Complete(place, res)),
    1 => any::<usize>().prop_map(Step::Abandon),
    1 => any::<usize>().prop_map(Step::Stale),
    1 => any::<u64>().prop_map(Step::Forged),
  ]
}

/// The model of one place.
#[derive(Debug)]
struct Known {
  key: Key,
  ticket: u32,
  opens: bool,
  region: Option<u32>,
  /// Its result, or `None` while it has none and may be abandoned.
  ended: Option<i32>,
  abandoned: bool,
}

impl Known {
  fn matches(&self, slots: &mut Slots) -> bool {
    let Some(slot) = slots.get(self.key) else { return false };
    let lifecycle = match (&slot.lifecycle, self.ended, self.abandoned) {
      (Lifecycle::Completed(res, 0), Some(ended), false) => *res == ended,
      (Lifecycle::Abandoned, _, true) => true,
      (Lifecycle::Submitted, None, false) => true,
      _ => false,
    };
    let region = match (&slot.held, self.region) {
      (Held::Region(id), Some(region)) => *id == region,
      (Held::Nothing, None) => true,
      _ => false,
    };
    lifecycle && region && slot.opens == self.opens && slot.owner == Owner::Ticket(self.ticket)
  }
}

proptest! {
  #![proptest_config(ProptestConfig {
    failure_persistence: None, ..ProptestConfig::with_cases(cases())
  })]

  // PAIR: only-rust -- the generation is kept in Rust, TypeScript has tickets
  #[test]
  fn a_key_finds_its_own_operation_or_nothing(steps in prop::collection::vec(0u32..100, 0..400)) {
    let mut slots = Slots::default();
    let mut model: HashMap<Key, u32> = HashMap::new();
    let mut gone: Vec<Key> = Vec::new();
    for (ticket, step) in steps.into_iter().enumerate() {
      let ticket = ticket as u32;
      if step < 55 || model.is_empty() {
        let key = slots.insert(Owner::Ticket(ticket), Held::Nothing, step % 2 == 0);
        prop_assert!(model.insert(key, ticket).is_none(), "two operations with one key");
        prop_assert!(!gone.contains(&key), "the key of an ended operation came back");
      } else {
        let key = *model.keys().min_by_key(|key| key.slot.wrapping_mul(step)).unwrap();
        model.remove(&key);
        prop_assert!(slots.remove(key).is_some());
        prop_assert!(slots.remove(key).is_none(), "removed twice");
        gone.push(key);
      }
      prop_assert_eq!(slots.len(), model.len());
    }
    for (key, ticket) in &model {
      prop_assert_eq!(slots.get(*key).map(|slot| slot.owner), Some(Owner::Ticket(*ticket)));
      prop_assert_eq!(Key::of(key.user_data()), Some(*key));
    }
    for key in gone {
      prop_assert!(slots.get(key).is_none());
    }
    let mut keys = slots.keys();
    keys.sort_by_key(|key| key.slot);
    let mut expected: Vec<Key> = model.keys().copied().collect();
    expected.sort_by_key(|key| key.slot);
    prop_assert_eq!(keys, expected);
  }
  // PAIR: only-rust -- the generation is kept in Rust, TypeScript has tickets
  #[test]
  fn a_place_keeps_what_it_was_told_whatever_happens_to_others(
    steps in prop::collection::vec(step(), 0..300),
  ) {
    let mut slots = Slots::default();
    let mut alive: Vec<Known> = Vec::new();
    let mut gone: Vec<Key> = Vec::new();
    for (ticket, step) in steps.into_iter().enumerate() {
      let count = alive.len();
      match step {
        Step::Insert { opens, region } => {
          let (ticket, held) = (ticket as u32, region.map_or(Held::Nothing, Held::Region));
          let key = slots.insert(Owner::Ticket(ticket), held, opens);
          prop_assert!(key.generation != 0 && key.user_data() & OWNER_RING == 0);
          let (ended, abandoned) = (None, false);
          alive.push(Known { key, ticket, opens, region, ended, abandoned });
        }
        Step::Remove(place) if count > 0 => {
          let known = alive.swap_remove(place % count);
          let held = slots.remove(known.key);
          let region = match held {
            Some(Held::Region(id)) => Some(id),
            Some(Held::Nothing) => None,
            _ => return Err(TestCaseError::fail("it was not there, or held something else")),
          };
          prop_assert_eq!(region, known.region, "what it held comes back, once");
          prop_assert!(slots.remove(known.key).is_none());
          gone.push(known.key);
        }
        Step::Complete(place, res) if count > 0 && !alive[place % count].abandoned => {
          let known = &mut alive[place % count];
          known.ended = Some(res);
          slots.get(known.key).unwrap().lifecycle = Lifecycle::Completed(res, 0);
        }
        Step::Abandon(place) if count > 0 => {
          let known = &mut alive[place % count];
          known.abandoned = true;
          slots.get(known.key).unwrap().lifecycle = Lifecycle::Abandoned;
        }
        Step::Stale(place) if !gone.is_empty() => {
          let key = gone[place % gone.len()];
          prop_assert!(slots.get(key).is_none() && slots.remove(key).is_none());
        }
        Step::Forged(user_data) => {
          let key = Key::of(user_data);
          prop_assert_eq!(key.is_none(), user_data & OWNER_RING != 0);
          if let Some(key) = key.filter(|key| alive.iter().all(|known| known.key != *key)) {
            prop_assert!(slots.remove(key).is_none());
          }
        }
        _ => {}
      }
      prop_assert_eq!(slots.len(), alive.len());
      for known in &alive {
        prop_assert!(known.matches(&mut slots), "{:?}", known);
      }
    }
  }
}
