//! Reads both sides of a backup and compares them. Beside it: verify.ts.

use crate::progress::Progress;
use crate::tree::{each, is_folder, is_link, join, kind, look_for, permissions, Entry, Result};
use ringcore::{all, op};
use std::path::Path;

const CHUNK: usize = 256 * 1024;

/// Compares everything that `entries` names below the two roots; tells of each difference.
pub async fn verify(
  roots: (&Path, &Path),
  entries: &[Entry],
  progress: &Progress,
  differs: &dyn Fn(&Path, &dyn std::fmt::Display),
) {
  each(entries.iter().collect(), async |entry: &Entry| {
    let (from, to) = (join(roots.0, &entry.path), join(roots.1, &entry.path));
    if let Err(error) = one(&from, &to, entry, progress).await {
      differs(&entry.path, &error);
    }
  })
  .await;
}

async fn one(
  from: &Path,
  to: &Path,
  Entry { stat, .. }: &Entry,
  progress: &Progress,
) -> Result<()> {
  let there = look_for(to).await?.ok_or("it is missing")?;
  if kind(&there) != kind(stat) {
    return Err("of another kind".into());
  }
  if is_link(stat) {
    let same = std::fs::read_link(from)? == std::fs::read_link(to)?;
    return if same { Ok(()) } else { Err("another target".into()) };
  }
  if permissions(&there) != permissions(stat) {
    return Err("another mode".into());
  }
  if is_folder(stat) {
    return Ok(());
  }
  compare(from, to, stat.size as usize, progress).await?;
  progress.count();
  Ok(())
}

/// Reads two files side by side; fails where they differ.
async fn compare(from: &Path, to: &Path, length: usize, progress: &Progress) -> Result<()> {
  let from = op::openat(libc::AT_FDCWD, from, libc::O_RDONLY, 0).await?;
  let compared = match op::openat(libc::AT_FDCWD, to, libc::O_RDONLY, 0).await {
    Ok(to) => {
      let compared = compare_bytes(from, to, length, progress).await;
      op::close(to).await?;
      compared
    }
    Err(error) => Err(error.into()),
  };
  op::close(from).await?;
  compared
}

async fn compare_bytes(from: i32, to: i32, length: usize, progress: &Progress) -> Result<()> {
  // What comes from the page cache proves nothing about the disk.
  op::fadvise(to, 0, 0, libc::POSIX_FADV_DONTNEED).await?;
  // One byte more than there should be: then a small file is read at once, and seen to end.
  let most = CHUNK.min(length + 1);
  let mut buffers = vec![vec![0; most], vec![0; most]];
  let mut offset = 0;
  loop {
    let reads = [from, to].into_iter().zip(buffers.drain(..));
    let reads = reads.map(|(fd, buffer)| op::read(fd, buffer, Some(offset)));
    let mut counts = Vec::new();
    for (count, buffer) in all(reads.collect()).await {
      counts.push(count?);
      buffers.push(buffer);
    }
    let least = counts[0].min(counts[1]);
    if buffers[0][..least] != buffers[1][..least] {
      return Err(format!("differs somewhere in the {most} bytes at {offset}").into());
    }
    match least {
      0 if counts[0] == counts[1] => return Ok(()),
      0 => return Err(format!("ends at byte {offset} on one side").into()),
      _ => offset += least as u64,
    }
    progress.add(least);
  }
}
