// PAIR: only-rust mod.rs -- plain system calls on the threads of the lane
//! Folder trees, copied or removed by one thread of the lane or by both.
//!
//! ```text
//! pending folders ──> visit: open, list, do something about each entry ──> leave
//!    ^ the last one first                  │                                 │
//!    └── the folders among the entries ────┘      when all below it has left <┘
//! ```
//! An entry is named by the open folder that holds it, and a folder is opened below that of the
//! whole tree without going through a link (openat2): what somebody puts in the place of a folder
//! meanwhile is never followed. A thread has the folder open that it works on and no other, however
//! deep it is, and no function calls itself.
#![allow(unsafe_code)]

mod copying;
mod dir;
mod removal;

pub(crate) use copying::CopyTree;
pub(crate) use removal::RemoveTree;

use crate::plain::Result;
use dir::{Entry, Listing};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries after which a thread looks around: what it has found is for the other one as well.
const BATCH: usize = 64;
/// The folder that the tree is in has no place in the list of folders.
const NONE: usize = usize::MAX;

/// What a thread that leaves a tree says of it.
pub(crate) enum Step {
  /// All is done, and nobody works on it: 0, or a negative errno.
  Over(i32),
  /// The other thread has the rest, or will end it.
  Leave,
  /// There is more to do, but others wait for the thread.
  Later,
}

/// What the lane is asked while a tree is worked on.
pub(crate) trait Around {
  /// There is work for another thread.
  fn help(&self);
  /// Somebody waits for this thread.
  fn is_wanted(&self) -> bool;
}

/// What is done to a tree.
trait Plan: Send + Sync {
  /// Once, before anything else.
  fn begin(&self) -> Result<()>;
  /// Opens a folder, by its path below the tree's own. `None`: there is nothing to do in it.
  fn open(&self, path: &CStr) -> Result<Option<Open>>;
  /// Does what is to be done about an entry.
  fn entry(&self, open: &Open, entry: &Entry, stop: &AtomicBool) -> Result<Done>;
  /// Whether a folder is nothing to it any more once everything below has left.
  fn forgets(&self) -> bool;
  /// After everything below a folder, which is named by the one that holds it.
  fn leave(&self, parent: &CStr, name: &CStr) -> Result<()>;
  /// At the end of all, when nobody works on the tree any more; the result of the whole.
  fn end(&self, folders: &[Folder], result: Result<()>, stop: &AtomicBool) -> Result<()>;
}

/// What has become of an entry.
enum Done {
  /// It is a folder, which is to be visited.
  Folder,
  /// There is something of this name that was not there before: its inode.
  Made(u64),
  Gone,
}

/// A folder that a thread works on.
struct Open {
  listing: Listing,
  /// Its copy.
  to: Option<OwnedFd>,
  path: CString,
  /// Permissions that the copy is to have in the end, if not at once.
  late: Option<libc::mode_t>,
}

/// A folder of the tree. The first one is the tree itself, without a name.
struct Folder {
  parent: usize,
  name: CString,
  /// What has not ended below it; its own visit is one of them.
  left: usize,
  late: Option<libc::mode_t>,
  /// What was made in it: see `made_in`.
  made: Vec<u8>,
}

impl Folder {
  fn new(parent: usize, name: CString) -> Folder {
    Folder { parent, name, left: 1, late: None, made: Vec::new() }
  }
}

/// A folder that is to be worked on; an open one was begun.
struct Visit {
  folder: usize,
  open: Option<Open>,
}

/// What a visit brings.
#[derive(Default)]
struct Found {
  below: Vec<CString>,
  made: Vec<u8>,
  late: Option<libc::mode_t>,
}

#[derive(Default)]
struct State {
  begun: bool,
  folders: Vec<Folder>,
  /// Places in it that are free again.
  free: Vec<usize>,
  pending: Vec<Visit>,
  /// Threads that work on a folder.
  busy: usize,
  /// What went wrong first.
  failed: Option<i32>,
}

/// One tree.
pub(crate) struct Tree {
  plan: Box<dyn Plan>,
  over: AtomicBool,
  /// Something went wrong: the other thread is to leave its folder.
  ending: AtomicBool,
  state: Mutex<State>,
}

impl Tree {
  pub(crate) fn copy(plan: CopyTree) -> Tree {
    Tree::new(Box::new(plan))
  }

  pub(crate) fn remove(plan: RemoveTree) -> Tree {
    Tree::new(Box::new(plan))
  }

  fn new(plan: Box<dyn Plan>) -> Tree {
    let (over, ending) = (AtomicBool::new(false), AtomicBool::new(false));
    Tree { plan, over, ending, state: Mutex::default() }
  }

  /// Whether somebody has been told that it is over.
  pub(crate) fn is_over(&self) -> bool {
    self.over.load(Ordering::Relaxed)
  }

  /// Works on it until there is nothing left for this thread, or others want it. `stop` is looked
  /// at before each entry: the tree ends with ECANCELED, and stays as it is then.
  pub(crate) fn work(&self, stop: &AtomicBool, around: &dyn Around) -> Step {
    let mut state = self.lock();
    if !state.begun {
      state.begun = true;
      match if stopped(stop) { Err(libc::ECANCELED) } else { caught(|| self.plan.begin()) } {
        Ok(()) => state.add(NONE, CString::default()),
        Err(errno) => state.fail(errno),
      }
    }
    loop {
      if stopped(stop) {
        state.fail(libc::ECANCELED);
      }
      let Some(mut visit) = state.pending.pop() else {
        // Set below the lock, and looked at below the lane's, which is taken before it is told.
        if state.busy > 0 || self.over.swap(true, Ordering::Relaxed) {
          return Step::Leave;
        }
        let folders = std::mem::take(&mut state.folders);
        let result = state.failed.map_or(Ok(()), Err);
        drop(state);
        let ended = caught(|| self.plan.end(&folders, result, stop));
        return Step::Over(ended.err().map_or(0, |errno| -errno));
      };
      state.busy += 1;
      let (path, more) = (path_of(&state.folders, visit.folder), !state.pending.is_empty());
      drop(state);
      if more {
        around.help();
      }
      let mut found = Found::default();
      let visited = caught(|| self.visit(&mut visit, path, &mut found, (stop, around)));
      state = self.lock();
      state.take(visit.folder, found);
      match visited {
        // First again: so no folder is open that nobody works on, but for a moment.
        Ok(false) if state.failed.is_none() => state.pending.push(visit),
        Ok(false) => {}
        Ok(true) => {
          let folder = visit.folder;
          drop(visit);
          state = self.left(state, folder);
        }
        Err(errno) => state.fail(errno),
      }
      state.busy -= 1;
      self.ending.store(state.failed.is_some(), Ordering::Relaxed);
      let more = !state.pending.is_empty();
      drop(state);
      if more && around.is_wanted() {
        return Step::Later;
      }
      state = self.lock();
    }
  }

  fn lock(&self) -> MutexGuard<'_, State> {
    self.state.lock().unwrap_or_else(PoisonError::into_inner)
  }

  /// Some of a folder's entries; whether those were the last ones.
  fn visit(
    &self,
    visit: &mut Visit,
    path: Result<CString>,
    found: &mut Found,
    (stop, around): (&AtomicBool, &dyn Around),
  ) -> Result<bool> {
    if visit.open.is_none() {
      visit.open = self.plan.open(&path?)?;
      found.late = visit.open.as_ref().and_then(|open| open.late);
    }
    let Some(open) = &mut visit.open else {
      return Ok(true);
    };
    for _ in 0..BATCH {
      if stopped(stop) {
        return Err(libc::ECANCELED);
      }
      if self.ending.load(Ordering::Relaxed) {
        break;
      }
      let Some(entry) = open.listing.next()? else {
        return Ok(true);
      };
      // node reads such names as others, which are not there: it has an error for them.
      if entry.name.to_str().is_err() {
        return Err(libc::EILSEQ);
      }
      match self.plan.entry(open, &entry, stop)? {
        Done::Folder => found.below.push(entry.name),
        Done::Made(inode) => {
          found.made.extend_from_slice(entry.name.as_bytes_with_nul());
          found.made.extend_from_slice(&inode.to_ne_bytes());
        }
        Done::Gone => {}
      }
      if around.is_wanted() {
        break;
      }
    }
    Ok(false)
  }

  /// One less below a folder: the last one ends it, and is one less of the one around it.
  fn left<'a>(&'a self, mut state: MutexGuard<'a, State>, mut id: usize) -> MutexGuard<'a, State> {
    while self.plan.forgets() && state.failed.is_none() {
      state.folders[id].left -= 1;
      let Folder { parent, left, .. } = state.folders[id];
      if left > 0 || parent == NONE {
        break;
      }
      let (above, name) = (path_of(&state.folders, parent), state.forget(id));
      drop(state);
      let ended = caught(|| self.plan.leave(&above?, &name));
      state = self.lock();
      if let Err(errno) = ended {
        state.fail(errno);
      }
      id = parent;
    }
    state
  }
}

impl State {
  /// A folder that is to be visited.
  fn add(&mut self, parent: usize, name: CString) {
    if let Some(parent) = self.folders.get_mut(parent) {
      parent.left += 1;
    }
    let folder = Folder::new(parent, name);
    let id = match self.free.pop() {
      Some(id) => {
        self.folders[id] = folder;
        id
      }
      None => {
        self.folders.push(folder);
        self.folders.len() - 1
      }
    };
    if self.failed.is_none() {
      self.pending.push(Visit { folder: id, open: None });
    }
  }

  fn take(&mut self, id: usize, found: Found) {
    let folder = &mut self.folders[id];
    folder.made.extend_from_slice(&found.made);
    folder.late = folder.late.or(found.late);
    found.below.into_iter().for_each(|name| self.add(id, name));
  }

  fn forget(&mut self, id: usize) -> CString {
    self.free.push(id);
    std::mem::take(&mut self.folders[id].name)
  }

  /// Nothing is begun any more.
  fn fail(&mut self, errno: i32) {
    self.failed.get_or_insert(errno);
    self.pending.clear();
  }
}

/// Names, each with its NUL and eight bytes of its inode behind it.
fn made_in(mut made: &[u8]) -> impl Iterator<Item = (&CStr, u64)> {
  std::iter::from_fn(move || {
    let name = CStr::from_bytes_until_nul(made).ok()?;
    let (inode, rest) = made.split_at(name.to_bytes_with_nul().len()).1.split_first_chunk()?;
    made = rest;
    Some((name, u64::from_ne_bytes(*inode)))
  })
}

/// A folder's path below the tree, `.` for the tree itself.
fn path_of(folders: &[Folder], mut id: usize) -> Result<CString> {
  let mut names = Vec::new();
  let mut len = 0;
  while folders[id].parent != NONE {
    names.push(&folders[id].name);
    len += folders[id].name.as_bytes().len() + 1;
    id = folders[id].parent;
  }
  if len > libc::PATH_MAX as usize {
    return Err(libc::ENAMETOOLONG);
  }
  let mut path = Vec::with_capacity(len.max(2));
  for name in names.into_iter().rev() {
    if !path.is_empty() {
      path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
  }
  if path.is_empty() {
    path.push(b'.');
  }
  CString::new(path).map_err(|_| libc::EINVAL)
}

fn stopped(stop: &AtomicBool) -> bool {
  stop.load(Ordering::Relaxed)
}

/// A bug of ours fails this tree, and no thread or operation is lost with it.
fn caught<R>(run: impl FnOnce() -> Result<R>) -> Result<R> {
  catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(libc::EIO))
}
