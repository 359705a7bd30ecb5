// PAIR: only-rust copying.rs -- plain system calls on the threads of the lane
//! A tree is copied to where nothing is: folders, files and links, with their permissions.
//!
//! What fails is undone: each thing that was made is removed as long as it is still the same, and
//! nothing else. Nobody may do more with a half copy than with the source: a folder is its owner's
//! alone until it has its permissions.

use super::dir::{look, open_below, open_path, unlink, Below, Entry, Listing};
use super::{made_in, path_of, stopped, Done, Folder, Open, Plan};
use crate::copy::copy_entry;
use crate::plain::{checked, stat, Result};
use crate::sqe::{COPYFILE_OWNER, COPYTREE_ABSOLUTE, COPYTREE_SLASH};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::OnceLock;

/// What the owner needs to work on a folder.
const USABLE: libc::mode_t = 0o700;

pub(crate) struct CopyTree {
  from: CString,
  to: CString,
  flags: u32,
  roots: OnceLock<(OwnedFd, OwnedFd)>,
}

impl CopyTree {
  pub(crate) fn new(from: CString, to: CString, flags: u32) -> CopyTree {
    CopyTree { from, to, flags, roots: OnceLock::new() }
  }

  fn roots(&self) -> Result<(RawFd, RawFd)> {
    let (from, to) = self.roots.get().ok_or(libc::EBADF)?;
    Ok((from.as_raw_fd(), to.as_raw_fd()))
  }

  /// A link with the same target, or with one that is absolute.
  fn link(&self, open: &Open, to: RawFd, name: &CStr) -> Result<()> {
    let mut target = vec![0; libc::PATH_MAX as usize];
    let (from, room) = (open.listing.fd(), target.len());
    // SAFETY: I1: a name of the caller's and a buffer of this function's own.
    let read = unsafe { libc::readlinkat(from, name.as_ptr(), target.as_mut_ptr().cast(), room) };
    let len = checked(read as i64)? as usize;
    if len == room {
      return Err(libc::ENAMETOOLONG);
    }
    target.truncate(len);
    // node reads such a target as another one.
    if std::str::from_utf8(&target).is_err() {
      return Err(libc::EILSEQ);
    }
    if self.flags & COPYTREE_ABSOLUTE != 0 && !target.starts_with(b"/") {
      let last = target.rsplit(|byte| *byte == b'/').next();
      let slash = self.flags & COPYTREE_SLASH != 0 && matches!(last, Some(b"" | b"." | b".."));
      target = resolve(&[self.from.to_bytes(), open.path.to_bytes(), &target]);
      if slash && target.len() > 1 {
        target.push(b'/');
      }
    }
    let target = CString::new(target).map_err(|_| libc::EINVAL)?;
    // SAFETY: I1: texts of this function's own and the caller's.
    checked(unsafe { libc::symlinkat(target.as_ptr(), to, name.as_ptr()) } as i64).map(drop)
  }

  /// Removes what was made, inner things first, as far as that goes.
  fn undo(&self, folders: &[Folder], stop: &AtomicBool) -> Result<()> {
    let (_, root) = self.roots()?;
    for (id, folder) in folders.iter().enumerate().rev() {
      let opened = path_of(folders, id).and_then(|path| Below::open(root, &path));
      if let Ok(opened) = &opened {
        for (name, inode) in made_in(&folder.made) {
          if stopped(stop) {
            return Err(libc::ECANCELED);
          }
          // Others may have put another file in its place.
          if look(opened.fd(), name).is_ok_and(|there| there.st_ino == inode) {
            let _ = unlink(opened.fd(), name, 0);
          }
        }
      }
      let removed = match folder.parent {
        super::NONE => unlink(libc::AT_FDCWD, &self.to, libc::AT_REMOVEDIR),
        parent => path_of(folders, parent)
          .and_then(|path| Below::open(root, &path))
          .and_then(|parent| unlink(parent.fd(), &folder.name, libc::AT_REMOVEDIR)),
      };
      let _ = removed; // Others may have put something there.
    }
    Ok(())
  }
}

impl Plan for CopyTree {
  fn begin(&self) -> Result<()> {
    let known = COPYFILE_OWNER | COPYTREE_ABSOLUTE | COPYTREE_SLASH;
    let absolute = self.flags & COPYTREE_ABSOLUTE == 0 || self.from.to_bytes().starts_with(b"/");
    if self.flags & !known != 0 || !absolute {
      return Err(libc::EINVAL);
    }
    let from = open_path(&self.from)?;
    make(libc::AT_FDCWD, &self.to)?;
    match open_path(&self.to) {
      Ok(to) => {
        let _ = self.roots.set((from, to));
        Ok(())
      }
      Err(errno) => {
        let _ = unlink(libc::AT_FDCWD, &self.to, libc::AT_REMOVEDIR);
        Err(errno)
      }
    }
  }

  fn open(&self, path: &CStr) -> Result<Option<Open>> {
    let (from, to) = self.roots()?;
    let (from, to) = (open_below(from, path)?, open_below(to, path)?);
    let mode = stat(&from)?.st_mode & 0o7777;
    permit(&to, mode | USABLE)?;
    let late = (mode & USABLE != USABLE).then_some(mode);
    let (listing, path) = (Listing::new(from), path.to_owned());
    Ok(Some(Open { listing, to: Some(to), path, late }))
  }

  fn entry(&self, open: &Open, entry: &Entry, stop: &AtomicBool) -> Result<Done> {
    let (from, name) = (open.listing.fd(), entry.name.as_c_str());
    let to = open.to.as_ref().map(OwnedFd::as_raw_fd).ok_or(libc::EBADF)?;
    let kind = match entry.kind {
      libc::DT_UNKNOWN => ((look(from, name)?.st_mode & libc::S_IFMT) >> 12) as u8,
      kind => kind,
    };
    match kind {
      libc::DT_DIR => make(to, name).map(|()| Done::Folder),
      libc::DT_REG => copy_entry(from, to, name, self.flags & COPYFILE_OWNER, stop).map(Done::Made),
      libc::DT_LNK => {
        self.link(open, to, name)?;
        Ok(Done::Made(look(to, name).map_or(0, |link| link.st_ino)))
      }
      _ => Err(libc::EOPNOTSUPP), // A FIFO, a socket, a device.
    }
  }

  fn forgets(&self) -> bool {
    false
  }

  fn leave(&self, _parent: &CStr, _name: &CStr) -> Result<()> {
    Ok(())
  }

  fn end(&self, folders: &[Folder], result: Result<()>, stop: &AtomicBool) -> Result<()> {
    let (_, root) = match self.roots() {
      Ok(roots) => roots,
      Err(_) => return result, // Nothing was made.
    };
    // Permissions that would be in the way, those of inner folders first.
    let late = || {
      let late = folders.iter().enumerate().rev().filter_map(|(id, at)| Some((id, at.late?)));
      for (id, mode) in late {
        permit(&open_below(root, &path_of(folders, id)?)?, mode)?;
      }
      Ok(())
    };
    match result.and_then(|()| late()) {
      Err(libc::ECANCELED) => Err(libc::ECANCELED),
      Err(errno) => {
        self.undo(folders, stop)?;
        Err(errno)
      }
      done => done,
    }
  }
}

/// A folder for its owner alone.
fn make(folder: RawFd, name: &CStr) -> Result<()> {
  // SAFETY: I1: a name of the caller's.
  checked(unsafe { libc::mkdirat(folder, name.as_ptr(), USABLE) } as i64).map(drop)
}

fn permit(folder: &OwnedFd, mode: libc::mode_t) -> Result<()> {
  // SAFETY: I3: an open descriptor of ours.
  checked(unsafe { libc::fchmod(folder.as_raw_fd(), mode) } as i64).map(drop)
}

/// As node's `path.resolve`: one absolute path of several, without dots, doubled or last slashes.
fn resolve(paths: &[&[u8]]) -> Vec<u8> {
  let mut parts: Vec<&[u8]> = Vec::new();
  for part in paths.iter().flat_map(|path| path.split(|byte| *byte == b'/')) {
    match part {
      b"" | b"." => {}
      b".." => drop(parts.pop()),
      _ => parts.push(part),
    }
  }
  let mut path = vec![b'/'];
  path.extend(parts.join(&b'/'));
  path
}
