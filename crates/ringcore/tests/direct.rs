//! Pair: __test__/direct.spec.ts
mod support;

use ringcore::sqe::DIRECT_SLOTS;
use ringcore::{op, Direct, Error, Runtime};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;
use support::{alone, descriptors, folder, many, runtime, settle, small, turns, Folder};

/// Two files with different bytes, and one that is not there.
fn files() -> (Folder, [PathBuf; 3]) {
  let folder = folder();
  let paths = ["a", "b", "missing"].map(|name| folder.0.join(name));
  std::fs::write(&paths[0], [b'a'; 100]).unwrap();
  std::fs::write(&paths[1], [b'b'; 100]).unwrap();
  (folder, paths)
}

fn direct(rt: &Runtime) -> Direct {
  rt.run(async { op::direct().unwrap() })
}

/// Slots that are not free, when everything that was asked for has happened.
fn used(rt: &Runtime) -> usize {
  settle(rt);
  rt.run(turns(3));
  settle(rt);
  rt.directs()
}

fn open(path: &PathBuf, direct: &Direct) -> op::Op<op::Fields<()>> {
  op::openat_direct(libc::AT_FDCWD, path, libc::O_RDWR | libc::O_CLOEXEC, 0, direct)
}

fn fifo() -> (Folder, PathBuf) {
  let folder = folder();
  let path = folder.0.join("pipe");
  let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
  assert!(made.success());
  (folder, path)
}

/// Opens the other end of a pipe; an error (ENXIO) when nobody reads it.
fn writer(path: &PathBuf) -> std::io::Result<File> {
  File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

#[test]
fn a_file_is_opened_read_written_and_closed_without_a_descriptor() {
  let _alone = alone();
  let (_folder, [a, ..]) = files();
  let rt = runtime();
  let before = descriptors();
  let path = a.clone();
  rt.run(async move {
    let direct = op::direct().unwrap();
    open(&path, &direct).await.unwrap();
    assert_eq!(descriptors(), before);
    assert_eq!(op::write(&direct, b"hello".to_vec(), Some(50)).await.0, Ok(5));
    let (count, bytes) = op::read(&direct, vec![0; 10], Some(48)).await;
    assert_eq!((count, &bytes[..]), (Ok(10), &b"aahelloaaa"[..]));
    op::close(&direct).await.unwrap();
  });
  assert_eq!(&std::fs::read(a).unwrap()[48..54], b"aahell");
  assert_eq!(used(&rt), 0);
}

#[test]
fn a_chain_opens_reads_and_closes_and_the_slots_stay_flat() {
  let _alone = alone();
  let (_folder, [a, ..]) = files();
  let rt = runtime();
  let before = descriptors();
  let rounds = many(1000);
  rt.run(async move {
    for _ in 0..rounds {
      let direct = op::direct().unwrap();
      let read = op::read(&direct, vec![0; 100], Some(0));
      let chain = op::link((open(&a, &direct), read, op::close(&direct)));
      let (opened, (count, bytes), closed) = chain.await;
      assert_eq!((opened, count, closed), (Ok(()), Ok(100), Ok(())));
      assert_eq!(bytes, [b'a'; 100]);
    }
  });
  assert_eq!((used(&rt), descriptors()), (0, before));
}

#[test]
fn an_open_that_fails_leaves_the_slot_usable_and_a_close_that_was_cut_frees_it() {
  let _alone = alone();
  let (_folder, [a, _, missing]) = files();
  let rt = runtime();
  let held = direct(&rt);
  let (first, gone) = (a.clone(), missing.clone());
  let held = rt.run(async move {
    assert_eq!(code(open(&gone, &held).await), "ENOENT");
    assert_eq!(code(op::read(&held, vec![0; 1], Some(0)).await.0), "EBADF");
    open(&first, &held).await.unwrap();
    assert_eq!(op::read(&held, vec![0; 9], Some(0)).await.0, Ok(9));
    held
  });
  assert_eq!(used(&rt), 1);
  drop(held);
  assert_eq!(used(&rt), 0);
  // More often than there are slots: the open fails, or the read is short, and the close is cut.
  for round in 0..DIRECT_SLOTS * 2 + 5 {
    let path = if round % 2 == 0 { missing.clone() } else { a.clone() };
    let direct = direct(&rt);
    let kept = rt.run(async move {
      let read = op::read(&direct, vec![0; 200], Some(0));
      let chain = op::link((open(&path, &direct), read, op::close(&direct)));
      assert_eq!(chain.await.2, Err(Error::Abort));
      direct
    });
    // The handle is dropped later than its close has ended: that is not a second close.
    if round % 3 == 0 {
      rt.run(turns(2));
    }
    drop(kept);
  }
  assert_eq!(used(&rt), 0);
}

#[test]
fn after_its_close_a_direct_descriptor_is_no_longer_usable() {
  let _alone = alone();
  let (_folder, [a, b, _]) = files();
  let rt = runtime();
  rt.run(async move {
    let old = op::direct().unwrap();
    open(&a, &old).await.unwrap();
    let late = op::read(&old, vec![0; 10], Some(0));
    op::close(&old).await.unwrap();
    let new = op::direct().unwrap();
    open(&b, &new).await.unwrap();
    assert_eq!(code(late.await.0), "EBADF", "it would have read the slot's next file");
    assert_eq!(code(op::close(&old).await), "EBADF");
    drop(old);
    turns(3).await;
    let (count, bytes) = op::read(&new, vec![0; 10], Some(0)).await;
    assert_eq!((count, &bytes[..]), (Ok(10), &[b'b'; 10][..]));
    // A handle that is dropped takes its operations' slot with it, not the next one's.
    let lazy = op::read(&new, vec![0; 10], Some(0));
    drop(new);
    assert_eq!(code(lazy.await.0), "EBADF");
  });
  assert_eq!(used(&rt), 0);
}

#[test]
fn a_late_close_never_hits_the_next_file_of_the_slot() {
  let _alone = alone();
  let (_folder, [a, b, _]) = files();
  for entries in [2, 8, 256] {
    let rt = small(entries, entries * 2);
    let rounds = many(100);
    let (a, b) = (a.clone(), b.clone());
    rt.run(async move {
      let mut handles = Vec::new();
      for round in 0..rounds {
        let (path, byte) = if round % 2 == 0 { (a.clone(), b'a') } else { (b.clone(), b'b') };
        handles.push(ringcore::spawn(async move {
          let direct = op::direct().unwrap();
          open(&path, &direct).await.unwrap();
          let reads = (0..3).map(|_| op::read(&direct, vec![0; 100], Some(0)));
          for read in reads.collect::<Vec<_>>() {
            assert_eq!(read.await, (Ok(100), vec![byte; 100]));
          }
          // Closed by hand, dropped, or abandoned on its way.
          match round % 3 {
            0 => op::close(&direct).await.unwrap(),
            1 => drop(direct),
            _ => drop(ringcore::timeout(op::close(&direct), Duration::ZERO).await),
          }
        }));
      }
      for handle in handles {
        handle.await.unwrap();
      }
    });
    assert_eq!(used(&rt), 0, "{entries} entries");
  }
}

#[test]
fn a_slot_is_free_only_when_its_last_operation_has_ended() {
  let _alone = alone();
  let (_folder, [a, b, _]) = files();
  let rt = runtime();
  let (_pipe, path) = fifo();
  rt.run(async move {
    let old = op::direct().unwrap();
    open(&a, &old).await.unwrap();
    // A chain whose read starts late, by the slot.
    let (gate, mut opener) = std::io::pipe().unwrap();
    let waits = op::poll_add(gate.as_raw_fd(), libc::POLLIN as u32);
    let chain = op::hardlink((waits, op::read(&old, vec![0; 10], Some(0))));
    let chain = ringcore::spawn(chain);
    turns(3).await;
    op::close(&old).await.unwrap();
    let new = op::direct().unwrap();
    open(&b, &new).await.unwrap();
    opener.write_all(b"x").unwrap();
    let (_, (count, bytes)) = chain.await.unwrap();
    assert_eq!((code(count), &bytes[..]), ("EBADF", &[0; 10][..]));
    assert_eq!(op::read(&new, vec![0; 10], Some(0)).await.1, [b'b'; 10]);
    // A pipe that is closed while a read waits for it: the kernel keeps the file for the read.
    let waiting = op::direct().unwrap();
    open(&path, &waiting).await.unwrap();
    let mut writer = writer(&path).unwrap();
    let read = ringcore::spawn(op::read(&waiting, vec![0; 3], None));
    turns(3).await;
    op::close(&waiting).await.unwrap();
    writer.write_all(b"abc").unwrap();
    assert_eq!(read.await.unwrap(), (Ok(3), b"abc".to_vec()));
  });
  assert_eq!(used(&rt), 0);
}

#[test]
fn what_comes_into_a_slot_after_its_close_is_closed_too() {
  let _alone = alone();
  let rt = runtime();
  let (_folder, path) = fifo();
  // The read is short and cuts the close.
  let name = path.clone();
  rt.run(async move {
    let direct = op::direct().unwrap();
    let flags = libc::O_RDONLY | libc::O_NONBLOCK;
    let opening = op::openat_direct(libc::AT_FDCWD, &name, flags, 0, &direct);
    let read = op::read(&direct, vec![0; 10], None);
    let (opened, (count, _), closed) = op::link((opening, read, op::close(&direct))).await;
    assert_eq!((opened, count, closed), (Ok(()), Ok(0), Err(Error::Abort)));
  });
  assert_eq!(used(&rt), 0);
  assert_eq!(writer(&path).unwrap_err().raw_os_error(), Some(libc::ENXIO), "nobody reads it");
  // An open that waits for a writer, and a close that is faster.
  let direct = direct(&rt);
  // O_CREAT: the kernel opens it in io-wq, where it may wait.
  let flags = libc::O_RDONLY | libc::O_CREAT;
  let opening = rt.spawn(op::openat_direct(libc::AT_FDCWD, &path, flags, 0, &direct));
  rt.run(turns(5));
  assert_eq!(code(rt.run(op::close(&direct))), "EBADF", "there is nothing to close yet");
  drop(direct);
  rt.run(turns(5));
  assert_eq!(rt.directs(), 1, "the open will fill the slot");
  let mut writer = File::options().write(true).open(&path).unwrap();
  rt.run(opening).unwrap().unwrap();
  assert_eq!(used(&rt), 0);
  assert_eq!(writer.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE), "nobody reads it");
}

#[test]
fn a_direct_descriptor_that_was_forgotten_is_closed() {
  let _alone = alone();
  let (_folder, [a, ..]) = files();
  let rt = runtime();
  for _ in 0..3 {
    let all: Vec<Direct> = (0..DIRECT_SLOTS).map(|_| direct(&rt)).collect();
    let full = rt.run(async { op::direct() });
    assert_eq!(code(full), "EMFILE");
    let opening = open(&a, &all[0]);
    rt.run(opening).unwrap();
    assert_eq!(rt.directs(), DIRECT_SLOTS as usize);
    drop(all);
    assert_eq!(used(&rt), 0);
  }
  let (_folder, path) = fifo();
  let reader = direct(&rt);
  rt.run(open(&path, &reader)).unwrap();
  assert!(writer(&path).is_ok());
  drop(reader);
  assert_eq!(used(&rt), 0);
  assert_eq!(writer(&path).unwrap_err().raw_os_error(), Some(libc::ENXIO), "nobody reads it");
}

#[test]
fn a_direct_descriptor_of_another_runtime_is_refused() {
  let _alone = alone();
  let (_folder, [a, ..]) = files();
  let (rt, other) = (runtime(), runtime());
  let foreign = direct(&other);
  let mine = direct(&rt);
  rt.run(open(&a, &mine)).unwrap();
  assert_eq!(rt.run(open(&a, &foreign)), Err(Error::WrongRuntime));
  assert_eq!(rt.run(op::read(&foreign, vec![0; 1], None)).0, Err(Error::WrongRuntime));
  assert_eq!(rt.run(op::close(&foreign)), Err(Error::WrongRuntime));
  let (nothing, refused) = rt.run(op::link((op::nop(), op::close(&foreign))));
  assert_eq!((nothing, refused), (Err(Error::Abort), Err(Error::WrongRuntime)));
  other.run(open(&a, &foreign)).unwrap();
  drop(rt);
  drop(mine);
}
