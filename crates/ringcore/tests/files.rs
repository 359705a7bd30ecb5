//! Operations on open files: vectors, flags, sizes, syncs, pipes.
//! Pair: __test__/files.spec.ts
mod support;

use ringcore::constants::CONSTANTS;
use ringcore::op;
use ringcore::{Error, Runtime};
use std::fs::File;
use std::future::Future;
use std::io::{pipe, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::pin::Pin;
use std::task::Poll;
use support::{folder, many, runtime, settle, turns, NO_FD};

const MIB: usize = 1 << 20;

/// A file without a name that holds these bytes.
fn file(bytes: &[u8]) -> File {
  let directory = folder();
  let path = directory.0.join("file");
  let mut file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
  file.write_all(bytes).unwrap();
  std::io::Seek::rewind(&mut file).unwrap();
  file
}

/// All bytes of an open file.
fn contents(file: &File) -> Vec<u8> {
  std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

fn at(file: &File, position: u64, len: usize) -> String {
  let mut bytes = vec![0; len];
  file.read_exact_at(&mut bytes, position).unwrap();
  String::from_utf8(bytes).unwrap()
}

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

/// What an operation said, in words.
fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
  result.unwrap_err().to_string()
}

/// Polls it once, lets some turns pass and drops it.
fn abandon<F: Future + Unpin + 'static>(rt: &Runtime, mut future: F, passing: usize) {
  rt.run(async move {
    std::future::poll_fn(|cx| {
      let _ = Pin::new(&mut future).poll(cx);
      Poll::Ready(())
    })
    .await;
    turns(passing).await;
    drop(future);
  });
}

fn bytes(text: &str) -> Vec<u8> {
  text.as_bytes().to_vec()
}

#[test]
fn several_buffers_are_read_and_written_in_their_order() {
  let rt = runtime();
  let file = file(b"");
  let fd = file.as_raw_fd();
  assert_eq!(rt.run(op::writev(fd, vec![bytes("at ")], None)).0, Ok(3));
  let parts = vec![bytes("one "), vec![], bytes("two ")];
  assert_eq!(rt.run(op::writev(fd, parts.clone(), None)), (Ok(8), parts));
  assert_eq!(contents(&file), b"at one two ");
  assert_eq!(rt.run(op::writev(fd, vec![bytes("TW"), bytes("O")], Some(7))).0, Ok(3));
  let (count, parts) = rt.run(op::readv(fd, vec![vec![0; 3], vec![], vec![0; 20]], Some(0)));
  assert_eq!(count, Ok(11));
  assert_eq!(parts[0], b"at ");
  assert_eq!(&parts[2][..10], b"one TWO \0\0");
  let (count, _) = rt.run(op::readv(fd, vec![vec![0; 20]], Some(100)));
  assert_eq!(count, Ok(0), "the end of the file");
  for nothing in [vec![], vec![vec![]], vec![vec![], vec![]]] {
    assert_eq!(rt.run(op::readv(fd, nothing.clone(), Some(0))), (Ok(0), nothing.clone()));
    assert_eq!(rt.run(op::writev(fd, nothing.clone(), Some(0))), (Ok(0), nothing));
  }
  // The kernel takes no more than 1024 buffers at once: the others wait for the next time.
  let (count, _) = rt.run(op::writev(fd, vec![b"x".to_vec(); 1030], Some(0)));
  assert_eq!(count, Ok(1024));
}

#[test]
fn a_vector_of_more_than_a_mebibyte_is_short() {
  let rt = runtime();
  let file = file(b"");
  let fd = file.as_raw_fd();
  let bytes: Vec<u8> = (0..MIB + 999).map(|i| (i * 31 + (i >> 8)) as u8).collect();
  for at in [0, 1, 700_000, MIB, MIB + 5] {
    let (left, right) = bytes.split_at(at);
    let (count, _) = rt.run(op::writev(fd, vec![left.to_vec(), right.to_vec()], Some(0)));
    assert_eq!(count, Ok(MIB), "{at}");
    assert!(contents(&file) == bytes[..MIB]);
    let room = vec![vec![0; at], vec![0; MIB + 999 - at]];
    let (count, back) = rt.run(op::readv(fd, room, Some(0)));
    assert_eq!(count, Ok(MIB));
    let back = back.concat();
    assert!(back[..MIB] == bytes[..MIB]);
    assert!(back[MIB..].iter().all(|byte| *byte == 0));
  }
}

#[test]
fn a_short_read_leaves_the_buffers_behind_it_as_they_were() {
  let rt = runtime();
  let file = file(b"abcde");
  let room = [3, 4, 5].map(|len| vec![b'.'; len]).to_vec();
  let (count, parts) = rt.run(op::readv(file.as_raw_fd(), room, Some(0)));
  assert_eq!(count, Ok(5));
  assert_eq!(parts, [&b"abc"[..], b"de..", b"....."]);
}

#[test]
fn flags_of_a_single_transfer_reach_the_kernel() {
  let rt = runtime();
  let file = file(b"abc");
  let (empty, _writer) = pipe().unwrap();
  let (fd, empty) = (file.as_raw_fd(), empty.as_raw_fd());
  let flags = libc::RWF_APPEND | libc::RWF_DSYNC;
  assert_eq!(rt.run(op::write(fd, bytes("de"), Some(0)).rw_flags(flags)).0, Ok(2));
  let flags = libc::RWF_APPEND | libc::RWF_SYNC;
  let both = vec![bytes("de"), bytes("de")];
  assert_eq!(rt.run(op::writev(fd, both, Some(0)).rw_flags(flags)).0, Ok(4));
  assert_eq!(contents(&file), b"abcdedede");
  // Where it must not wait it does not, however long the read.
  for len in [2, 300_000] {
    let read = op::read(empty, vec![0; len], None).rw_flags(libc::RWF_NOWAIT);
    assert_eq!(code(rt.run(read).0), "EAGAIN", "{len}");
    let readv = op::readv(empty, vec![vec![0; len]], None).rw_flags(libc::RWF_NOWAIT);
    assert_eq!(code(rt.run(readv).0), "EAGAIN", "{len}");
  }
  for (flags, expected) in [(1 << 20, "EOPNOTSUPP"), (libc::RWF_HIPRI, "EINVAL")] {
    assert_eq!(code(rt.run(op::read(fd, vec![0; 2], None).rw_flags(flags)).0), expected);
    assert_eq!(code(rt.run(op::readv(fd, vec![vec![0]], None).rw_flags(flags)).0), expected);
    assert_eq!(code(rt.run(op::write(fd, vec![0; 2], None).rw_flags(flags)).0), expected);
    assert_eq!(code(rt.run(op::writev(fd, vec![vec![0]], None).rw_flags(flags)).0), expected);
  }
  assert_eq!(contents(&file), b"abcdedede");
}

#[test]
fn syncs_succeed_on_a_file_and_fail_on_a_pipe() {
  let rt = runtime();
  let (file, (other, _writer)) = (file(b"abc"), pipe().unwrap());
  assert_eq!(rt.run(op::fsync(file.as_raw_fd())), Ok(()));
  assert_eq!(rt.run(op::fdatasync(file.as_raw_fd())), Ok(()));
  let fd = other.as_raw_fd();
  assert_eq!(text(rt.run(op::fsync(fd))), "EINVAL: invalid argument, fsync");
  assert_eq!(text(rt.run(op::fdatasync(fd))), "EINVAL: invalid argument, fdatasync");
}

#[test]
fn a_file_is_cut_and_extended() {
  let rt = runtime();
  let file = file(b"abcdef");
  let fd = file.as_raw_fd();
  let size = || file.metadata().unwrap().len();
  assert_eq!(rt.run(op::ftruncate(fd, 3)), Ok(()));
  assert_eq!(contents(&file), b"abc");
  rt.run(op::ftruncate(fd, 5)).unwrap();
  assert_eq!(contents(&file), b"abc\0\0");
  rt.run(op::ftruncate(fd, 3 * (1 << 32) + 1)).unwrap();
  assert_eq!(size(), 3 * (1 << 32) + 1);
  rt.run(op::ftruncate(fd, 0)).unwrap();
  assert_eq!(size(), 0);
  assert_eq!(code(rt.run(op::ftruncate(fd, i64::MAX as u64))), "EFBIG");
  let read_only = File::open("/proc/self/exe").unwrap();
  let failed = rt.run(op::ftruncate(read_only.as_raw_fd(), 1));
  assert_eq!(text(failed), "EINVAL: invalid argument, ftruncate");
}

#[test]
fn space_is_reserved_and_given_back() {
  let rt = runtime();
  let file = file(&[b'x'; 16384]);
  let fd = file.as_raw_fd();
  let size = || file.metadata().unwrap().len();
  rt.run(op::fallocate(fd, 0, 16384, 4096)).unwrap();
  assert_eq!(size(), 20480);
  rt.run(op::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, 1 << 32, 8192)).unwrap();
  assert_eq!(size(), 20480);
  let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
  rt.run(op::fallocate(fd, punch, 4096, 4096)).unwrap();
  let bytes = contents(&file);
  assert_eq!(bytes.iter().position(|byte| *byte == 0), Some(4096));
  assert_eq!(bytes[4096..].iter().position(|byte| *byte == b'x'), Some(4096));
  let (other, _writer) = pipe().unwrap();
  assert_eq!(code(rt.run(op::fallocate(fd, 0, 0, 0))), "EINVAL");
  assert_eq!(code(rt.run(op::fallocate(fd, 1 << 30, 0, 1))), "EOPNOTSUPP");
  assert_eq!(code(rt.run(op::fallocate(_writer.as_raw_fd(), 0, 0, 1))), "ESPIPE");
  assert_eq!(code(rt.run(op::fallocate(other.as_raw_fd(), 0, 0, 1))), "EBADF", "only read");
  assert_eq!(size(), 20480);
}

#[test]
fn advice_is_taken_or_refused() {
  let rt = runtime();
  let (file, (other, _writer)) = (file(b"abc"), pipe().unwrap());
  let fd = file.as_raw_fd();
  let all = [
    libc::POSIX_FADV_NORMAL,
    libc::POSIX_FADV_RANDOM,
    libc::POSIX_FADV_SEQUENTIAL,
    libc::POSIX_FADV_WILLNEED,
    libc::POSIX_FADV_DONTNEED,
    libc::POSIX_FADV_NOREUSE,
  ];
  for advice in all {
    for len in [0, 1, u32::MAX as u64, 1 << 32, 1 << 40] {
      assert_eq!(rt.run(op::fadvise(fd, 1 << 33, len, advice)), Ok(()), "{advice} {len}");
    }
  }
  assert_eq!(text(rt.run(op::fadvise(fd, 0, 0, 99))), "EINVAL: invalid argument, fadvise");
  assert_eq!(code(rt.run(op::fadvise(other.as_raw_fd(), 0, 0, 0))), "ESPIPE");
}

#[test]
fn bytes_are_moved_between_a_pipe_and_a_file() {
  let rt = runtime();
  let (source, target) = (file(b"hello world"), file(b"12345678901234567890"));
  let (out, into) = pipe().unwrap();
  let (from, to) = (source.as_raw_fd(), target.as_raw_fd());
  let (out, into) = (out.as_raw_fd(), into.as_raw_fd());
  let splice =
    |a, offset, b, position, len, flags| rt.run(op::splice(a, offset, b, position, len, flags));
  assert_eq!(splice(from, Some(6), into, None, 5, 0), Ok(5));
  assert_eq!(splice(out, None, to, Some(1 << 32), 3, libc::SPLICE_F_MOVE), Ok(3));
  assert_eq!(target.metadata().unwrap().len(), (1 << 32) + 3);
  assert_eq!(splice(out, None, to, None, 100, 0), Ok(2));
  assert_eq!(at(&target, 0, 4), "ld34");
  assert_eq!(at(&target, 1 << 32, 3), "wor");
  assert_eq!(splice(from, None, into, None, 5, 0), Ok(5), "the file position");
  assert_eq!(splice(out, None, to, None, 5, 0), Ok(5));
  assert_eq!(at(&target, 2, 5), "hello");
  assert_eq!(splice(from, Some(11), into, None, 5, 0), Ok(0), "the end");
  assert_eq!(code(splice(out, None, to, Some(0), 1, libc::SPLICE_F_NONBLOCK)), "EAGAIN");
  let failed = splice(from, Some(0), to, Some(0), 1, 0);
  assert_eq!(text(failed), "EINVAL: invalid argument, splice");
  assert_eq!(code(splice(out, Some(0), to, Some(0), 1, 0)), "ESPIPE");
}

#[test]
fn bytes_are_copied_between_pipes_and_stay() {
  let rt = runtime();
  let ((mut from, mut source), (mut target, to)) = (pipe().unwrap(), pipe().unwrap());
  let (a, b) = (from.as_raw_fd(), to.as_raw_fd());
  source.write_all(b"hello").unwrap();
  assert_eq!(rt.run(op::tee(a, b, 4, 0)), Ok(4));
  let mut bytes = [0; 9];
  assert_eq!(target.read(&mut bytes).unwrap(), 4);
  assert_eq!(&bytes[..4], b"hell");
  assert_eq!(rt.run(op::tee(a, b, u32::MAX, 0)), Ok(5));
  assert_eq!(from.read(&mut bytes).unwrap(), 5);
  assert_eq!(target.read(&mut bytes).unwrap(), 5);
  assert_eq!(&bytes[..5], b"hello");
  assert_eq!(code(rt.run(op::tee(a, b, 1, libc::SPLICE_F_NONBLOCK))), "EAGAIN");
  let failed = rt.run(op::tee(file(b"abc").as_raw_fd(), b, 1, 0));
  assert_eq!(text(failed), "EINVAL: invalid argument, tee");
}

#[test]
fn every_operation_on_a_descriptor_that_is_not_open_fails_with_ebadf() {
  let rt = runtime();
  let file = file(b"abc");
  let fd = file.as_raw_fd();
  for (result, syscall) in [
    (rt.run(op::readv(NO_FD, vec![vec![0]], None)).0.map(drop), "read"),
    (rt.run(op::writev(NO_FD, vec![vec![0]], None)).0.map(drop), "write"),
    (rt.run(op::fsync(NO_FD)), "fsync"),
    (rt.run(op::fdatasync(NO_FD)), "fdatasync"),
    (rt.run(op::ftruncate(NO_FD, 0)), "ftruncate"),
    (rt.run(op::fallocate(NO_FD, 0, 0, 1)), "fallocate"),
    (rt.run(op::fadvise(NO_FD, 0, 1, 0)), "fadvise"),
    (rt.run(op::splice(NO_FD, None, fd, Some(0), 1, 0)).map(drop), "splice"),
    (rt.run(op::splice(fd, Some(0), NO_FD, None, 1, 0)).map(drop), "splice"),
    (rt.run(op::tee(NO_FD, fd, 1, 0)).map(drop), "tee"),
    (rt.run(op::tee(fd, NO_FD, 1, 0)).map(drop), "tee"),
  ] {
    assert_eq!(text(result), format!("EBADF: bad file descriptor, {syscall}"));
  }
}

#[test]
fn a_transfer_that_waits_is_abandoned_and_leaves_its_memory() {
  let rt = runtime();
  let ((empty, mut feed), (mut drain, mut full)) = (pipe().unwrap(), pipe().unwrap());
  let (_reader, other) = pipe().unwrap();
  full.write_all(&[0; 65536]).unwrap();
  let (a, b, c) = (empty.as_raw_fd(), full.as_raw_fd(), other.as_raw_fd());
  for round in 0..many(10) {
    let passing = round % 3;
    abandon(&rt, op::readv(a, vec![vec![1; 3000], vec![1; 3000]], None), passing);
    abandon(&rt, op::writev(b, vec![vec![1; 3000], vec![1; 3000]], None), passing);
    abandon(&rt, op::splice(a, None, b, None, 10, 0), passing);
    abandon(&rt, op::tee(a, c, 10, 0), passing);
    // What a late read wrote would be seen in memory that was given out anew.
    let spray: Vec<Vec<u8>> = (0..16).map(|_| vec![0x55; 3000]).collect();
    feed.write_all(&[0xaa; 6000]).unwrap();
    settle(&rt);
    assert!(spray.iter().flatten().all(|byte| *byte == 0x55));
    let (left, _) = rt.run(op::read(a, vec![0; 6000], None).rw_flags(libc::RWF_NOWAIT));
    assert!(left.is_ok() || code(left) == "EAGAIN");
  }
  assert_eq!(drain.read(&mut vec![0; 70_000]).unwrap(), 65536, "nothing was written");
}

#[test]
fn an_operation_on_a_file_that_is_abandoned_ends_or_has_ended() {
  let rt = runtime();
  let file = file(b"abc");
  let fd = file.as_raw_fd();
  for round in 0..many(20) {
    let passing = round % 3;
    abandon(&rt, op::readv(fd, vec![vec![0; 9]], Some(0)), passing);
    abandon(&rt, op::writev(fd, vec![bytes("abc")], Some(0)), passing);
    abandon(&rt, op::fsync(fd), passing);
    abandon(&rt, op::fdatasync(fd), passing);
    abandon(&rt, op::ftruncate(fd, 3), passing);
    abandon(&rt, op::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, 0, 4096), passing);
    abandon(&rt, op::fadvise(fd, 0, 0, 0), passing);
  }
  settle(&rt);
  assert_eq!(contents(&file), b"abc");
  assert_eq!(file.metadata().unwrap().size(), 3);
}

#[test]
fn wrong_arguments_of_file_operations_are_errors_at_the_call() {
  let rt = runtime();
  let before = rt.stats().submitted;
  const FAR: u64 = 1 << 63;
  let (count, parts) = rt.run(op::readv(1, vec![vec![7; 3]], Some(FAR)));
  assert_eq!((code(count), parts), ("ERR_OUT_OF_RANGE", vec![vec![7; 3]]), "they come back");
  let (count, parts) = rt.run(op::writev(1, vec![vec![7; 3]], Some(FAR)));
  assert_eq!((code(count), parts), ("ERR_OUT_OF_RANGE", vec![vec![7; 3]]));
  for result in [
    rt.run(op::ftruncate(1, FAR)),
    rt.run(op::fallocate(1, 0, FAR, 1)),
    rt.run(op::fallocate(1, 0, 0, FAR)),
    rt.run(op::fadvise(1, FAR, 1, 0)),
    rt.run(op::fadvise(1, 0, FAR, 0)),
    rt.run(op::splice(1, Some(FAR), 1, None, 1, 0)).map(drop),
    rt.run(op::splice(1, None, 1, Some(FAR), 1, 0)).map(drop),
  ] {
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
  }
  assert_eq!(rt.stats().submitted, before);
}

#[test]
fn a_chain_writes_several_buffers_and_syncs_and_reads_them_back() {
  let rt = runtime();
  let file = file(b"");
  let fd = file.as_raw_fd();
  let written = op::writev(fd, vec![bytes("some"), bytes("text")], Some(0));
  let read = op::readv(fd, vec![vec![0; 4], vec![0; 4]], Some(0));
  let (written, synced, read) = rt.run(op::link((written, op::fdatasync(fd), read)));
  assert_eq!((written.0, synced), (Ok(8), Ok(())));
  assert_eq!(read, (Ok(8), vec![bytes("some"), bytes("text")]));
  let short = op::readv(fd, vec![vec![0; 4], vec![0; 9]], Some(0));
  let (read, cut) = rt.run(op::link((short, op::ftruncate(fd, 0))));
  assert_eq!((read.0, cut), (Ok(8), Err(Error::Abort)), "a short read ends it");
  assert_eq!(file.metadata().unwrap().len(), 8);
}

// PAIR: only-rust -- the generator writes TypeScript's numbers from these
#[test]
fn constants_have_the_numbers_of_the_kernel_where_its_headers_know_them() {
  let headers = ["fs", "falloc", "fcntl", "openat2", "stat", "fadvise"];
  let paths = headers.map(|name| format!("/usr/include/linux/{name}.h"));
  let texts: Vec<String> = paths.iter().flat_map(std::fs::read_to_string).collect();
  if texts.len() < headers.len() {
    eprintln!("NOT COMPARED with the kernel's headers, which are not on this machine");
    return;
  }
  let (mut compared, mut unknown) = (0, Vec::new());
  for (name, value) in CONSTANTS.iter().flat_map(|group| group.list) {
    match texts.iter().find_map(|text| defined(text, name)) {
      Some(number) => {
        assert_eq!(*value, number, "{name}");
        compared += 1;
      }
      // It lives in the kernel's own, and in the C library's fcntl.h.
      None if name.starts_with("SPLICE_F_") => {}
      None => unknown.push(name),
    }
  }
  if !unknown.is_empty() {
    eprintln!("NOT COMPARED, these headers are older than {unknown:?}");
  }
  assert!(compared > 50, "only {compared} were found");
}

/// The value of `#define NAME 0x10U`, `1`, `-100`, `(1 << 2)` or `((type)0x10)` in a header.
fn defined(header: &str, name: &str) -> Option<i64> {
  // The last one: before it are those of machines that differ.
  let line = header.lines().rev().find(|line| {
    let mut words = line.split_whitespace();
    words.next() == Some("#define") && words.next() == Some(name)
  })?;
  let text = line.split_once(name)?.1.split("/*").next()?.trim();
  let text = text.strip_prefix("((__kernel_rwf_t)").unwrap_or(text);
  let text = text.trim_matches(['(', ')', 'U']);
  if let Some((one, shift)) = text.split_once("<<") {
    return Some(one.trim().parse::<i64>().ok()? << shift.trim().parse::<u32>().ok()?);
  }
  match text.strip_prefix("0x") {
    Some(hex) => i64::from_str_radix(hex, 16).ok(),
    None => text.parse().ok(),
  }
}
