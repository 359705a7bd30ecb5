//! How a file is opened.
//! Pair: src/fs/options.ts

use super::file::File;
use super::handle::Handle;
use crate::error::{errno_error, Result};
use crate::op;
use std::future::Future;
use std::path::Path;

// PAIR: OpenOptions
/// How a file is opened. At first nothing is set: name at least one of `read`, `write`, `append`.
#[derive(Clone, Debug)]
pub struct OpenOptions {
  read: bool,
  write: bool,
  append: bool,
  truncate: bool,
  create: bool,
  create_new: bool,
  mode: u32,
  custom_flags: i32,
}

impl Default for OpenOptions {
  fn default() -> OpenOptions {
    OpenOptions::new()
  }
}

impl OpenOptions {
  // PAIR: OpenOptions.new
  pub fn new() -> OpenOptions {
    let (read, write, append) = (false, false, false);
    let (truncate, create, create_new) = (false, false, false);
    let (mode, custom_flags) = (0o666, 0);
    OpenOptions { read, write, append, truncate, create, create_new, mode, custom_flags }
  }

  // PAIR: OpenOptions.read
  /// Bytes may be read.
  pub fn read(&mut self, read: bool) -> &mut OpenOptions {
    self.read = read;
    self
  }

  // PAIR: OpenOptions.write
  /// Bytes may be written.
  pub fn write(&mut self, write: bool) -> &mut OpenOptions {
    self.write = write;
    self
  }

  // PAIR: OpenOptions.append
  /// Bytes may be written, always at the end of the file.
  pub fn append(&mut self, append: bool) -> &mut OpenOptions {
    self.append = append;
    self
  }

  // PAIR: OpenOptions.truncate
  /// A file that exists is emptied. Not with `append`.
  pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
    self.truncate = truncate;
    self
  }

  // PAIR: OpenOptions.create
  /// A file that does not exist is made. Only with `write` or `append`.
  pub fn create(&mut self, create: bool) -> &mut OpenOptions {
    self.create = create;
    self
  }

  // PAIR: OpenOptions.createNew
  /// The file is made, and it is an error (EEXIST) when it exists.
  pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
    self.create_new = create_new;
    self
  }

  // PAIR: OpenOptions.mode
  /// Permissions of a file that is made, less the process's umask. Default 0o666.
  pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
    self.mode = mode;
    self
  }

  // PAIR: OpenOptions.customFlags
  /// More O_* flags, see open(2). The access mode in them is left out.
  pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
    self.custom_flags = flags;
    self
  }

  // PAIR: OpenOptions.flags
  /// O_* of open(2). EINVAL: they contradict each other, as in the standard library.
  fn flags(&self) -> Option<i32> {
    let access = match (self.read, self.write || self.append) {
      (true, false) => libc::O_RDONLY,
      (false, true) => libc::O_WRONLY,
      (true, true) => libc::O_RDWR,
      (false, false) => return None,
    };
    let makes = self.truncate || self.create || self.create_new;
    let writes = self.write || self.append;
    if makes && !writes || self.truncate && self.append && !self.create_new {
      return None;
    }
    let append = if self.append { libc::O_APPEND } else { 0 };
    let creation = match (self.create_new, self.create, self.truncate) {
      (true, ..) => libc::O_CREAT | libc::O_EXCL,
      (_, create, truncate) => (create as i32 * libc::O_CREAT) | (truncate as i32 * libc::O_TRUNC),
    };
    Some(access | append | creation | (self.custom_flags & !libc::O_ACCMODE))
  }

  // PAIR: OpenOptions.open
  /// Opens the file for the runtime that polls the caller. Always O_CLOEXEC.
  pub fn open(&self, path: impl AsRef<Path>) -> impl Future<Output = Result<File>> {
    let (flags, mode, path) = (self.flags(), self.mode, path.as_ref().to_path_buf());
    async move {
      let Some(flags) = flags else {
        return Err(errno_error(libc::EINVAL, "open").with_path(&path));
      };
      let fd = op::openat(libc::AT_FDCWD, &path, flags, mode).await?;
      Ok(File::new(Handle::new(fd)?))
    }
  }
}
