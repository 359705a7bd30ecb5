//! Open files: how they are opened, sizes, syncs, errors.
//! Pair: __test__/fs.spec.ts
mod support;

use ringcore::fs::{File, OpenOptions};
use ringcore::Error;
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::{folder, runtime, text};

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

fn both() -> OpenOptions {
  let mut options = File::options();
  options.read(true).write(true).create(true);
  options
}

#[test]
fn a_file_is_made_written_and_read_back() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let there = path.clone();
  rt.run(async move {
    let file = File::create(&there).await.unwrap();
    assert_eq!(file.write(b"hello ".to_vec()).await, (Ok(6), b"hello ".to_vec()));
    assert_eq!(file.write_all(b"world".to_vec()).await.0, Ok(()));
    file.close().await.unwrap();
    assert_eq!(file.fd(), None);
    let file = File::open(&there).await.unwrap();
    let (count, bytes) = file.read(vec![0; 8]).await;
    assert_eq!((count, &bytes[..]), (Ok(8), &b"hello wo"[..]));
    assert_eq!(file.read_to_string().await.unwrap(), "rld");
    assert_eq!(file.read(vec![7; 8]).await, (Ok(0), vec![7; 8]), "the end");
    assert_eq!(file.read_to_end().await.unwrap(), b"");
    File::create(&there).await.unwrap().close().await.unwrap();
  });
  assert_eq!(std::fs::read(&path).unwrap(), b"", "create has emptied it");
}

#[test]
fn options_say_how_a_file_is_opened() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let there = path.clone();
  rt.run(async move {
    let new = || File::options().write(true).create_new(true).mode(0o640).open(&there);
    let file = new().await.unwrap();
    assert_eq!(file.stat().await.unwrap().mode & 0o7777, 0o640);
    let text = text(new().await);
    assert_eq!(text, format!("EEXIST: file exists, open '{}'", there.display()));
    file.write_all(b"abcdef".to_vec()).await.0.unwrap();
    let file = File::options().append(true).read(true).open(&there).await.unwrap();
    file.write_all(b"gh".to_vec()).await.0.unwrap();
    let file = both().open(&there).await.unwrap();
    file.write_all(b"AB".to_vec()).await.0.unwrap();
    assert_eq!(file.read_to_string().await.unwrap(), "cdefgh");
    let file = File::options().write(true).truncate(true).open(&there).await.unwrap();
    assert_eq!(file.stat().await.unwrap().size, 0);
    assert_eq!(code(file.read(vec![0]).await.0), "EBADF", "only to be written");
    let directory = there.parent().unwrap();
    let only = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(&there).await;
    assert_eq!(code(only), "ENOTDIR");
    assert!(File::options()
      .read(true)
      .custom_flags(libc::O_DIRECTORY)
      .open(directory)
      .await
      .is_ok());
    assert_eq!(code(File::open(directory.join("none")).await), "ENOENT");
    assert_eq!(code(File::create(directory).await), "EISDIR");
    assert_eq!(code(File::open(directory).await.unwrap().read(vec![0]).await.0), "EISDIR");
    // O_CLOEXEC, whatever is asked for.
    let file = File::open(&there).await.unwrap();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.fd().unwrap()));
    assert!(info.unwrap().contains("02100000"), "O_CLOEXEC");
  });
  assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn options_that_contradict_each_other_are_refused_and_open_nothing() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let submitted = rt.stats().submitted;
  let wrong = [
    File::options().clone(),
    File::options().create(true).clone(),
    File::options().read(true).create(true).clone(),
    File::options().read(true).truncate(true).clone(),
    File::options().read(true).create_new(true).clone(),
    File::options().append(true).truncate(true).clone(),
  ];
  for options in wrong {
    let expected = format!("EINVAL: invalid argument, open '{}'", path.display());
    assert_eq!(text(rt.run(options.open(path.clone()))), expected, "{options:?}");
  }
  assert_eq!(rt.stats().submitted, submitted);
  assert!(!path.exists());
}

#[test]
fn sizes_are_set_reserved_and_told() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    file.write_all(b"abcdef".to_vec()).await.0.unwrap();
    file.truncate(3).await.unwrap();
    assert_eq!(file.stat().await.unwrap().size, 3);
    file.allocate(0, 10_000).await.unwrap();
    let stat = file.stat().await.unwrap();
    assert!(stat.size == 10_000 && stat.blocks * 512 >= 10_000);
    assert_eq!(stat.mode as u32 & libc::S_IFMT, libc::S_IFREG);
    assert_eq!(std::fs::read(&path).unwrap()[..4], *b"abc\0");
    assert_eq!(text(file.allocate(0, 0).await), "EINVAL: invalid argument, fallocate");
    let file = File::open(&path).await.unwrap();
    assert_eq!(text(file.truncate(1).await), "EINVAL: invalid argument, ftruncate");
    assert_eq!(code(file.allocate(0, 1).await), "EBADF");
  });
}

#[test]
fn a_file_is_brought_to_the_disk_and_a_pipe_is_not() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let (reader, _writer) = pipe().unwrap();
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    file.write_all(b"abc".to_vec()).await.0.unwrap();
    assert_eq!((file.sync().await, file.datasync().await), (Ok(()), Ok(())));
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    assert_eq!(text(file.sync().await), "EINVAL: invalid argument, fsync");
    assert_eq!(text(file.datasync().await), "EINVAL: invalid argument, fdatasync");
  });
}

#[test]
fn a_sparse_file_has_places_beyond_4_gib() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    let far = (1 << 32) + 12_345;
    file.write_all_at(b"far".to_vec(), far).await.0.unwrap();
    file.append(b"ther".to_vec()).await.0.unwrap();
    assert_eq!(file.stat().await.unwrap().size, far + 7);
    assert_eq!(file.read_exact_at(vec![0; 9], far - 2).await.1, b"\0\0farther");
    assert_eq!(file.read_at(vec![1; 3], 1 << 31).await, (Ok(3), vec![0; 3]));
  });
}

#[test]
fn bytes_that_are_no_utf_8_are_told_of() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"ab\xffcd").unwrap();
  rt.run(async move {
    let error = File::open(&path).await.unwrap().read_to_string().await.unwrap_err();
    assert_eq!(error, Error::NotUtf8 { at: 2 });
    assert_eq!(error.code(), "ERR_ENCODING_INVALID_ENCODED_DATA");
    let mut lines = File::open(&path).await.unwrap().lines(Default::default());
    assert_eq!(lines.next().await, Some(Err(Error::NotUtf8 { at: 2 })));
    assert_eq!(lines.next().await, None);
  });
}

#[test]
fn every_method_of_a_closed_file_fails_with_ebadf() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    file.close().await.unwrap();
    for (result, syscall) in [
      (file.read(vec![0]).await.0.map(drop), "read"),
      (file.read_at(vec![0], 0).await.0.map(drop), "read"),
      (file.read_exact(vec![0]).await.0, "read"),
      (file.read_exact_at(vec![0], 0).await.0, "read"),
      (file.read_to_end().await.map(drop), "read"),
      (file.read_to_string().await.map(drop), "read"),
      (file.readv(vec![vec![0]]).await.0.map(drop), "read"),
      (file.readv_at(vec![vec![0]], 0).await.0.map(drop), "read"),
      (file.chunks(Default::default()).next().await.unwrap().map(drop), "read"),
      (file.lines(Default::default()).next().await.unwrap().map(drop), "read"),
      (file.write(vec![0]).await.0.map(drop), "write"),
      (file.write_at(vec![0], 0).await.0.map(drop), "write"),
      (file.write_all(vec![0]).await.0, "write"),
      (file.write_all_at(vec![0], 0).await.0, "write"),
      (file.writev(vec![vec![0]]).await.0.map(drop), "write"),
      (file.writev_at(vec![vec![0]], 0).await.0.map(drop), "write"),
      (file.append(vec![0]).await.0, "write"),
      (file.append_durable(vec![0]).await.0, "write"),
      (file.sync().await, "fsync"),
      (file.datasync().await, "fdatasync"),
      (file.stat().await.map(drop), "fstat"),
      (file.truncate(0).await, "ftruncate"),
      (file.allocate(0, 1).await, "fallocate"),
    ] {
      assert_eq!(text(result), format!("EBADF: bad file descriptor, {syscall}"));
    }
    assert_eq!(file.close().await, Ok(()));
  });
}

#[test]
fn wrong_arguments_of_a_file_submit_nothing() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let file = rt.run(async move { both().open(&path).await.unwrap() });
  let before = rt.stats().submitted;
  const FAR: u64 = 1 << 63;
  let (result, bytes) = rt.run(file.read_at(vec![7; 3], FAR));
  assert_eq!((code(result), bytes), ("ERR_OUT_OF_RANGE", vec![7; 3]), "it comes back");
  for result in [
    rt.run(file.read_exact_at(vec![0], FAR)).0,
    rt.run(file.readv_at(vec![vec![0]], FAR)).0.map(drop),
    rt.run(file.write_at(vec![0], FAR)).0.map(drop),
    rt.run(file.write_all_at(vec![0], FAR)).0,
    rt.run(file.writev_at(vec![vec![0]], FAR)).0.map(drop),
    rt.run(file.truncate(FAR)),
    rt.run(file.allocate(FAR, 1)),
    rt.run(file.allocate(0, FAR)),
  ] {
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
  }
  assert_eq!(code(rt.run(File::open("a\0b"))), "ERR_OUT_OF_RANGE");
  assert_eq!(rt.stats().submitted, before);
  assert!(Path::new("/proc/self/fd").join(file.fd().unwrap().to_string()).exists());
}
