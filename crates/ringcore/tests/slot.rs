//! Slots against a model: a key finds its own operation or nothing (I4).

use proptest::prelude::*;
use ringcore::slot::{Held, Key, Owner, Slots};
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
}
