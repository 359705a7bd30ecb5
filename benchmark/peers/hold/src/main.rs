//! `hold PATH...`: keeps files, and all files of folders, in memory until its input ends.
//!
//! Some kernels reclaim idle page cache in the background: what a case calls warm is locked while
//! the case runs. Prints how many bytes are locked, or why the rest could not be.

use std::fs::{File, metadata, read_dir};
use std::io::{Read, Result, stdin};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

fn files(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
  if !metadata(path)?.is_dir() {
    found.push(path.to_path_buf());
    return Ok(());
  }
  for entry in read_dir(path)? {
    files(&entry?.path(), found)?;
  }
  Ok(())
}

fn lock(path: &Path) -> Result<usize> {
  let file = File::open(path)?;
  let len = file.metadata()?.len() as usize;
  if len == 0 {
    return Ok(0);
  }
  // SAFETY: I1, a mapping of its own that nobody reads or writes; it lives as long as the process.
  let locked = unsafe {
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    let at = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, file.as_raw_fd(), 0);
    at != libc::MAP_FAILED && libc::mlock(at, len) == 0
  };
  if locked { Ok(len) } else { Err(std::io::Error::last_os_error()) }
}

fn main() -> Result<()> {
  let mut found = Vec::new();
  for path in std::env::args().skip(1) {
    files(Path::new(&path), &mut found)?;
  }
  let mut bytes = 0;
  let mut problem = None;
  for path in &found {
    match lock(path) {
      Ok(len) => bytes += len,
      Err(error) => problem = Some(error),
    }
  }
  match problem {
    None => println!("locked {bytes}"),
    Some(error) => println!("not locked: {error}"),
  }
  stdin().read_to_end(&mut Vec::new())?;
  Ok(())
}
