//! backup without ringcore, without bar and --verify: one file after the other, on a blocked
//! thread.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::os::unix::fs::{chown, symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const TEMPORARY: &str = ".backup-tmp";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Backup {
  src: PathBuf,
  dst: PathBuf,
  failures: Vec<String>,
  /// The first name of every file, by device and inode.
  firsts: HashMap<(u64, u64), PathBuf>,
  copied: usize,
  all: usize,
}

fn same_time(one: &Metadata, other: &Metadata) -> bool {
  let ns = |stat: &Metadata| stat.mtime() as i128 * 1_000_000_000 + stat.mtime_nsec() as i128;
  (ns(one) - ns(other)).abs() <= 2000
}

fn keep(path: &Path, stat: &Metadata) -> Result<()> {
  if fs::metadata("/proc/self")?.uid() == 0 {
    chown(path, Some(stat.uid()), Some(stat.gid()))?;
  }
  let file = File::open(path)?;
  file.set_times(FileTimes::new().set_modified(stat.modified()?))?;
  file.set_permissions(stat.permissions())?;
  Ok(file.sync_all()?)
}

impl Backup {
  /// A folder, what is in it, and then its own mode and time.
  fn folder(&mut self, path: &Path) -> Result<()> {
    let (from, to) = (self.src.join(path), self.dst.join(path));
    let stat = from.symlink_metadata()?;
    match to.symlink_metadata() {
      Err(_) => fs::create_dir(&to)?,
      Ok(there) if !there.is_dir() => return Err("DST has something else of this name".into()),
      Ok(_) => fs::set_permissions(&to, Permissions::from_mode(0o700))?,
    }
    for entry in fs::read_dir(&from)? {
      let below = path.join(entry?.file_name());
      if let Err(error) = self.entry(&below) {
        self.failures.push(format!("'{}': {error}", self.src.join(&below).display()));
      }
    }
    if path.as_os_str().is_empty() {
      let _ = fs::remove_dir_all(self.dst.join(TEMPORARY));
    }
    keep(&to, &stat)
  }

  fn entry(&mut self, path: &Path) -> Result<()> {
    let stat = self.src.join(path).symlink_metadata()?;
    if stat.is_dir() {
      return self.folder(path);
    }
    if !stat.is_file() && !stat.is_symlink() {
      return Ok(());
    }
    self.all += 1;
    let (to, temporary) = (self.dst.join(path), self.dst.join(TEMPORARY).join("0"));
    fs::create_dir_all(self.dst.join(TEMPORARY))?;
    if self.make(path, &stat, &temporary)? {
      fs::rename(temporary, to)?;
      self.copied += 1;
    }
    Ok(())
  }

  /// A file or link under a temporary name. False: DST has it.
  fn make(&mut self, path: &Path, stat: &Metadata, temporary: &Path) -> Result<bool> {
    let (from, to) = (self.src.join(path), self.dst.join(path));
    let _ = fs::remove_file(temporary);
    if stat.is_symlink() {
      let target = fs::read_link(&from)?;
      let same = fs::read_link(&to).is_ok_and(|there| there == target);
      return if same { Ok(false) } else { Ok(symlink(target, temporary).map(|()| true)?) };
    }
    let first = self.firsts.entry((stat.dev(), stat.ino())).or_insert(to.clone());
    let there = to.symlink_metadata();
    if *first != to {
      let ino = first.symlink_metadata()?.ino();
      if there.is_ok_and(|there| there.ino() == ino) {
        return Ok(false);
      }
      return Ok(fs::hard_link(first, temporary).map(|()| true)?);
    }
    let same = |there: Metadata| {
      there.mode() == stat.mode() && there.len() == stat.len() && same_time(&there, stat)
    };
    if there.is_ok_and(same) {
      return Ok(false);
    }
    fs::copy(&from, temporary)?;
    let after = from.symlink_metadata()?;
    if after.len() != stat.len() || !same_time(&after, stat) {
      return Err("it changed while it was being copied".into());
    }
    keep(temporary, stat)?;
    Ok(true)
  }
}

/// The two folders, or why they cannot be used.
fn checked() -> std::result::Result<(PathBuf, PathBuf), String> {
  let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
  let [src, dst] = &paths[..] else {
    return Err("usage: backup SRC DST, two folders".into());
  };
  let src = fs::canonicalize(src).map_err(|error| format!("{error}: '{}'", src.display()))?;
  let dst = match (fs::canonicalize(dst), dst.parent(), dst.file_name()) {
    (Ok(there), ..) => there,
    (_, Some(parent), Some(name)) => fs::canonicalize(Path::new(".").join(parent))
      .map_err(|error| format!("{error}: '{}'", parent.display()))?
      .join(name),
    _ => return Err(format!("not a name for a folder: '{}'", dst.display())),
  };
  if !src.is_dir() || dst.exists() && !dst.is_dir() {
    return Err("SRC and DST must be folders".into());
  }
  if dst.starts_with(&src) {
    return Err("DST is inside of SRC".into());
  }
  Ok((src, dst))
}

fn main() {
  let (src, dst) = checked().unwrap_or_else(|error| {
    eprintln!("backup: {error}");
    std::process::exit(2);
  });
  let parent = if dst.exists() { None } else { dst.parent().map(Path::to_path_buf) };
  let (failures, firsts) = (Vec::new(), HashMap::new());
  let mut backup = Backup { src, dst, failures, firsts, copied: 0, all: 0 };
  let ended = backup.folder(Path::new("")).and_then(|()| match parent {
    Some(parent) => Ok(File::open(parent)?.sync_all()?),
    None => Ok(()),
  });
  if let Err(error) = ended {
    backup.failures.push(error.to_string());
  }
  println!("{} of {} files copied", backup.copied, backup.all);
  for failure in &backup.failures {
    eprintln!("backup: {failure}");
  }
  std::process::exit(!backup.failures.is_empty() as i32);
}
