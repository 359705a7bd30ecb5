//! What backup finds in a folder tree. Beside it: tree.ts.
//!
//! Names are bytes: a file system knows no encoding, and a name that is no UTF-8 is a name.

use ringcore::statx::Statx;
use ringcore::{all, op, Error};
use std::cell::RefCell;
use std::future::Future;
use std::path::{Path, PathBuf};

/// Files in flight.
pub const AT_ONCE: usize = 32;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A file, folder or link of the tree.
pub struct Entry {
  /// Below the root; empty for the root itself.
  pub path: PathBuf,
  pub stat: Statx,
}

pub fn join(folder: &Path, name: &Path) -> PathBuf {
  if name.as_os_str().is_empty() {
    return folder.to_path_buf();
  }
  folder.join(name)
}

pub fn kind(stat: &Statx) -> u32 {
  stat.mode as u32 & libc::S_IFMT
}

pub fn is_folder(stat: &Statx) -> bool {
  kind(stat) == libc::S_IFDIR
}

pub fn is_file(stat: &Statx) -> bool {
  kind(stat) == libc::S_IFREG
}

pub fn is_link(stat: &Statx) -> bool {
  kind(stat) == libc::S_IFLNK
}

pub fn permissions(stat: &Statx) -> u32 {
  stat.mode as u32 & 0o7777
}

/// The file itself, not what a symbolic link names.
pub async fn look(path: &Path) -> ringcore::Result<Statx> {
  let flags = libc::AT_SYMLINK_NOFOLLOW;
  op::statx(libc::AT_FDCWD, path, flags, libc::STATX_BASIC_STATS).await
}

/// The same, or None where nothing is there.
pub async fn look_for(path: &Path) -> Result<Option<Statx>> {
  match look(path).await {
    Err(Error::Os { errno: libc::ENOENT | libc::ENOTDIR, .. }) => Ok(None),
    result => Ok(Some(result?)),
  }
}

/// Does the work for every item, a bounded number of them at a time: that bounds the descriptors
/// and the memory as well. The workers take from one queue, so none waits for a slow one.
pub async fn each<T, F: Future<Output = ()>>(items: Vec<T>, work: impl Fn(T) -> F) {
  let workers = items.len().min(AT_ONCE);
  let queue = RefCell::new(items.into_iter());
  let next = || queue.borrow_mut().next();
  let worker = async || {
    while let Some(item) = next() {
      work(item).await;
    }
  };
  all((0..workers).map(|_| Box::pin(worker())).collect()).await;
}

/// Everything below `root`, and the root itself: folders before what is in them. A name that is
/// `reserved` in the root is told as a failure.
pub async fn walk(
  root: &Path,
  failed: &dyn Fn(&Path, &dyn std::fmt::Display),
  reserved: &Path,
) -> Result<Vec<Entry>> {
  let mut entries = vec![Entry { path: PathBuf::new(), stat: look(root).await? }];
  let mut at = 0;
  while let Some(Entry { path, stat }) = entries.get(at) {
    at += 1;
    if !is_folder(stat) {
      continue;
    }
    let mut names = names(&join(root, path)).unwrap_or_else(|error| {
      failed(path, &error);
      Vec::new()
    });
    if path.as_os_str().is_empty() && names.iter().any(|name| name == reserved) {
      failed(reserved, &"this name is reserved for files that are not whole yet");
      names.retain(|name| name != reserved);
    }
    let found = RefCell::new(Vec::new());
    let paths = names.iter().map(|name| join(path, name)).collect();
    each(paths, async |path: PathBuf| match look(&join(root, &path)).await {
      Ok(stat) => found.borrow_mut().push(Entry { path, stat }),
      Err(error) => failed(&path, &error),
    })
    .await;
    let mut found = found.into_inner();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    entries.append(&mut found);
  }
  Ok(entries)
}

/// The ring has no operation that reads a folder.
pub fn names(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
  std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into())).collect()
}
