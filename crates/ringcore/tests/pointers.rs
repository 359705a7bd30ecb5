// PAIR: only-rust pointers.rs -- what a descriptor becomes is decided in Rust alone
//! Whatever a descriptor says, the kernel gets no address that Rust did not make (I1).
//!
//! A driver stands in for the kernel and looks at each entry as the kernel would: which fields are
//! pointers is written down here a second time, from the kernel's sources.
#![allow(unsafe_code)]

use proptest::prelude::*;
use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::driver::{Driver, Wait};
use ringcore::ring::Ring;
use ringcore::sqe::*;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

/// The operations on files and paths.
const OPCODES: [u32; 19] = [
  IORING_OP_READ,
  IORING_OP_WRITE,
  IORING_OP_READV,
  IORING_OP_WRITEV,
  IORING_OP_FSYNC,
  IORING_OP_FALLOCATE,
  IORING_OP_FADVISE,
  IORING_OP_FTRUNCATE,
  IORING_OP_SPLICE,
  IORING_OP_TEE,
  IORING_OP_OPENAT,
  IORING_OP_OPENAT2,
  IORING_OP_STATX,
  IORING_OP_UNLINKAT,
  IORING_OP_RENAMEAT,
  IORING_OP_MKDIRAT,
  IORING_OP_SYMLINKAT,
  IORING_OP_LINKAT,
  IORING_OP_CLOSE,
];

#[derive(Default)]
struct Seen {
  /// Where regions lie: each one alone, since a pointer must not run into the next.
  regions: Vec<Range<u64>>,
  /// Where inputs lie.
  arena: Range<u64>,
  /// How many entries of each opcode came, and how many of them pointed somewhere.
  entries: HashMap<u32, (usize, usize)>,
  cq: VecDeque<Cqe>,
}

impl Seen {
  fn in_region(&self, from: u64, len: u64) {
    let inside = |region: &Range<u64>| from >= region.start && from + len <= region.end;
    assert!(self.regions.iter().any(inside), "{len} bytes at {from:#x} are in no region");
  }

  fn in_arena(&self, from: u64, len: u64) {
    let end = from.checked_add(len).expect("no pointer");
    assert!(from >= self.arena.start && end <= self.arena.end, "{from:#x} is no input");
  }

  fn path(&self, from: u64) {
    self.in_arena(from, 1);
    // SAFETY: I1: in the arena, whose last byte is never written and therefore 0.
    let path = unsafe { std::ffi::CStr::from_ptr(from as *const libc::c_char) };
    self.in_arena(from, path.to_bytes_with_nul().len() as u64);
  }

  /// Looks at an entry as the kernel would.
  fn look(&mut self, sqe: &Sqe) {
    let selects = sqe.flags as u32 & IOSQE_BUFFER_SELECT != 0;
    let mut pointers = 1;
    match sqe.opcode as u32 {
      // The kernel takes one of the buffers that were given to it, and none for a write.
      IORING_OP_READ | IORING_OP_WRITE if selects && sqe.addr == 0 => pointers = 0,
      IORING_OP_READ | IORING_OP_WRITE if sqe.len == 0 => pointers = 0,
      IORING_OP_READ | IORING_OP_WRITE => self.in_region(sqe.addr, sqe.len as u64),
      IORING_OP_READV | IORING_OP_WRITEV => {
        self.in_arena(sqe.addr, 16 * sqe.len as u64);
        for index in 0..sqe.len as u64 {
          // SAFETY: I1: in the arena by the check above, which aligns everything to 8 bytes.
          let [base, len] = unsafe { ((sqe.addr + 16 * index) as *const [u64; 2]).read() };
          if len > 0 {
            self.in_region(base, len);
          }
        }
      }
      IORING_OP_OPENAT | IORING_OP_UNLINKAT | IORING_OP_MKDIRAT => self.path(sqe.addr),
      IORING_OP_RENAMEAT | IORING_OP_SYMLINKAT | IORING_OP_LINKAT => {
        self.path(sqe.addr);
        self.path(sqe.off);
      }
      IORING_OP_OPENAT2 => {
        self.path(sqe.addr);
        assert_eq!(sqe.len, 24, "the size of struct open_how");
        self.in_arena(sqe.off, 24);
      }
      IORING_OP_STATX => {
        self.path(sqe.addr);
        self.in_region(sqe.off, 256);
      }
      // Linux 6.11 reads a length from `addr` of fadvise, others want it to be 0.
      IORING_OP_FADVISE | IORING_OP_FALLOCATE | IORING_OP_SPLICE => pointers = 0,
      IORING_OP_FSYNC | IORING_OP_FTRUNCATE | IORING_OP_TEE | IORING_OP_CLOSE => {
        assert_eq!(sqe.addr, 0);
        pointers = 0;
      }
      other => panic!("nobody asked for opcode {other}"),
    }
    // Read and write take attributes from addr3, others a second address.
    assert_eq!((sqe.addr3, sqe.resv, sqe.personality), (0, 0, 0));
    assert_eq!(sqe.ioprio, 0, "its bits change what other fields are");
    let (entries, pointed) = self.entries.entry(sqe.opcode as u32).or_default();
    *entries += 1;
    *pointed += pointers;
  }
}

/// In the kernel's place.
struct Looking(Rc<RefCell<Seen>>, Vec<Sqe>);

impl Driver for Looking {
  fn push(&mut self, sqes: &[Sqe]) -> usize {
    self.1.extend(sqes);
    sqes.len()
  }

  fn submit(&mut self, _wait: Wait) -> Result<usize, i32> {
    let mut seen = self.0.borrow_mut();
    for sqe in &self.1 {
      if std::thread::panicking() {
        break; // The ring ends as well: what was found is what counts.
      }
      if seen.arena.is_empty() {
        // The first is an open that the test knows: its path begins the arena of 64 KiB.
        seen.arena = sqe.addr..sqe.addr + (64 << 10);
      }
      seen.look(sqe);
      seen.cq.push_back(Cqe { user_data: sqe.user_data, res: -libc::EIO, flags: 0 });
    }
    Ok(std::mem::take(&mut self.1).len())
  }

  fn reap(&mut self, out: &mut [Cqe]) -> usize {
    let mut seen = self.0.borrow_mut();
    let count = out.len().min(seen.cq.len());
    out[..count].fill_with(|| seen.cq.pop_front().expect("counted"));
    count
  }

  fn park(&mut self) -> bool {
    self.0.borrow().cq.is_empty()
  }

  fn unpark(&mut self) {}

  fn room(&self) -> usize {
    self.capacity() - self.1.len()
  }

  fn capacity(&self) -> usize {
    256
  }

  fn queued(&self) -> usize {
    self.1.len()
  }

  fn pending(&mut self) -> bool {
    !self.0.borrow().cq.is_empty()
  }

  fn overflowed(&self) -> bool {
    false
  }

  fn cancel_all(&mut self) -> bool {
    true
  }
}

/// Inputs at known places: a path, two paths, and a struct open_how before a path.
const PATH: (u32, u32) = (0, 5);
const PATHS: (u32, u32) = (8, 10);
const HOW: (u32, u32) = (24, 29);

fn border() -> (Border, Rc<RefCell<Seen>>) {
  let seen = Rc::new(RefCell::new(Seen::default()));
  let ring = Ring::new(Box::new(Looking(seen.clone(), Vec::new())), usize::MAX).unwrap();
  let mut border = Border::new(ring, -1).unwrap();
  for class in [1, 2] {
    let growth = border.grow(class).unwrap();
    let base = growth.slab.base() as u64;
    let region = |i| base + (i * growth.bytes) as u64..base + ((i + 1) * growth.bytes) as u64;
    seen.borrow_mut().regions.extend((0..growth.count).map(region));
  }
  let mut inputs = [0; 64];
  inputs[..5].copy_from_slice(b"path\0");
  inputs[8..18].copy_from_slice(b"from\0to\0..");
  inputs[24..53].copy_from_slice(&[&[0xff; 24], &b"path\0"[..]].concat());
  for (index, word) in inputs.chunks_exact(4).enumerate() {
    let word = u32::from_ne_bytes(word.try_into().unwrap());
    border.set_word(BORDER_INPUTS / 4 + index as u32, word);
  }
  turn(&mut border, &[descriptor(IORING_OP_OPENAT, 0, 1, PATH)]);
  (border, seen)
}

fn descriptor(opcode: u32, ticket: u32, region: u32, input: (u32, u32)) -> [u32; 16] {
  let mut words = [0; 16];
  words[D_OPCODE as usize] = opcode;
  words[D_TICKET as usize] = ticket;
  words[D_REGION as usize] = region;
  (words[D_INPUT as usize], words[D_INPUT_LENGTH as usize]) = input;
  words
}

fn turn(border: &mut Border, list: &[[u32; 16]]) {
  for (index, words) in list.iter().enumerate() {
    for (word, value) in words.iter().enumerate() {
      border.set_word(BORDER_DESCRIPTORS / 4 + (index * 16 + word) as u32, *value);
    }
  }
  border.set(H_DESCRIPTORS, list.len() as u32);
  border.set(H_MODE, TURN_ENTER);
  border.turn();
  border.set(H_COMPLETIONS, 0);
}

/// Numbers at the edges of what is checked, numbers of the address kind, and any at all.
fn word() -> impl Strategy<Value = u32> {
  prop_oneof![
    3 => prop::sample::select(vec![0, 1, 5, 16, 24, 29, 255, 256, 257, 511, 512, 513, 4096]),
    1 => prop::sample::select(vec![u32::MAX, u32::MAX - 1, 1 << 31, 0x7fff_ffff, 0x4141_4141]),
    1 => any::<u32>(),
  ]
}

/// A descriptor of one of the opcodes; many get inputs and a region that could be right.
fn any_descriptor() -> impl Strategy<Value = [u32; 16]> {
  let start = (0..OPCODES.len(), prop::array::uniform16(word()), 0..4u32, any::<bool>());
  start.prop_map(|(opcode, mut words, help, region)| {
    words[D_OPCODE as usize] = OPCODES[opcode];
    words[D_SQE_FLAGS as usize] &= IOSQE_FIXED_FILE | IOSQE_ASYNC | IOSQE_BUFFER_SELECT;
    let (from, len) = match OPCODES[opcode] {
      IORING_OP_OPENAT2 => HOW,
      IORING_OP_RENAMEAT | IORING_OP_SYMLINKAT | IORING_OP_LINKAT => (PATHS.0, 8),
      _ => PATH,
    };
    if help > 0 {
      (words[D_INPUT as usize], words[D_INPUT_LENGTH as usize]) = (from, len);
      words[D_IOPRIO as usize] &= 0xffff_0007;
    }
    if region {
      words[D_REGION as usize] %= 130;
    }
    words
  })
}

#[test]
fn no_bits_of_a_descriptor_become_an_address() {
  let rounds =
    if std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1") { 10 } else { 1 };
  let config =
    ProptestConfig { cases: 100 * rounds, failure_persistence: None, ..ProptestConfig::default() };
  let total: Rc<RefCell<HashMap<u32, (usize, usize)>>> = Rc::default();
  let sums = total.clone();
  let mut runner = proptest::test_runner::TestRunner::new(config);
  let lists = prop::collection::vec(any_descriptor(), 1..200);
  let outcome = runner.run(&lists, move |mut list| {
    let (mut border, seen) = border();
    for (ticket, words) in list.iter_mut().enumerate() {
      words[D_TICKET as usize] = ticket as u32 + 1;
    }
    for part in list.chunks(50) {
      turn(&mut border, part);
    }
    for (opcode, (entries, pointed)) in &seen.borrow().entries {
      let mut sums = sums.borrow_mut();
      let sum = sums.entry(*opcode).or_default();
      *sum = (sum.0 + entries, sum.1 + pointed);
    }
    Ok(())
  });
  outcome.unwrap();
  let total = total.borrow();
  for opcode in OPCODES {
    let (entries, pointed) = total.get(&opcode).copied().unwrap_or_default();
    assert!(entries > 20, "only {entries} of opcode {opcode} came through: nothing was tried");
    let numbers = matches!(
      opcode,
      IORING_OP_FSYNC
        | IORING_OP_FALLOCATE
        | IORING_OP_FADVISE
        | IORING_OP_FTRUNCATE
        | IORING_OP_SPLICE
        | IORING_OP_TEE
        | IORING_OP_CLOSE
    );
    assert_eq!(pointed == 0, numbers, "{pointed} pointers of opcode {opcode}");
  }
}

#[test]
fn wrong_regions_and_inputs_of_file_and_path_operations_never_reach_the_kernel() {
  let (mut border, seen) = border();
  let entries = || seen.borrow().entries.values().map(|(entries, _)| entries).sum::<usize>();
  let before = entries();
  let none = NO_REGION;
  let mut list = Vec::new();
  for opcode in [IORING_OP_READV, IORING_OP_WRITEV] {
    for (region, from, len) in [(0, 0, 513), (0, 512, 1), (1 << 20, 0, 1), (none, 0, 1)] {
      let mut words = descriptor(opcode, 0, region, (0, 0));
      (words[D_REGION_OFFSET as usize], words[D_LENGTH as usize]) = (from, len);
      list.push(words);
    }
  }
  for (region, from) in [(none, 0), (0, 257), (0, u32::MAX), (1 << 20, 0)] {
    let mut words = descriptor(IORING_OP_STATX, 0, region, PATH);
    words[D_REGION_OFFSET as usize] = from;
    list.push(words);
  }
  // A path without its end, two in place of one, one in place of two, less than a struct.
  for (opcode, input) in [
    (IORING_OP_STATX, (0, 4)),
    (IORING_OP_UNLINKAT, (PATHS.0, 8)),
    (IORING_OP_MKDIRAT, (0, 0)),
    (IORING_OP_RENAMEAT, PATH),
    (IORING_OP_RENAMEAT, (PATHS.0, 9)),
    (IORING_OP_LINKAT, (PATHS.0, 7)),
    (IORING_OP_SYMLINKAT, (INPUTS_BYTES - 4, 8)),
    (IORING_OP_OPENAT2, (24, 24)),
    (IORING_OP_OPENAT2, (24, 23)),
    (IORING_OP_OPENAT2, (24, 28)),
    (IORING_OP_OPENAT2, (u32::MAX, 29)),
  ] {
    list.push(descriptor(opcode, 0, 0, input));
  }
  for (ticket, words) in list.iter_mut().enumerate() {
    words[D_TICKET as usize] = ticket as u32 + 1;
  }
  turn(&mut border, &list);
  assert_eq!(entries(), before, "some came through");
  // At the bounds they are good.
  let mut whole = descriptor(IORING_OP_READV, 1, 0, (0, 0));
  whole[D_LENGTH as usize] = 512;
  let mut last = descriptor(IORING_OP_STATX, 2, 1, PATH);
  last[D_REGION_OFFSET as usize] = 256;
  let paths = descriptor(IORING_OP_RENAMEAT, 3, 0, (PATHS.0, 8));
  let how = descriptor(IORING_OP_OPENAT2, 4, 0, HOW);
  turn(&mut border, &[whole, last, paths, how]);
  assert_eq!(entries(), before + 4);
}
