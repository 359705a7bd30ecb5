//! logger: appends the lines of standard input to a file, each of them safely on the disk.
//! Beside it: logger.ts; without ringcore: logger.node.mjs, logger.std.rs.
//!
//! ```text
//! some program | cargo run --release --example logger -- [--max BYTES] [--ack] FILE
//!
//! --max BYTES   a file that would grow beyond this is renamed to FILE.1, FILE.2 ... first
//! --ack         prints how many lines are safe, after each batch
//! ```
//! While one batch is on its way to the disk the next lines gather in the pipe; one read takes them
//! all. So the batches grow as the disk slows down, and no queue is needed here. A batch is a write
//! linked to an fdatasync: one submission, and the sync never runs for half a batch.

use ringcore::{op, run, Error, Result};
use std::path::{Path, PathBuf};

const STDIN: i32 = 0;
const STDOUT: i32 = 1;
const POLLIN: u32 = 1;
const NEWLINE: u8 = b'\n';
/// Bytes of one write, which is what keeps lines whole: a longer line is broken here.
const LONGEST: usize = 256 * 1024;

#[derive(Default)]
struct Counts {
  lines: usize,
  batches: usize,
  files: usize,
}

/// The file that lines go to.
struct Log {
  path: PathBuf,
  /// The folder that has its name.
  folder: i32,
  max: u64,
  ack: bool,
  fd: i32,
  /// Of the next full file's name; it may be taken.
  next: usize,
  counts: Counts,
}

fn errno(error: &Error) -> i32 {
  match error {
    Error::Os { errno, .. } => *errno,
    _ => 0,
  }
}

/// Reads once; a descriptor that has nothing yet is polled first.
async fn read(fd: i32, mut buffer: Vec<u8>) -> Result<Vec<u8>> {
  loop {
    let result;
    (result, buffer) = op::read(fd, buffer, None).await;
    match result {
      Err(error) if errno(&error) == libc::EAGAIN => drop(op::poll_add(fd, POLLIN).await?),
      result => {
        buffer.truncate(result?);
        return Ok(buffer);
      }
    }
  }
}

/// Opens the log at its end. Its name has to last as well, hence the sync of the folder.
async fn open(path: &Path, folder: i32) -> Result<i32> {
  // O_APPEND: the kernel finds the end anew for each write, so several loggers may share a file.
  let flags = libc::O_RDWR | libc::O_APPEND | libc::O_CREAT;
  let fd = op::openat(libc::AT_FDCWD, path, flags, 0o666).await?;
  op::fsync(folder).await?;
  let size = size(fd).await?;
  let mut last = vec![NEWLINE];
  if size > 0 {
    let (result, byte) = op::read(fd, last, Some(size - 1)).await;
    (_, last) = (result?, byte);
  }
  // A logger was killed in the middle of a write: what it left is no line, and must not become one
  // together with ours.
  if last != [NEWLINE] {
    op::write(fd, vec![NEWLINE], None).await.0?;
  }
  Ok(fd)
}

async fn size(fd: i32) -> Result<u64> {
  Ok(op::statx(fd, "", libc::AT_EMPTY_PATH, libc::STATX_SIZE).await?.size)
}

/// Appends and syncs. When this ends, the bytes are on the disk.
async fn append(fd: i32, mut lines: Vec<u8>) -> Result<()> {
  loop {
    let ((written, rest), synced) = op::link((op::write(fd, lines, None), op::fdatasync(fd))).await;
    lines = rest;
    lines.drain(..written?);
    match synced {
      // The write was short, which ends the chain: the sync never ran.
      Err(Error::Abort) if !lines.is_empty() => continue,
      synced => return synced,
    }
  }
}

/// Gives the full file another name and opens a new one.
async fn rotate(log: &mut Log) -> Result<()> {
  let mine = op::statx(log.fd, "", libc::AT_EMPTY_PATH, libc::STATX_INO).await?;
  op::close(log.fd).await?;
  match op::statx(libc::AT_FDCWD, &log.path, 0, libc::STATX_INO).await {
    // Another logger may have done it already, and then this name is a new file's.
    Ok(named) if named.ino == mine.ino => while !renamed(log).await? {},
    Ok(_) => {}
    Err(error) if errno(&error) == libc::ENOENT => {} // It is doing it right now.
    Err(error) => return Err(error),
  }
  log.fd = open(&log.path, log.folder).await?;
  log.counts.files += 1;
  Ok(())
}

/// Whether the name was free. Never replaces a file: no line is lost to a race.
async fn renamed(log: &mut Log) -> Result<bool> {
  let mut to = log.path.clone().into_os_string();
  to.push(format!(".{}", log.next));
  log.next += 1;
  let cwd = libc::AT_FDCWD;
  match op::renameat(cwd, &log.path, cwd, to, libc::RENAME_NOREPLACE).await {
    Err(error) if errno(&error) == libc::EEXIST => Ok(false),
    Err(error) if errno(&error) == libc::ENOENT => Ok(true), // Another logger was faster.
    result => result.map(|()| true),
  }
}

fn last_end(lines: &[u8]) -> usize {
  lines.iter().rposition(|byte| *byte == NEWLINE).map_or(0, |at| at + 1)
}

/// How many bytes of whole lines fit into the file. 0: none, it is full.
fn fitting(lines: &[u8], size: u64, max: u64) -> usize {
  let room = max.saturating_sub(size);
  if lines.len() as u64 <= room {
    return lines.len();
  }
  match last_end(&lines[..room as usize]) {
    // A line that is longer than any file gets one for itself.
    0 if size == 0 => lines.iter().position(|byte| *byte == NEWLINE).map_or(0, |at| at + 1),
    fit => fit,
  }
}

/// Brings whole lines to the disk, into new files where the old one is full.
async fn store(log: &mut Log, mut lines: &[u8]) -> Result<()> {
  while !lines.is_empty() {
    let size = if log.max == u64::MAX { 0 } else { size(log.fd).await? };
    let fit = fitting(lines, size, log.max);
    if fit == 0 {
      rotate(log).await?;
      continue;
    }
    let batch;
    (batch, lines) = lines.split_at(fit);
    append(log.fd, batch.to_vec()).await?;
    log.counts.batches += 1;
    log.counts.lines += batch.iter().filter(|byte| **byte == NEWLINE).count();
    if log.ack {
      op::write(STDOUT, format!("{}\n", log.counts.lines).into_bytes(), None).await.0?;
    }
  }
  Ok(())
}

async fn logger(path: PathBuf, max: u64, ack: bool) -> Result<Counts> {
  let parent = path.parent().filter(|parent| *parent != Path::new(""));
  let folder = parent.unwrap_or(Path::new("."));
  let folder = op::openat(libc::AT_FDCWD, folder, libc::O_DIRECTORY, 0).await?;
  let fd = open(&path, folder).await?;
  let counts = Counts { files: 1, ..Counts::default() };
  let mut log = Log { path, folder, max, ack, fd, next: 1, counts };
  let mut held = Vec::new(); // Of a line whose end has not come yet.
  loop {
    let mut lines = held;
    let chunk = read(STDIN, vec![0; LONGEST - lines.len()]).await?;
    lines.extend_from_slice(&chunk);
    let mut whole = last_end(&lines);
    // The last line may come without an end, and a line may be longer than the buffer.
    if lines.len() > whole && (chunk.is_empty() || (whole == 0 && lines.len() == LONGEST)) {
      lines.push(NEWLINE);
      whole = lines.len();
    }
    store(&mut log, &lines[..whole]).await?;
    if chunk.is_empty() {
      return Ok(log.counts);
    }
    held = lines.split_off(whole);
  }
}

/// The command line, or None where it is wrong.
fn parse() -> Option<(PathBuf, u64, bool)> {
  let (mut path, mut max, mut ack) = (None, u64::MAX, false);
  let mut args = std::env::args_os().skip(1);
  while let Some(arg) = args.next() {
    match arg.to_str() {
      Some("--max") => max = args.next()?.to_str()?.parse().ok().filter(|max| *max > 0)?,
      Some("--ack") => ack = true,
      Some(option) if option.starts_with("--") => return None,
      _ if path.is_some() => return None,
      _ => path = Some(PathBuf::from(arg)),
    }
  }
  Some((path?, max, ack))
}

fn main() {
  let Some((path, max, ack)) = parse() else {
    eprintln!("usage: logger [--max BYTES] [--ack] FILE");
    std::process::exit(2);
  };
  match run(logger(path, max, ack)).and_then(|result| result) {
    Ok(Counts { lines, batches, files }) => {
      println!("{lines} lines in {batches} batches, {files} files");
    }
    Err(error) => {
      eprintln!("logger: {error}");
      std::process::exit(1);
    }
  }
}
