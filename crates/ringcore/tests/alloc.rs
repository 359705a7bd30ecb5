//! Pair: __test__/alloc.spec.ts
mod support;

use ringcore::alloc::{alloc, registered, FixedBuf};
use ringcore::border::Border;
use ringcore::buffer::{IoBuf, Slab};
use ringcore::cqe::*;
use ringcore::kernel::{Kernel, Options};
use ringcore::ring::Ring;
use ringcore::sqe::*;
use ringcore::{op, Error, Runtime};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use support::{alone, folder, many, runtime, Folder};

const MIB: usize = 1 << 20;

/// A file of so many bytes, and what is in it.
fn file(len: usize) -> (Folder, File, Vec<u8>) {
  let folder = folder();
  let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + (i >> 12)) as u8).collect();
  let path = folder.0.join("data");
  std::fs::write(&path, &bytes).unwrap();
  let file = File::options().read(true).write(true).open(&path).unwrap();
  (folder, file, bytes)
}

fn contents(folder: &Folder) -> Vec<u8> {
  std::fs::read(folder.0.join("data")).unwrap()
}

#[test]
fn memory_is_zeroed_aligned_and_as_long_as_it_was_asked_for() {
  for len in [0, 1, 511, 4096, 4097, 3 * MIB] {
    let mut memory = alloc(len).unwrap();
    assert_eq!(memory.length(), len);
    assert_eq!(memory.to_vec(usize::MAX), vec![0; len]);
    assert_eq!(memory.address() as usize % 4096, 0);
  }
  for align in [512, 4096, 65536, 2 * MIB] {
    // Several at once, so that chance does not align them.
    let slabs: Vec<_> = (0..8).map(|_| Slab::aligned(4096, align).unwrap()).collect();
    for slab in &slabs {
      assert_eq!((slab.base() as usize % align, slab.len()), (0, 4096));
    }
  }
}

#[test]
fn bytes_are_read_into_memory_and_written_from_it_without_a_copy() {
  let (folder, file, bytes) = file(10_000);
  let fd = file.as_raw_fd();
  runtime().run(async move {
    let memory = alloc(5000).unwrap();
    let (count, mut back) = op::read(fd, memory.clone(), Some(1000)).await;
    assert_eq!(count, Ok(5000));
    assert_eq!(back.address(), memory.clone().address(), "the same bytes came back");
    assert_eq!(memory.to_vec(5000), bytes[1000..6000]);
    assert_eq!(op::write(fd, memory, Some(20_000)).await.0, Ok(5000));
    assert_eq!(contents(&folder)[20_000..], bytes[1000..6000]);
  });
}

#[test]
fn lengths_beyond_one_mib_go_in_one_operation() {
  let (folder, file, bytes) = file(5 * MIB + 3);
  let fd = file.as_raw_fd();
  runtime().run(async move {
    let memory = alloc(6 * MIB).unwrap();
    assert_eq!(op::read(fd, memory.clone(), Some(0)).await.0, Ok(bytes.len()));
    assert_eq!(memory.to_vec(bytes.len()), bytes);
    assert_eq!(op::write(fd, memory.clone(), Some(1)).await.0, Ok(6 * MIB));
    assert_eq!(contents(&folder)[1..], memory.to_vec(6 * MIB));
  });
}

#[test]
fn several_operations_at_once_name_the_same_memory() {
  let (_folder, file, bytes) = file(4096);
  let fd = file.as_raw_fd();
  runtime().run(async move {
    let memory = alloc(4096).unwrap();
    let reads = (0..64).map(|_| ringcore::spawn(op::read(fd, memory.clone(), Some(0))));
    for read in reads.collect::<Vec<_>>() {
      assert_eq!(read.await.unwrap().0, Ok(4096));
    }
    assert_eq!(memory.to_vec(4096), bytes);
  });
}

#[test]
fn members_of_a_chain_pass_bytes_on_through_it() {
  let (_folder, file, bytes) = file(3 * MIB);
  let (target, to, _) = self::file(0);
  let (a, b) = (file.as_raw_fd(), to.as_raw_fd());
  runtime().run(async move {
    let memory = alloc(3 * MIB).unwrap();
    let read = op::read(a, memory.clone(), Some(0));
    let (read, written) = op::link((read, op::write(b, memory, Some(0)))).await;
    assert_eq!((read.0, written.0), (Ok(3 * MIB), Ok(3 * MIB)));
  });
  assert_eq!(contents(&target), bytes);
}

#[test]
fn registered_memory_is_read_and_written_by_its_index() {
  let (folder, file, bytes) = file(2 * MIB);
  let fd = file.as_raw_fd();
  runtime().run(async move {
    let buffer = registered(2 * MIB).unwrap();
    let (count, buffer) = op::read_fixed(fd, buffer, Some(0)).await;
    assert_eq!(count, Ok(2 * MIB));
    assert_eq!(buffer.memory().to_vec(2 * MIB), bytes);
    let (count, buffer) = op::write_fixed(fd, buffer, Some(100)).await;
    assert_eq!(count, Ok(2 * MIB));
    assert_eq!(contents(&folder)[100..], bytes);
    let (count, buffer) = op::read_fixed(support::NO_FD, buffer, Some(0)).await;
    assert_eq!(count.unwrap_err().code(), "EBADF");
    let limited = op::read(fd, buffer.clone(), Some(0)).await;
    assert_eq!(limited.0, Ok(2 * MIB), "other operations name it as well");
    // The default has no memory and no index: the kernel refuses it, or reads nothing.
    let (count, _) = op::read_fixed(fd, FixedBuf::default(), Some(0)).await;
    assert!(count.is_err() || count == Ok(0), "{count:?}");
  });
}

#[test]
fn registered_memory_is_let_go_of_with_its_last_handle() {
  let (_folder, file, _) = file(4096);
  let fd = file.as_raw_fd();
  runtime().run(async move {
    // More than the kernel's table has places.
    for _ in 0..many(1200) {
      let buffer = registered(4096).unwrap();
      assert_eq!(op::read_fixed(fd, buffer, Some(0)).await.0, Ok(4096));
    }
    let all: Vec<_> = (0..BUFFER_SLOTS).map(|_| registered(1).unwrap()).collect();
    assert_eq!(registered(1).err().unwrap().code(), "ENOBUFS");
    drop(all);
    assert!(registered(1).is_ok());
  });
}

#[test]
fn memory_of_another_runtime_is_refused() {
  let (_folder, file, _) = file(4096);
  let fd = file.as_raw_fd();
  let (rt, other) = (runtime(), runtime());
  let (mine, foreign) =
    (rt.run(async { registered(4096).unwrap() }), other.run(async { registered(4096).unwrap() }));
  let (memory, kept) = (foreign.clone(), foreign);
  rt.run(async move {
    let (count, foreign) = op::read_fixed(fd, memory, Some(0)).await;
    assert_eq!(count, Err(Error::WrongRuntime));
    let chain = op::link((op::nop(), op::read_fixed(fd, foreign, Some(0)))).await;
    assert_eq!((chain.0, chain.1 .0), (Err(Error::Abort), Err(Error::WrongRuntime)));
    assert_eq!(op::read_fixed(fd, mine, Some(0)).await.0, Ok(4096));
  });
  assert_eq!(other.run(op::read_fixed(fd, kept, Some(0))).0, Ok(4096));
}

#[test]
fn beyond_the_limit_memory_is_refused_at_the_call() {
  let kernel = Kernel::open(&Options::default()).unwrap();
  let mut ring = Ring::new(Box::new(kernel), 4 * MIB).unwrap();
  let (id, _) = ring.allocate(2 << 20, 4096, false).unwrap();
  let too_much = ring.allocate((2 << 20) + 1, 4096, false);
  assert!(matches!(too_much, Err(Error::Memory { .. })));
  let growth = ring.regions.grow(1).unwrap();
  assert!(ring.allocate(2 << 20, 4096, false).is_err());
  assert_eq!(ring.regions.shrink(growth.first), 64 << 10);
  assert!(ring.allocate(2 << 20, 4096, false).is_ok());
  assert!(ring.regions.grow(1).is_err());
  ring.forget(id);
  assert!(ring.regions.grow(1).is_ok());
  for align in [0, 3, 4 << 20] {
    assert!(matches!(ring.allocate(1, align, false), Err(Error::Invalid(_))), "{align}");
  }
}

/// A descriptor of a read, and the turns until its completion.
fn read(border: &mut Border, opcode: u32, ticket: u32, fd: i32, words: [u32; 3]) {
  let mut list = [0; DESCRIPTOR_WORDS as usize];
  list[D_OPCODE as usize] = opcode;
  list[D_FD as usize] = fd as u32;
  (list[D_REGION as usize], list[D_REGION_OFFSET as usize]) = (words[0], words[1]);
  (list[D_LENGTH as usize], list[D_TICKET as usize]) = (words[2], ticket);
  (list[D_OFFSET_LO as usize], list[D_OFFSET_HI as usize]) = (u32::MAX, u32::MAX);
  for (index, word) in list.iter().enumerate() {
    border.set_word(BORDER_DESCRIPTORS / 4 + index as u32, *word);
  }
  border.set(H_DESCRIPTORS, 1);
  border.set(H_MODE, TURN_ENTER);
  border.turn();
}

fn completion(border: &mut Border) -> (u32, i32) {
  let watchdog = std::time::Instant::now() + std::time::Duration::from_secs(20);
  while border.get(H_COMPLETIONS) == 0 {
    assert!(std::time::Instant::now() < watchdog, "no completion came");
    border.set(H_MODE, TURN_ENTER);
    border.turn();
  }
  let at = BORDER_COMPLETIONS / 4;
  let result = (border.word(at + C_TICKET), border.word(at + C_RES) as i32);
  border.set(H_COMPLETIONS, 0);
  result
}

fn border() -> Border {
  let kernel = Kernel::open(&Options::default()).unwrap();
  let eventfd = kernel.eventfd();
  Border::new(Ring::new(Box::new(kernel), usize::MAX).unwrap(), eventfd).unwrap()
}

#[test]
#[allow(unsafe_code)]
fn memory_that_is_forgotten_in_flight_is_freed_after_its_completion() {
  let _alone = alone();
  let mut border = border();
  for round in 0..many(20) as u32 {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (id, slab) = border.allocate(4096, 4096, round % 2 == 1).unwrap();
    let fd = reader.as_raw_fd();
    let kept = (round % 4 < 2).then(|| slab.clone());
    read(&mut border, IORING_OP_READ, 1, fd, [id, 0, 4096]);
    read(&mut border, IORING_OP_READ, 2, fd, [id, 100, 10]);
    drop(slab); // What showed it was collected.
    border.forget(id);
    border.forget(id);
    assert_eq!(border.get(H_ALLOC_KIB), 4, "the kernel has it");
    let (used, _other) = border.allocate(4096, 4096, false).unwrap();
    assert_ne!(used, id, "the id is not free either");
    border.forget(used);
    // Nobody may start anything more on it.
    read(&mut border, IORING_OP_READ, 3, fd, [id, 0, 1]);
    assert_eq!(completion(&mut border), (3, -libc::EINVAL));
    // Unmapped memory would be EFAULT here, or what comes after it in its place.
    let reused: Vec<_> = (0..4).map(|_| Slab::new(4096).unwrap()).collect();
    writer.write_all(b"abc").unwrap();
    let first = completion(&mut border);
    assert_eq!(first.1, 3);
    assert_eq!(border.get(H_ALLOC_KIB), 4, "the other read has it still");
    writer.write_all(b"def").unwrap();
    assert_eq!(completion(&mut border), (3 - first.0, 3));
    assert_eq!((border.get(H_ALLOC_KIB), border.get(H_REGISTERED_KIB)), (0, 0));
    for slab in reused {
      // SAFETY: I2: this test's own slab, which no operation names.
      let bytes = unsafe { std::slice::from_raw_parts(slab.base(), 4096) };
      assert!(bytes.iter().all(|byte| *byte == 0), "the kernel wrote into other memory");
    }
    drop(kept);
  }
}

// PAIR: only-rust -- TypeScript has no way to write such descriptors
#[test]
fn ranges_outside_of_memory_are_einval_whatever_the_descriptor_says() {
  let mut border = border();
  let (plain, _slab) = border.allocate(5000, 512, false).unwrap();
  let (fixed, _fixed) = border.allocate(5000, 512, true).unwrap();
  let region = border.grow(1).unwrap().first;
  let (_folder, file, _) = file(4096);
  let fd = file.as_raw_fd();
  for (id, from, len) in [
    (plain, 0, 5001),
    (plain, 5000, 1),
    (plain, 1, 5000),
    (plain, u32::MAX, 1),
    (plain, 1, u32::MAX),
    (fixed + 1, 0, 0),
    (FIRST_ALLOCATED + 1000, 0, 1),
    (NO_REGION - 1, 0, 1),
  ] {
    for opcode in [IORING_OP_READ, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED] {
      read(&mut border, opcode, 7, fd, [id, from, len]);
      assert_eq!(completion(&mut border), (7, -libc::EINVAL), "{opcode} {id:#x} {from} {len}");
    }
  }
  for id in [plain, region] {
    read(&mut border, IORING_OP_READ_FIXED, 7, fd, [id, 0, 10]);
    assert_eq!(completion(&mut border), (7, -libc::EINVAL), "it is not registered");
  }
  border.forget(plain);
  read(&mut border, IORING_OP_READ, 7, fd, [plain, 0, 10]);
  assert_eq!(completion(&mut border), (7, -libc::EINVAL), "it was forgotten");
  read(&mut border, IORING_OP_READ_FIXED, 7, fd, [fixed, 4096, 904]);
  assert_eq!(completion(&mut border).1, 904);
}

// PAIR: only-rust -- in TypeScript an operation in flight keeps its view, see above
#[test]
fn registered_memory_dropped_in_flight_stays_until_the_completion() {
  let (reader, mut writer) = std::io::pipe().unwrap();
  let rt = Runtime::new(Options::default()).unwrap();
  let fd = reader.as_raw_fd();
  rt.run(async move {
    let read = op::read_fixed(fd, registered(4096).unwrap(), None);
    let _ = ringcore::timeout(read, std::time::Duration::from_millis(5)).await;
    writer.write_all(b"late").unwrap();
  });
  support::settle(&rt);
  drop(reader);
  assert!(rt.run(async { registered(4096).is_ok() }));
}
