//! logger without ringcore: read, write, sync, on a blocked thread.

use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const NEWLINE: u8 = b'\n';
const LONGEST: usize = 256 * 1024;

struct Log {
  path: PathBuf,
  file: File,
  max: u64,
  ack: bool,
  next: usize,
  lines: usize,
  batches: usize,
  files: usize,
}

fn open(path: &Path) -> Result<File> {
  let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
  let parent = path.parent().filter(|parent| *parent != Path::new(""));
  File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
  let size = file.metadata()?.len();
  let mut last = [NEWLINE];
  if size > 0 {
    file.read_at(&mut last, size - 1)?;
  }
  if last != [NEWLINE] {
    file.write_all(&[NEWLINE])?;
  }
  Ok(file)
}

/// std's rename replaces: a name that seems free is taken on trust. Fine for one logger.
fn rotate(log: &mut Log) -> Result<()> {
  let mut to;
  loop {
    to = log.path.clone().into_os_string();
    to.push(format!(".{}", log.next));
    log.next += 1;
    if !Path::new(&to).exists() {
      break;
    }
  }
  std::fs::rename(&log.path, to)?;
  log.file = open(&log.path)?;
  log.files += 1;
  Ok(())
}

fn last_end(lines: &[u8]) -> usize {
  lines.iter().rposition(|byte| *byte == NEWLINE).map_or(0, |at| at + 1)
}

fn fitting(lines: &[u8], size: u64, max: u64) -> usize {
  let room = max.saturating_sub(size);
  if lines.len() as u64 <= room {
    return lines.len();
  }
  match last_end(&lines[..room as usize]) {
    0 if size == 0 => lines.iter().position(|byte| *byte == NEWLINE).map_or(0, |at| at + 1),
    fit => fit,
  }
}

fn store(log: &mut Log, mut lines: &[u8]) -> Result<()> {
  while !lines.is_empty() {
    let fit = fitting(lines, log.file.metadata()?.len(), log.max);
    if fit == 0 {
      rotate(log)?;
      continue;
    }
    let batch;
    (batch, lines) = lines.split_at(fit);
    log.file.write_all(batch)?;
    log.file.sync_data()?;
    log.batches += 1;
    log.lines += batch.iter().filter(|byte| **byte == NEWLINE).count();
    if log.ack {
      println!("{}", log.lines);
    }
  }
  Ok(())
}

fn logger(path: PathBuf, max: u64, ack: bool) -> Result<Log> {
  let file = open(&path)?;
  let mut log = Log { path, file, max, ack, next: 1, lines: 0, batches: 0, files: 1 };
  let mut lines = Vec::new();
  let mut chunk = vec![0; LONGEST];
  loop {
    let count = std::io::stdin().read(&mut chunk[..LONGEST - lines.len()])?;
    lines.extend_from_slice(&chunk[..count]);
    let mut whole = last_end(&lines);
    if lines.len() > whole && (count == 0 || (whole == 0 && lines.len() == LONGEST)) {
      lines.push(NEWLINE);
      whole = lines.len();
    }
    store(&mut log, &lines[..whole])?;
    if count == 0 {
      return Ok(log);
    }
    lines.drain(..whole);
  }
}

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
  match logger(path, max, ack) {
    Ok(Log { lines, batches, files, .. }) => {
      println!("{lines} lines in {batches} batches, {files} files");
    }
    Err(error) => {
      eprintln!("logger: {error}");
      std::process::exit(1);
    }
  }
}
