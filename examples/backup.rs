//! backup: copies a folder tree so that it lasts. Beside it: backup.ts; without ringcore, without
//! bar and --verify: backup.node.mjs, backup.std.rs.
//!
//! ```text
//! cargo run --release --example backup -- SRC DST
//! ```
//! Many files are in flight at once, each by steps of its own. What makes it durable is the order
//! of these: write under a temporary name, sync, rename, sync the folder. A file in DST is whole
//! whenever the power fails; the next run goes on with those that are not there. The steps are not
//! one chain: the kernel goes on behind a failed fsync, and would rename what is not on the disk.

#[path = "backup/progress.rs"]
mod progress;
#[path = "backup/tree.rs"]
mod tree;
#[path = "backup/verify.rs"]
mod verify;

use progress::{size, Progress};
use ringcore::statx::Statx;
use ringcore::{op, race, spawn, MaxWorkers, Options, Runtime};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, FileTimes, Permissions};
use std::future::Future;
use std::os::unix::fs::{chown, lchown, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tree::{
  each, is_file, is_folder, is_link, join, look_for, permissions, walk, Entry, Result, AT_ONCE,
};

const HELP: &str = "\
Usage: backup [--verify] [--quiet] SRC DST

Copies what is in the folder SRC into the folder DST, which is made if need be.
Modes, times, symbolic and hard links, empty folders and holes are kept, owners
when root runs it. What is in DST only stays there. A file that DST has already
(same size, time and mode) is not copied again, so an interrupted backup goes on
where it was.

Options:
      --verify   then reads all of SRC and DST and compares them
      --quiet    no progress and no summary
  -h, --help     this text

Exit code: 0 all is there, 1 some files could not be copied or differ (they are
listed at the end), 2 wrong usage, or SRC and DST cannot be used, 130 interrupted.
";

const CHUNK: usize = 256 * 1024;
/// Holds what is not whole yet. Its files are renamed, so it is on the same file system.
const TEMPORARY: &str = ".backup-tmp";
/// The TypeScript twin keeps microseconds, as Node does.
const SAME_NS: i128 = 2000;

fn same_time(one: &Statx, other: &Statx) -> bool {
  let ns = |stat: &Statx| stat.mtime.sec as i128 * 1_000_000_000 + stat.mtime.nsec as i128;
  (ns(one) - ns(other)).abs() <= SAME_NS
}

struct Backup {
  src: PathBuf,
  dst: PathBuf,
  failures: RefCell<Vec<String>>,
  progress: Rc<Progress>,
  /// Files that could not be copied: their further names cannot be linked.
  failed: RefCell<HashSet<PathBuf>>,
  serial: Cell<usize>,
  is_root: bool,
}

impl Backup {
  fn fail(&self, path: &Path, error: &dyn std::fmt::Display) {
    let failure = format!("'{}': {error}", join(&self.src, path).display());
    self.failures.borrow_mut().push(failure);
  }

  /// Copies everything that DST does not have; how many files that were.
  async fn run(&mut self, entries: &[Entry], quiet: bool) -> Result<usize> {
    let folders = || entries.iter().filter(|entry| is_folder(&entry.stat));
    for folder in folders() {
      self.guard(folder, self.make_folder(folder)).await;
    }
    let (firsts, names) = hard_links(entries);
    let wanted = RefCell::new(Vec::new());
    let compare = async |entry| {
      if self.guard(entry, self.differs(entry)).await == Some(true) {
        wanted.borrow_mut().push(entry);
      }
    };
    each(firsts, compare).await;
    let wanted = wanted.into_inner();
    self.remove_temporary().await?;
    if !wanted.is_empty() {
      self.make_temporary().await?;
    }
    let bytes = wanted.iter().filter(|entry| is_file(&entry.stat)).map(|entry| entry.stat.size);
    self.progress = Rc::new(Progress::new("copied", bytes.sum(), wanted.len()));
    let copying = each(wanted, |entry| self.copy(entry));
    drawn(&self.progress, quiet, copying).await;
    let mut copied = self.progress.files.get();
    for (entry, first) in names {
      let linked = self.guard(entry, self.hard_link(entry, first)).await;
      copied += (linked == Some(true)) as usize;
    }
    self.remove_temporary().await?;
    // From the deepest up: a folder is finished when everything in it is.
    for folder in folders().collect::<Vec<_>>().into_iter().rev() {
      self.guard(folder, self.finish_folder(folder)).await;
    }
    Ok(copied)
  }

  /// A failure is told at the end and does not stop the rest.
  async fn guard<T>(&self, entry: &Entry, work: impl Future<Output = Result<T>>) -> Option<T> {
    match work.await {
      Ok(value) => Some(value),
      Err(error) => {
        self.failed.borrow_mut().insert(entry.path.clone());
        self.fail(&entry.path, &error);
        None
      }
    }
  }

  async fn make_folder(&self, Entry { path, .. }: &Entry) -> Result<()> {
    let to = join(&self.dst, path);
    match look_for(&to).await? {
      Some(there) if !is_folder(&there) => Err("DST has something else of this name".into()),
      Some(_) => Ok(()),
      None => {
        self.unlock(path).await?;
        Ok(op::mkdirat(libc::AT_FDCWD, &to, 0o700).await?)
      }
    }
  }

  /// A folder that nobody may write to gets its mode back at the end.
  async fn unlock(&self, below: &Path) -> Result<()> {
    let Some(parent) = below.parent() else {
      return Ok(()); // It is the root.
    };
    let to = join(&self.dst, parent);
    match look_for(&to).await? {
      Some(there) if is_folder(&there) && there.mode & 0o200 == 0 => {
        Ok(fs::set_permissions(&to, Permissions::from_mode(permissions(&there) | 0o200))?)
      }
      _ => Ok(()),
    }
  }

  /// Whether DST does not have it.
  async fn differs(&self, Entry { path, stat }: &Entry) -> Result<bool> {
    let to = join(&self.dst, path);
    Ok(match look_for(&to).await? {
      Some(there) if there.mode != stat.mode => true,
      Some(_) if is_link(stat) => fs::read_link(&to)? != fs::read_link(join(&self.src, path))?,
      Some(there) => there.size != stat.size || !same_time(&there, stat),
      None => true,
    })
  }

  /// A file or link, under a name of its own first.
  async fn copy(&self, entry: &Entry) {
    let made = async {
      let temporary = self.temporary();
      let made = match is_link(&entry.stat) {
        true => self.make_link(entry, &temporary).await,
        false => self.copy_file(entry, &temporary).await,
      };
      let cwd = libc::AT_FDCWD;
      match made {
        Ok(()) => self.rename(&temporary, &entry.path).await,
        Err(error) => {
          let _ = op::unlinkat(cwd, &temporary, 0).await; // It may not have come so far.
          Err(error)
        }
      }
    };
    if self.guard(entry, made).await.is_some() {
      self.progress.count();
    }
  }

  /// Gives what is whole its name.
  async fn rename(&self, temporary: &Path, path: &Path) -> Result<()> {
    self.unlock(path).await?;
    let to = join(&self.dst, path);
    Ok(op::renameat(libc::AT_FDCWD, temporary, libc::AT_FDCWD, to, 0).await?)
  }

  async fn make_link(&self, Entry { path, stat }: &Entry, temporary: &Path) -> Result<()> {
    let target = fs::read_link(join(&self.src, path))?;
    op::symlinkat(target, libc::AT_FDCWD, temporary).await?;
    if self.is_root {
      lchown(temporary, Some(stat.uid), Some(stat.gid))?;
    }
    Ok(())
  }

  async fn copy_file(&self, Entry { path, .. }: &Entry, temporary: &Path) -> Result<()> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW;
    let from = op::openat(libc::AT_FDCWD, join(&self.src, path), flags, 0).await?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let copied = match op::openat(libc::AT_FDCWD, temporary, flags, 0o600).await {
      Ok(to) => {
        let copied = self.copy_open(from, to, temporary).await;
        op::close(to).await?;
        copied
      }
      Err(error) => Err(error.into()),
    };
    op::close(from).await?;
    copied
  }

  async fn copy_open(&self, from: i32, to: i32, temporary: &Path) -> Result<()> {
    let stat = || op::statx(from, "", libc::AT_EMPTY_PATH, libc::STATX_BASIC_STATS);
    let before = stat().await?;
    self.copy_bytes(from, to, &before).await?;
    let after = stat().await?;
    if after.size != before.size || !same_time(&after, &before) {
      return Err("it changed while it was being copied".into());
    }
    self.keep(temporary, &before)?;
    Ok(op::fsync(to).await?)
  }

  async fn copy_bytes(&self, from: i32, to: i32, stat: &Statx) -> Result<()> {
    let sparse = stat.blocks * 512 < stat.size;
    let most = CHUNK.min(stat.size as usize);
    let (mut buffer, mut offset) = (vec![0; most], 0);
    while offset < stat.size {
      let result;
      (result, buffer) = op::read(from, buffer, Some(offset)).await;
      let count = result?;
      if count == 0 {
        break; // It has become shorter.
      }
      let end = offset + count as u64;
      buffer.truncate(count);
      // Zeros that nobody writes are a hole. The last bytes are written: they make the length.
      if !sparse || end >= stat.size || buffer.iter().any(|byte| *byte != 0) {
        while offset < end {
          let result;
          (result, buffer) = op::write(to, buffer, Some(offset)).await;
          let written = result?;
          buffer.drain(..written);
          offset += written as u64;
        }
      }
      offset = end;
      buffer.resize(most, 0);
      self.progress.add(count);
    }
    Ok(())
  }

  /// Owner, time and mode of a file or folder.
  fn keep(&self, path: &Path, stat: &Statx) -> Result<()> {
    if self.is_root {
      chown(path, Some(stat.uid), Some(stat.gid))?;
    }
    let file = File::open(path)?;
    let nsec = Duration::from_nanos(stat.mtime.nsec as u64);
    let time = match stat.mtime.sec {
      sec @ 0.. => SystemTime::UNIX_EPOCH + Duration::from_secs(sec as u64) + nsec,
      sec => SystemTime::UNIX_EPOCH - Duration::from_secs(sec.unsigned_abs()) + nsec,
    };
    file.set_times(FileTimes::new().set_modified(time))?;
    Ok(file.set_permissions(Permissions::from_mode(permissions(stat)))?)
  }

  /// One file under a further name. False: DST has that already.
  async fn hard_link(&self, entry: &Entry, first: &Entry) -> Result<bool> {
    if self.failed.borrow().contains(&first.path) {
      return Err(format!("nor could '{}' be copied", first.path.display()).into());
    }
    let (from, to) = (join(&self.dst, &first.path), join(&self.dst, &entry.path));
    let ino = |stat: Option<Statx>| stat.map(|stat| stat.ino);
    if ino(look_for(&from).await?) == ino(look_for(&to).await?) {
      return Ok(false);
    }
    self.make_temporary().await?;
    let (temporary, cwd) = (self.temporary(), libc::AT_FDCWD);
    op::linkat(cwd, from, cwd, &temporary, 0).await?;
    self.rename(&temporary, &entry.path).await?;
    Ok(true)
  }

  /// Mode and time of a folder; then it goes to the disk, and with it the names in it.
  async fn finish_folder(&self, Entry { path, stat }: &Entry) -> Result<()> {
    let to = join(&self.dst, path);
    match look_for(&to).await? {
      Some(there) if is_folder(&there) => {
        if there.mode == stat.mode && same_time(&there, stat) {
          return Ok(());
        }
      }
      _ => return Ok(()), // That was told already.
    }
    let fd = op::openat(libc::AT_FDCWD, &to, libc::O_DIRECTORY, 0).await?;
    let kept = self.keep(&to, stat);
    let synced = op::fsync(fd).await;
    op::close(fd).await?;
    kept.and(synced.map_err(Into::into))
  }

  /// A name that no other file has, nor one of a run that was killed.
  fn temporary(&self) -> PathBuf {
    let serial = self.serial.replace(self.serial.get() + 1);
    self.dst.join(TEMPORARY).join(format!("{}-{serial}", std::process::id()))
  }

  async fn make_temporary(&self) -> Result<()> {
    let folder = self.dst.join(TEMPORARY);
    if look_for(&folder).await?.is_none() {
      self.unlock(Path::new(TEMPORARY)).await?;
      op::mkdirat(libc::AT_FDCWD, &folder, 0o700).await?;
    }
    Ok(())
  }

  /// With what runs that were killed have left behind.
  async fn remove_temporary(&self) -> Result<()> {
    let folder = self.dst.join(TEMPORARY);
    match look_for(&folder).await? {
      None => return Ok(()),
      Some(there) if is_folder(&there) => {}
      // What a link leads to is not ours.
      Some(_) => return Err(format!("not a folder: '{}'", folder.display()).into()),
    }
    for name in tree::names(&folder)? {
      op::unlinkat(libc::AT_FDCWD, folder.join(name), 0).await?;
    }
    Ok(op::unlinkat(libc::AT_FDCWD, folder, libc::AT_REMOVEDIR).await?)
  }
}

fn supported(stat: &Statx) -> bool {
  is_file(stat) || is_folder(stat) || is_link(stat)
}

/// Everything under its first name, and the further names, each with the entry that has the first.
fn hard_links(entries: &[Entry]) -> (Vec<&Entry>, Vec<(&Entry, &Entry)>) {
  let (mut firsts, mut names, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
  for entry in entries.iter().filter(|entry| !is_folder(&entry.stat)) {
    let Entry { stat, .. } = entry;
    let first = match is_file(stat) && stat.nlink > 1 {
      true => *seen.entry((stat.dev_major, stat.dev_minor, stat.ino)).or_insert(entry),
      false => entry,
    };
    match std::ptr::eq(first, entry) {
      true => firsts.push(entry),
      false => names.push((entry, first)),
    }
  }
  (firsts, names)
}

/// The steps with their progress on the screen.
async fn drawn<T>(progress: &Rc<Progress>, quiet: bool, steps: impl Future<Output = T>) -> T {
  if quiet {
    return steps.await;
  }
  let drawing = progress.clone();
  let drawing = spawn(async move { drawing.run().await });
  let ended = steps.await;
  drawing.abort();
  progress::clear();
  ended
}

/// The two folders as they are: without links, `..` and slashes at the end.
fn checked(src: &Path, dst: &Path) -> std::result::Result<(PathBuf, PathBuf), String> {
  let real =
    |path: &Path| fs::canonicalize(path).map_err(|error| format!("{error}: '{}'", path.display()));
  let from = real(src)?;
  let to = match dst.symlink_metadata() {
    Ok(_) => real(dst)?,
    Err(_) => {
      let parent = dst.parent().filter(|parent| !parent.as_os_str().is_empty());
      let name = dst.file_name().ok_or(format!("not a name for a folder: '{}'", dst.display()))?;
      real(parent.unwrap_or(Path::new(".")))?.join(name)
    }
  };
  if !from.is_dir() {
    return Err(format!("SRC is not a folder: '{}'", src.display()));
  }
  if to.exists() && !to.is_dir() {
    return Err(format!("DST is not a folder: '{}'", dst.display()));
  }
  if to.starts_with(&from) {
    return Err(format!("DST is inside of SRC: '{}'", to.display()));
  }
  Ok((from, to))
}

#[derive(Default)]
struct Flags {
  verify: bool,
  quiet: bool,
  help: bool,
}

/// Whether all is there now.
async fn backup(src: PathBuf, dst: PathBuf, flags: Flags) -> Result<bool> {
  let started = Instant::now();
  let mut backup = Backup {
    src,
    dst,
    failures: RefCell::default(),
    progress: Rc::new(Progress::new("", 0, 0)),
    failed: RefCell::default(),
    serial: Cell::new(0),
    is_root: fs::metadata("/proc/self")?.uid() == 0,
  };
  let is_new = look_for(&backup.dst).await?.is_none();
  let fail = |path: &Path, error: &dyn std::fmt::Display| backup.fail(path, error);
  let mut entries = walk(&backup.src, &fail, Path::new(TEMPORARY)).await?;
  let found = entries.len();
  entries.retain(|entry| supported(&entry.stat));
  let copied = backup.run(&entries, flags.quiet).await?;
  if let (true, Some(parent)) = (is_new, backup.dst.parent()) {
    // The name of DST itself lasts as well.
    let parent = op::openat(libc::AT_FDCWD, parent, libc::O_DIRECTORY, 0).await?;
    op::fsync(parent).await?;
    op::close(parent).await?;
  }
  let files: Vec<_> = entries.iter().filter(|entry| !is_folder(&entry.stat)).collect();
  let (bytes, time) = (size(backup.progress.bytes.get() as f64), started.elapsed().as_secs_f64());
  let mut lines = vec![format!("{copied} of {} files copied, {bytes} in {time:.1} s", files.len())];
  if found > entries.len() {
    let count = found - entries.len();
    lines.push(format!("{count} skipped: neither files, folders nor links"));
  }
  if flags.verify {
    let before = backup.failures.borrow().len();
    let bytes = files.iter().filter(|entry| is_file(&entry.stat)).map(|entry| entry.stat.size);
    let reading = Rc::new(Progress::new("verified", bytes.sum(), files.len()));
    let roots = (backup.src.as_path(), backup.dst.as_path());
    let differs = |path: &Path, error: &dyn std::fmt::Display| backup.fail(path, error);
    let comparing = verify::verify(roots, &entries, &reading, &differs);
    drawn(&reading, flags.quiet, comparing).await;
    let found = backup.failures.borrow().len() - before;
    let what = if found == 1 { "difference" } else { "differences" };
    lines.push(format!("{} verified, {found} {what}", size(reading.bytes.get() as f64)));
  }
  if !flags.quiet {
    println!("{}", lines.join("\n"));
  }
  for failure in backup.failures.borrow().iter() {
    eprintln!("backup: {failure}");
  }
  let failures = backup.failures.borrow();
  Ok(failures.is_empty())
}

fn parse() -> std::result::Result<(Vec<PathBuf>, Flags), String> {
  let (mut paths, mut flags) = (Vec::new(), Flags::default());
  for arg in std::env::args_os().skip(1) {
    match arg.to_str() {
      Some("--verify") => flags.verify = true,
      Some("--quiet") => flags.quiet = true,
      Some("-h" | "--help") => flags.help = true,
      Some(option) if option.starts_with('-') => return Err(format!("unknown option '{option}'")),
      _ => paths.push(PathBuf::from(arg)),
    }
  }
  Ok((paths, flags))
}

fn main() {
  let usage = |text: String| -> ! {
    eprintln!("backup: {}", text.trim_end());
    std::process::exit(2);
  };
  let (paths, flags) = parse().unwrap_or_else(|error| usage(error));
  if flags.help {
    print!("{HELP}");
    return;
  }
  let [src, dst] = &paths[..] else {
    usage(format!("two folders are needed\n\n{HELP}"));
  };
  let (src, dst) = checked(src, dst).unwrap_or_else(|error| usage(error));
  let (signals, temporary) = (signals(), dst.join(TEMPORARY));
  let work = async move {
    let work: Pin<Box<dyn Future<Output = _>>> = Box::pin(backup(src, dst, flags));
    let signal = Box::pin(async move {
      op::read(signals, vec![0; 128], None).await.0?;
      // What is in flight ends with the process; what is not whole goes.
      let _ = fs::remove_dir_all(temporary);
      progress::clear();
      eprintln!("backup: interrupted; the same command goes on from here");
      std::process::exit(130);
    });
    race(vec![work, signal]).await
  };
  // Syncs that wait for the disk together share one write of its journal; four threads of the
  // kernel, which is the default, would let four of them wait at a time.
  let threads = MaxWorkers { bounded: AT_ONCE as u32, unbounded: AT_ONCE as u32 };
  let runtime = Runtime::new(Options { max_workers: Some(threads), ..Options::default() });
  match runtime.map_err(Into::into).and_then(|runtime| runtime.run(work)) {
    Ok(true) => {}
    Ok(false) => std::process::exit(1),
    Err(error) => {
      eprintln!("backup: {error}");
      std::process::exit(1);
    }
  }
}

/// A descriptor that tells of Ctrl-C and SIGTERM, which do nothing else from now on.
#[allow(unsafe_code)]
fn signals() -> i32 {
  // SAFETY: I1 is about memory of the ring; these calls end before the set of this frame does.
  unsafe {
    let mut set = std::mem::zeroed();
    libc::sigemptyset(&mut set);
    libc::sigaddset(&mut set, libc::SIGINT);
    libc::sigaddset(&mut set, libc::SIGTERM);
    libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    libc::signalfd(-1, &set, libc::SFD_CLOEXEC)
  }
}
