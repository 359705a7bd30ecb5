//! Folder trees on the lane: copy_tree, remove_tree.
//! Pair: __test__/trees.spec.ts

mod support;

use ringcore::op;
use ringcore::sqe::{COPYFILE_EXCL, COPYTREE_ABSOLUTE, COPYTREE_SLASH};
use ringcore::{all, Allow, Error, Options, Runtime};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use support::{
  alone, descriptors, folder, many, polled, runtime, runtime_with, settle, small, start, threads,
  until, Folder, POLL,
};

struct Place(Folder);

fn place() -> Place {
  Place(folder())
}

impl Place {
  fn at(&self, name: &str) -> PathBuf {
    self.0 .0.join(name)
  }

  /// Folders with files in them: so many, all alike.
  fn rows(&self, name: &str, folders: usize, files: usize) {
    for i in 0..folders {
      let inside = self.at(&format!("{name}/d{i}"));
      fs::create_dir_all(&inside).unwrap();
      for j in 0..files {
        fs::write(inside.join(format!("f{j}")), format!("{i} {j}")).unwrap();
      }
    }
  }

  /// A file that takes seconds to copy and none to make: its blocks are there, never written.
  fn endless(&self) -> PathBuf {
    let path = self.at("endless");
    let file = fs::File::create(&path).unwrap();
    runtime().run(op::fallocate(file.as_raw_fd(), 0, 0, 3 << 30)).unwrap();
    path
  }

  /// A tree of which a copy stands still: a file of each of six folders takes seconds.
  fn held(&self) -> PathBuf {
    self.rows("from", 6, 5);
    let long = self.endless();
    for name in names(&self.at("from")) {
      fs::hard_link(&long, self.at(&format!("from/{name}/endless"))).unwrap();
      symlink(self.at("kept"), self.at(&format!("from/{name}/link"))).unwrap();
    }
    long
  }

  /// Those whose long file is being copied, when that are two.
  fn going(&self) -> Vec<String> {
    let found = || -> Vec<String> {
      let there = if self.at("to").exists() { names(&self.at("to")) } else { Vec::new() };
      let is_going = |name: &String| written(&self.at(&format!("to/{name}/endless")));
      there.into_iter().filter(is_going).collect()
    };
    until("two are copied", || found().len() == 2);
    found()
  }
}

fn names(path: &Path) -> Vec<String> {
  let entries = fs::read_dir(path).unwrap();
  entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn written(path: &Path) -> bool {
  fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

fn lanes() -> usize {
  threads("ringcore-lane").len()
}

fn mode(path: &Path) -> u32 {
  fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn cut(path: &Path) {
  fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// Every name below a folder, with what it is.
fn shape(root: &Path) -> Vec<String> {
  let mut found = Vec::new();
  let mut folders = vec![root.to_path_buf()];
  while let Some(folder) = folders.pop() {
    for entry in fs::read_dir(&folder).unwrap() {
      let path = entry.unwrap().path();
      let name = path.strip_prefix(root).unwrap().display().to_string();
      let kind = fs::symlink_metadata(&path).unwrap().file_type();
      found.push(if kind.is_symlink() {
        format!("{name} {}", fs::read_link(&path).unwrap().display())
      } else if kind.is_dir() {
        folders.push(path.clone());
        format!("{name} {:o}", mode(&path))
      } else {
        format!("{name} {:o} {:?}", mode(&path), fs::read(&path).ok())
      });
    }
  }
  found.sort();
  found
}

fn copy(rt: &Runtime, from: &Path, to: &Path, flags: u32) -> Result<(), Error> {
  rt.run(op::copy_tree(from, to, flags))
}

fn remove(rt: &Runtime, path: &Path) -> Result<(), Error> {
  rt.run(op::remove_tree(path))
}

#[test]
fn a_tree_is_copied_with_everything_in_it_and_removed() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  place.rows("from", 70, 3);
  fs::create_dir(place.at("from/d1/empty")).unwrap();
  for (name, mode) in [
    ("d1/empty", 0o555),
    ("d2/f0", 0o4751),
    ("d2", 0o1700),
    ("d3", 0o500),
    ("d4/f1", 0),
    ("d4", 0o2775),
    ("", 0o751),
  ] {
    let path = place.at("from").join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
  }
  fs::write(place.at("from/d5/ünï cödé\n"), vec![7; 3 << 20]).unwrap();
  let links = ["../d1/", "..", "none/./x", "/etc//passwd"];
  for (i, target) in links.iter().enumerate() {
    symlink(target, place.at(&format!("from/d6/l{i}"))).unwrap();
  }
  let (from, to, other) = (place.at("from"), place.at("to"), place.at("other"));
  copy(&rt, &from, &to, 0).unwrap();
  assert_eq!(shape(&to), shape(&from));
  assert_eq!(mode(&to), 0o751);
  let root = from.display();
  let absolute = |end: &str| {
    let [one, two] = ["/d1", ""].map(|name| format!("{root}{name}{end}"));
    [one, two, format!("{root}/d6/none/x"), "/etc//passwd".into()]
  };
  for (flags, targets) in [
    (COPYTREE_ABSOLUTE, absolute("")),
    (COPYTREE_SLASH, links.map(String::from)),
    (COPYTREE_ABSOLUTE | COPYTREE_SLASH, absolute("/")),
  ] {
    copy(&rt, &from, &other, flags).unwrap();
    for (i, target) in targets.iter().enumerate() {
      let found = fs::read_link(other.join(format!("d6/l{i}"))).unwrap();
      assert_eq!(found.as_os_str().as_bytes(), target.as_bytes());
    }
    remove(&rt, &place.at("other/")).unwrap();
    assert!(!other.exists());
  }
  remove(&rt, &from).unwrap();
  assert_eq!(names(&place.at("")), ["to"]);
}

#[test]
fn a_tree_that_fails_says_why_and_its_copy_leaves_nothing() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  place.rows("from", 3, 3);
  fs::write(place.at("file"), "text").unwrap();
  symlink("from", place.at("link")).unwrap();
  place.rows("socket", 3, 3);
  let _socket = std::os::unix::net::UnixListener::bind(place.at("socket/d1/socket")).unwrap();
  place.rows("broken", 3, 3);
  fs::write(place.at("broken/d1").join(OsStr::from_bytes(b"\xff")), "").unwrap();
  let before = shape(&place.at(""));
  for (from, to, code, flags) in [
    ("none", "new", "ENOENT", 0),
    ("from", "none/new", "ENOENT", 0),
    ("from", "from", "EEXIST", 0),
    ("from", "link", "EEXIST", 0),
    ("file", "new", "ENOTDIR", 0),
    ("link", "new", "ENOTDIR", 0),
    ("socket", "new", "EOPNOTSUPP", 0),
    ("broken", "new", "EILSEQ", 0),
    ("from", "new", "EINVAL", COPYFILE_EXCL),
    ("from", &"x".repeat(256), "ENAMETOOLONG", 0),
  ] {
    let error = copy(&rt, &place.at(from), &place.at(to), flags).unwrap_err();
    assert_eq!(error.code(), code, "{from} {to}");
    assert!(error.to_string().contains(", cp '"), "{error}");
    assert!(!place.at("new").exists());
  }
  let relative = copy(&rt, Path::new("from"), &place.at("new"), COPYTREE_ABSOLUTE);
  assert_eq!(relative.unwrap_err().code(), "EINVAL");
  for (path, code) in
    [("none", "ENOENT"), ("file", "ENOTDIR"), ("link", "ENOTDIR"), ("broken", "EILSEQ")]
  {
    let error = remove(&rt, &place.at(path)).unwrap_err();
    assert_eq!(error.code(), code);
    assert!(error.to_string().contains(", rm '"), "{error}");
  }
  assert!(place.at("broken/d1").exists());
  // No slash makes a link a folder, and what rmdir(2) refuses is refused before anything is gone.
  for (path, code) in
    [("link/", "ENOTDIR"), ("link//", "ENOTDIR"), ("from/.", "EINVAL"), ("from/d1/..", "EINVAL")]
  {
    assert_eq!(remove(&rt, &place.at(path)).unwrap_err().code(), code, "{path}");
  }
  let left = |lines: Vec<String>| -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("broken")).collect()
  };
  assert_eq!(left(shape(&place.at(""))), left(before));
}

#[test]
fn what_is_put_in_the_place_of_a_folder_is_not_followed() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let long = place.endless();
  place.rows("kept", 60, 20);
  for round in 0..many(5) {
    place.rows("tree/top", 60, 20);
    let before = shape(&place.at("kept"));
    let path = place.at("tree");
    let removed = rt.run(start(op::remove_tree(path)));
    until("it has begun", || names(&place.at("tree/top")).len() < 60);
    // Whoever copies files gets the threads, and the tree waits where it is.
    let copies = ["one", "two"].map(|name| (long.clone(), place.at(name)));
    let copies = rt.run(async move {
      let [one, two] = copies.map(|(from, to)| op::copy_file(from, to, 0));
      [start(one).await, start(two).await]
    });
    until("both copy", || written(&place.at("one")) && written(&place.at("two")));
    assert!(names(&place.at("tree/top")).len() > 1, "it is in the middle");
    if round % 2 == 1 {
      // Somebody removes the folder that it is in: that is no end of the rest.
      fs::remove_dir_all(place.at("tree/top")).unwrap();
      drop(copies);
      rt.run(removed).unwrap();
      assert!(!place.at("tree").exists());
      settle(&rt);
      continue;
    }
    fs::rename(place.at("tree/top"), place.at("moved")).unwrap();
    symlink(place.at("kept"), place.at("tree/top")).unwrap();
    drop(copies);
    // At the folder it was in, or at the next one.
    let code = rt.run(removed).unwrap_err().code();
    assert!(["ENOTDIR", "ELOOP"].contains(&code), "{code}");
    assert!(shape(&place.at("kept")) == before, "what the link leads to is as it was");
    settle(&rt);
    fs::remove_dir_all(place.at("tree")).unwrap();
    fs::remove_dir_all(place.at("moved")).unwrap();
  }
}

#[test]
fn what_is_put_in_the_place_of_a_tree_is_not_removed() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let long = place.endless();
  for made in ["folder", "file", "link"] {
    place.rows("tree", 60, 20);
    let removed = rt.run(start(op::remove_tree(place.at("tree"))));
    until("it has begun", || names(&place.at("tree")).len() < 60);
    let copies = ["one", "two"].map(|name| (long.clone(), place.at(name)));
    let copies = rt.run(async move {
      let [one, two] = copies.map(|(from, to)| op::copy_file(from, to, 0));
      [start(one).await, start(two).await]
    });
    until("both copy", || written(&place.at("one")) && written(&place.at("two")));
    assert!(names(&place.at("tree")).len() > 1, "it is in the middle");
    fs::rename(place.at("tree"), place.at("moved")).unwrap();
    match made {
      "folder" => fs::create_dir(place.at("tree")).unwrap(),
      "file" => fs::write(place.at("tree"), "theirs").unwrap(),
      _ => symlink(place.at("moved"), place.at("tree")).unwrap(),
    }
    drop(copies);
    rt.run(removed).unwrap();
    settle(&rt);
    assert!(place.at("tree").symlink_metadata().is_ok(), "{made}");
    assert!(names(&place.at("moved")).is_empty(), "what it had is gone");
    fs::remove_dir(place.at("moved")).unwrap();
    let theirs = place.at("tree");
    if made == "folder" { fs::remove_dir(theirs) } else { fs::remove_file(theirs) }.unwrap();
  }
}

#[test]
fn a_copy_that_fails_removes_what_it_has_made_and_nothing_else() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  place.rows("kept", 1, 5);
  let long = place.held();
  let (from, to) = (place.at("from"), place.at("to"));
  let copied = rt.run(start(op::copy_tree(from, to, 0)));
  let one = place.going().swap_remove(0);
  let is_pending = |name: &String| names(&place.at(&format!("to/{name}"))).is_empty();
  let pending = names(&place.at("from")).into_iter().find(is_pending).unwrap();
  let at = |name: &str| place.at(&format!("to/{name}"));
  assert_eq!(mode(&at(&pending)), 0o700, "nobody else may look into it yet");
  fs::write(at(&format!("{pending}/f3")), "theirs").unwrap();
  fs::write(at(&format!("{one}/theirs")), "theirs").unwrap();
  cut(&long);
  assert_eq!(rt.run(copied).unwrap_err().code(), "EEXIST");
  assert_eq!(names(&at(&pending)), ["f3"]);
  assert_eq!(names(&at(&one)), ["theirs"]);
  assert_eq!(names(&place.at("to")).len(), 2);
  assert_eq!(names(&place.at("kept/d0")).len(), 5);
}

#[test]
fn an_aborted_tree_ends_and_leaves_what_there_is() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  place.rows("kept", 1, 5);
  let long = place.held();
  until("threads without work end", || lanes() == 0);
  let before = descriptors();
  let (from, to) = (place.at("from"), place.at("to"));
  let copied = rt.run(start(op::copy_tree(from, to, 0)));
  place.going();
  rt.run(op::cancel(copied.key())).unwrap();
  assert_eq!(rt.run(copied).unwrap_err(), Error::Abort);
  // Each file is whole, or not there.
  assert!(shape(&place.at("to")).iter().all(|line| !line.contains("endless")));
  cut(&long);
  remove(&rt, &place.at("to")).unwrap();
  until("threads without work end", || lanes() == 0);
  assert!(descriptors() <= before + 1, "the ring's own copy of its descriptor is left");
}

#[test]
fn a_deep_tree_takes_few_descriptors() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  place.rows("first", 1, 1);
  copy(&rt, &place.at("first"), &place.at("second"), 0).unwrap();
  // As deep as a path can be, and deeper.
  for levels in [600, 2100] {
    let deepest = "d/".repeat(600);
    let deep = place.at("deep").join(&deepest);
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f"), "deep").unwrap();
    // What is too long for a path comes to be by a rename.
    for _ in (600..levels).step_by(600) {
      fs::rename(place.at("deep"), place.at("low")).unwrap();
      fs::create_dir_all(place.at("deep").join(&deepest)).unwrap();
      fs::rename(place.at("low"), place.at("deep").join(&deepest).join("low")).unwrap();
    }
    let (from, to) = (place.at("deep"), place.at("to"));
    if levels == 600 {
      copy(&rt, &from, &to, 0).unwrap();
      assert_eq!(fs::read(to.join(&deepest).join("f")).unwrap(), b"deep");
      remove(&rt, &to).unwrap();
      remove(&rt, &from).unwrap();
    } else {
      assert_eq!(copy(&rt, &from, &to, 0).unwrap_err().code(), "ENAMETOOLONG");
      assert_eq!(remove(&rt, &from).unwrap_err().code(), "ENAMETOOLONG");
      fs::remove_dir_all(&from).unwrap();
    }
    assert!(!from.exists() && !to.exists());
  }
}

#[test]
fn files_and_trees_have_their_turns() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  fs::write(place.at("file"), "text").unwrap();
  for i in 0..3 {
    place.rows(&format!("tree{i}"), 20, 20);
  }
  let path = |name: &str| place.at(name);
  let trees = (0..3).map(|i| op::remove_tree(path(&format!("tree{i}")))).collect();
  let trees = rt.spawn(all(trees));
  // Files that never stop: each has its turn, and so have the trees.
  while !trees.finished() {
    let copies = (0..64).map(|i| op::copy_file(path("file"), path(&format!("copy{i}")), 0));
    let ends = rt.run(all(copies.collect()));
    assert!(ends.iter().all(Result::is_ok));
  }
  assert!(rt.run(trees).unwrap().iter().all(Result::is_ok));
}

#[test]
fn trees_settle_once_each() {
  let _alone = alone();
  let place = place();
  place.rows("from", 8, 8);
  let allow = Some(Allow::of(&["copyTree", "removeTree"]).unwrap());
  let kernels = Options { sqpoll: Some(POLL), ..polled(4, 0) };
  let restricted = Options { allow, ..Options::default() };
  for rt in [small(1, 2), runtime(), runtime_with(kernels), runtime_with(restricted)] {
    let to = |i: usize| place.at(&format!("to{i}"));
    let ends = rt.run(all((0..30).map(|i| op::copy_tree(place.at("from"), to(i), 0)).collect()));
    assert!(ends.iter().all(Result::is_ok));
    // Two at once.
    let twice = (0..60).map(|i| op::remove_tree(to(i / 2))).collect();
    for end in rt.run(all(twice)) {
      assert!(end.is_ok() || end.as_ref().unwrap_err().code() == "ENOENT", "{end:?}");
    }
    assert!((0..30).all(|i| !to(i).exists()));
    assert!(lanes() <= 2);
    assert_eq!(rt.stats().stale, 0);
    settle(&rt);
    assert!(rt.close());
  }
}

#[test]
fn a_ring_that_closes_ends_its_trees_and_no_others() {
  let _alone = alone();
  let place = place();
  place.rows("kept", 1, 5);
  let long = place.held();
  let other = runtime();
  until("threads without work end", || lanes() == 0);
  let before = descriptors();
  for round in 0..many(3) {
    let rt = if round % 2 == 0 { runtime() } else { runtime_with(polled(8, 0)) };
    let (from, to) = (place.at("from"), place.at("to"));
    let copied = rt.run(start(op::copy_tree(from, to, 0)));
    place.going();
    let mine = other.spawn(op::copy_tree(place.at("kept"), place.at("mine"), 0));
    other.run(op::nop()).unwrap();
    assert!(rt.close(), "everything has ended within the bound");
    drop(copied);
    other.run(mine).unwrap().unwrap();
    assert_eq!(names(&place.at("mine/d0")).len(), 5);
    for name in ["mine", "to"] {
      remove(&other, &place.at(name)).unwrap();
    }
  }
  cut(&long);
  until("threads without work end", || lanes() == 0);
  assert_eq!(descriptors(), before + 1, "the other ring's own copy of its descriptor is left");
}
