//! Regions: no two overlap, and none is the kernel's twice (I1, I2).
// PAIR: only-rust region.rs -- addresses and ranges are checked in Rust, whatever TypeScript writes

use proptest::prelude::*;
use ringcore::buffer::{class_bytes, Regions, CLASSES};
use ringcore::error::Error;
use std::collections::HashSet;

#[test]
fn a_region_outside_its_range_or_unknown_is_refused() {
  let mut regions = Regions::new(usize::MAX);
  let id = regions.grow(1).unwrap().first;
  for (id, offset, len) in [
    (id, 0, 513),
    (id, 512, 1),
    (id, 1, 512),
    (id, u32::MAX, 1),
    (id, 1, u32::MAX),
    (id + 100_000, 0, 0),
    (u32::MAX, 0, 0),
  ] {
    assert!(regions.hold(id, offset, len).is_none(), "{id} {offset} {len}");
  }
  assert!(regions.hold(id, 512, 0).is_some());
  regions.release(u32::MAX); // Nobody's: no effect.
}

#[test]
fn growing_beyond_the_limit_is_an_error_at_the_call() {
  let mut regions = Regions::new(1 << 20);
  assert!(regions.grow(2).is_ok());
  assert!(matches!(regions.grow(1), Err(Error::Memory { .. })));
  assert!(matches!(regions.grow(CLASSES), Err(Error::Invalid(_))));
  assert_eq!(regions.bytes(), 1 << 20);
}

#[test]
fn a_free_slab_is_given_back_and_its_ids_are_used_again() {
  let mut regions = Regions::new(3 << 20);
  let (small, large) = (regions.grow(1).unwrap(), regions.grow(6).unwrap());
  let other = regions.grow(1).unwrap();
  let id = small.first + 3;
  regions.hold(id, 0, 10).unwrap();
  assert_eq!(regions.shrink(small.first), 0, "the kernel holds one of its regions");
  assert_eq!(regions.shrink(id), 0, "it is not the first of a slab");
  assert_eq!(regions.shrink(u32::MAX), 0);
  regions.release(id);
  let before = regions.bytes();
  assert_eq!(regions.shrink(small.first), 64 << 10);
  assert_eq!(regions.shrink(small.first), 0, "it is gone already");
  assert_eq!(regions.bytes(), before - (64 << 10));
  assert!(regions.hold(id, 0, 0).is_none(), "nobody may use it");
  assert!(regions.hold(other.first, 0, 512).is_some(), "its neighbours are untouched");
  assert!(regions.hold(large.first, 0, 1).is_some());
  let again = regions.grow(1).unwrap();
  assert_eq!((again.first, again.count), (small.first, small.count));
  let address = regions.hold(id, 0, 512).unwrap() as usize;
  let base = again.slab.base() as usize;
  assert!(address >= base && address < base + again.slab.len(), "in the new slab");
  assert_eq!(regions.grow(1).unwrap().first, large.first + large.count + other.count);
}

proptest! {
  #![proptest_config(ProptestConfig {
    failure_persistence: None, ..ProptestConfig::with_cases(64)
  })]

  #[test]
  fn regions_do_not_overlap_and_are_held_once(
    classes in prop::collection::vec(0usize..CLASSES, 1..6),
    steps in prop::collection::vec((any::<u32>(), any::<bool>()), 0..200),
  ) {
    let mut regions = Regions::new(usize::MAX);
    let (mut ranges, mut ids) = (Vec::new(), Vec::new());
    for class in classes {
      let growth = regions.grow(class).unwrap();
      prop_assert_eq!(growth.bytes as usize, class_bytes(class));
      for id in growth.first..growth.first + growth.count {
        let base = regions.hold(id, 0, growth.bytes).expect("fresh and whole") as usize;
        let slab = growth.slab.base() as usize;
        prop_assert!(base >= slab && base + growth.bytes as usize <= slab + growth.slab.len());
        // O_DIRECT: a block has 512 bytes at least, and a page is enough for all.
        prop_assert!(base.is_multiple_of(class_bytes(class).min(4096)));
        ranges.push((base, base + growth.bytes as usize));
        regions.release(id);
        ids.push(id);
      }
    }
    ranges.sort_unstable();
    prop_assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two overlap");
    let mut held = HashSet::new();
    for (pick, hold) in steps {
      let id = ids[pick as usize % ids.len()];
      if hold {
        prop_assert_eq!(regions.hold(id, 0, 1).is_some(), held.insert(id));
      } else {
        regions.release(id);
        held.remove(&id);
      }
    }
  }
}
