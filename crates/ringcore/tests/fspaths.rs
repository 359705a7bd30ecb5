//! Functions that take paths.
//! Pair: __test__/fspaths.spec.ts
mod support;

use ringcore::{fs, Error};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::PathBuf;
use support::{folder, runtime, text};

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

fn mode(path: &PathBuf) -> u32 {
  std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn permit(path: &PathBuf, mode: u32) {
  std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The names in a directory, in order.
fn names(path: PathBuf) -> Vec<String> {
  let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
  let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
  names.sort();
  names
}

#[test]
fn a_file_is_written_and_read_whole() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let bytes = b"ringcore ".repeat(333_333);
    assert!(fs::write(&path, bytes.clone()).await == (Ok(()), bytes.clone()));
    assert!(fs::read(&path).await.unwrap() == bytes);
    fs::write(&path, b"short".to_vec()).await.0.unwrap();
    assert_eq!(fs::read_to_string(&path).await.unwrap(), "short", "nothing of what was there");
    fs::write(&path, Vec::new()).await.0.unwrap();
    assert_eq!(fs::read(&path).await, Ok(Vec::new()));
    let status = fs::read_to_string("/proc/self/status").await.unwrap();
    assert!(status.starts_with("Name:") && status.contains("ctxt_switches:"));
    let none = path.join("none");
    let expected = format!("ENOTDIR: not a directory, open '{}'", none.display());
    assert_eq!(text(fs::read(&none).await), expected);
    assert_eq!(code(fs::write(&none, vec![1]).await.0), "ENOTDIR");
    assert_eq!(code(fs::read_to_string("/none").await), "ENOENT");
    assert_eq!(code(fs::write("/dev/full", vec![1]).await.0), "ENOSPC");
    fs::write(&path, vec![0xff]).await.0.unwrap();
    assert_eq!(fs::read_to_string(&path).await, Err(Error::NotUtf8 { at: 0 }));
    assert_eq!(code(fs::read("a\0b").await), "ERR_OUT_OF_RANGE");
  });
}

#[test]
fn a_copy_has_the_content_and_the_permissions() {
  let (rt, directory) = (runtime(), folder());
  let (from, to) = (directory.0.join("from"), directory.0.join("to"));
  rt.run(async move {
    let bytes = b"ringcore ".repeat(77_777);
    let len = bytes.len() as u64;
    std::fs::write(&from, &bytes).unwrap();
    permit(&from, 0o751);
    assert_eq!(fs::copy(&from, &to).await, Ok(len));
    assert!(std::fs::read(&to).unwrap() == bytes);
    assert_eq!(mode(&to), 0o751);
    std::fs::write(&to, vec![1; 800_000]).unwrap();
    permit(&to, 0o600);
    assert_eq!(fs::copy(&from, &to).await, Ok(len), "over one that is longer");
    assert!(std::fs::read(&to).unwrap() == bytes);
    assert_eq!(mode(&to), 0o751);
    assert!(fs::copy("/proc/self/maps", &to).await.unwrap() > 1000, "what has no size");
  });
}

#[test]
fn a_file_is_not_copied_onto_itself() {
  let (rt, directory) = (runtime(), folder());
  let path = |name: &str| directory.0.join(name);
  let (from, link, soft) = (path("from"), path("link"), path("soft"));
  let (none, folder) = (path("none"), directory.0.clone());
  std::fs::write(&from, b"abc").unwrap();
  std::fs::hard_link(&from, &link).unwrap();
  symlink("from", &soft).unwrap();
  rt.run(async move {
    for to in [&from, &link, &soft] {
      let (a, b) = (from.display(), to.display());
      let expected = format!("EINVAL: invalid argument, copyfile '{a}' -> '{b}'");
      assert_eq!(text(fs::copy(&from, to).await), expected);
    }
    assert_eq!(std::fs::read(&from).unwrap(), b"abc", "it is whole");
    assert_eq!(code(fs::copy(&none, &link).await), "ENOENT");
    assert_eq!(code(fs::copy(&from, &folder).await), "EISDIR");
    assert_eq!(code(fs::copy(&folder, &none).await), "EISDIR");
  });
}

#[test]
fn names_are_made_changed_looked_at_and_removed() {
  let (rt, directory) = (runtime(), folder());
  let root = directory.0.clone();
  rt.run(async move {
    let path = |name: &str| root.join(name);
    fs::create_dir(path("a")).await.unwrap();
    let there = format!("EEXIST: file exists, mkdir '{}'", path("a").display());
    assert_eq!(text(fs::create_dir(path("a")).await), there);
    fs::write(path("a/file"), b"abc".to_vec()).await.0.unwrap();
    fs::symlink("file", path("a/soft")).await.unwrap();
    fs::hard_link(path("a/file"), path("a/hard")).await.unwrap();
    assert_eq!(std::fs::read_link(path("a/soft")).unwrap(), PathBuf::from("file"));
    assert_eq!(fs::metadata(path("a/soft")).await.unwrap().size, 3);
    assert_eq!(fs::metadata(path("a/file")).await.unwrap().nlink, 2);
    let link = fs::symlink_metadata(path("a/soft")).await.unwrap();
    assert_eq!(link.mode as u32 & libc::S_IFMT, libc::S_IFLNK);
    fs::rename(path("a/file"), path("b")).await.unwrap();
    let mut found = Vec::new();
    for name in ["a", "a/hard", "b", "a/file", "a/soft", "b/c"] {
      found.push(fs::exists(path(name)).await.unwrap());
    }
    assert_eq!(found, [true, true, true, false, false, false]);
    assert_eq!(code(fs::remove_dir(path("a")).await), "ENOTEMPTY");
    assert_eq!(code(fs::remove_file(path("a")).await), "EISDIR");
    assert_eq!(code(fs::remove_dir(path("b")).await), "ENOTDIR");
    fs::remove_file(path("a/soft")).await.unwrap();
    fs::remove_file(path("a/hard")).await.unwrap();
    fs::remove_dir(path("a")).await.unwrap();
    assert_eq!(names(root.clone()), ["b"]);
    let (a, c) = (path("a"), path("c"));
    let (from, to) = (a.display(), c.display());
    let gone = format!("ENOENT: no such file or directory, rename '{from}' -> '{to}'");
    assert_eq!(text(fs::rename(&a, &c).await), gone);
    assert_eq!(code(fs::symlink("x", path("b")).await), "EEXIST");
    assert_eq!(code(fs::hard_link(path("none"), path("c")).await), "ENOENT");
    assert_eq!(code(fs::metadata(path("none")).await), "ENOENT");
    fs::symlink("loop", path("loop")).await.unwrap();
    assert_eq!(code(fs::exists(path("loop")).await), "ELOOP");
  });
}

#[test]
fn a_directory_is_made_with_its_parents() {
  let (rt, directory) = (runtime(), folder());
  let root = directory.0.clone();
  rt.run(async move {
    let path = |name: &str| root.join(name);
    fs::create_dir_all(path("a/b/c/d")).await.unwrap();
    fs::create_dir_all(path("a/b/c/d")).await.unwrap();
    fs::create_dir_all(path("a/b/e")).await.unwrap();
    fs::create_dir_all(path("a/f/")).await.unwrap();
    assert_eq!(names(path("a")), ["b", "f"]);
    std::fs::write(path("file"), b"").unwrap();
    assert_eq!(code(fs::create_dir_all(path("file")).await), "EEXIST");
    assert_eq!(code(fs::create_dir_all(path("file/a/b")).await), "ENOTDIR");
    assert_eq!(code(fs::create_dir_all("").await), "ENOENT");
    symlink("a", path("soft")).unwrap();
    fs::create_dir_all(path("soft/g/h")).await.unwrap();
    assert!(path("a/g/h").exists());
    let wild = root.join(OsStr::from_bytes(b"\xff/\xfe"));
    fs::create_dir_all(&wild).await.unwrap();
    assert!(wild.is_dir());
  });
}

#[test]
fn several_that_make_the_same_directories_do_not_hinder_each_other() {
  let (rt, directory) = (runtime(), folder());
  let root = directory.0.clone();
  rt.run(async move {
    let makes =
      (0..20).map(|i| Box::pin(fs::create_dir_all(root.join(format!("a/b/c/{}", i % 3)))));
    for made in ringcore::all(makes.collect()).await {
      made.unwrap();
    }
  });
  assert_eq!(names(directory.0.join("a/b/c")), ["0", "1", "2"]);
}

#[test]
fn a_directory_is_removed_with_its_content_and_no_link_is_followed() {
  let (rt, directory) = (runtime(), folder());
  let root = directory.0.clone();
  rt.run(async move {
    let path = |name: &str| root.join(name);
    std::fs::create_dir(path("kept")).unwrap();
    std::fs::write(path("kept/file"), b"abc").unwrap();
    std::fs::create_dir_all(path("tree/a/b/c")).unwrap();
    std::fs::create_dir(path("tree/empty")).unwrap();
    for i in 0..300 {
      std::fs::write(path(&format!("tree/a/b/{i}")), b"").unwrap();
    }
    symlink("../kept", path("tree/soft")).unwrap();
    symlink("../../../kept/file", path("tree/a/b/soft")).unwrap();
    symlink("nowhere", path("tree/dangling")).unwrap();
    std::fs::hard_link(path("kept/file"), path("tree/hard")).unwrap();
    let wild = path("tree").join(OsStr::from_bytes(b"\xff\n'"));
    std::fs::create_dir(&wild).unwrap();
    std::fs::write(wild.join("x"), b"").unwrap();
    fs::remove_dir_all(path("tree")).await.unwrap();
    assert!(!path("tree").exists());
    assert_eq!(std::fs::read(path("kept/file")).unwrap(), b"abc");
    symlink("kept", path("soft")).unwrap();
    assert_eq!(code(fs::remove_dir_all(path("soft")).await), "ENOTDIR");
    assert_eq!(code(fs::remove_dir_all(path("kept/file")).await), "ENOTDIR");
    let none = path("none");
    let gone = format!("ENOENT: no such file or directory, open '{}'", none.display());
    assert_eq!(text(fs::remove_dir_all(&none).await), gone);
    assert_eq!(names(path("kept")), ["file"]);
  });
}

#[test]
fn two_that_remove_the_same_directory_both_succeed_or_find_it_gone() {
  let (rt, directory) = (runtime(), folder());
  for _ in 0..5 {
    let tree = directory.0.join("tree");
    for i in 0..30 {
      std::fs::create_dir_all(tree.join(format!("{i}/a/b"))).unwrap();
    }
    let there = tree.clone();
    rt.run(async move {
      let removes = (0..2).map(|_| Box::pin(fs::remove_dir_all(there.clone())));
      for removed in ringcore::all(removes.collect()).await {
        assert!(["no error", "ENOENT"].contains(&code(removed)));
      }
    });
    assert!(!tree.exists());
  }
}
