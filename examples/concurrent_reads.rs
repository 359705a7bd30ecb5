//! concurrent_reads: many reads of one file at random places, all in flight at once.
//! Beside it: concurrent_reads.ts; without ringcore: concurrent_reads.node.mjs,
//! concurrent_reads.std.rs.
//!
//! ```text
//! cargo run --release --example concurrent_reads -- FILE [READS] [BYTES]   1000 of 4096 bytes
//! ```
//! The places come from a seed: every run, and each of the four programs, reads the same bytes.
//! What is in the page cache is read by this thread, inside the one system call that submits the
//! batch.

use ringcore::{all, op, run, Result};
use std::time::Instant;

const SEED: u32 = 0x2545f491;
/// What one operation moves at most.
const MOST: usize = 1 << 20;

/// Where the reads begin: multiples of `bytes` inside the file.
fn places(length: u64, reads: usize, bytes: usize) -> Vec<u64> {
  let blocks = (length / bytes as u64).max(1);
  let mut state = SEED;
  let next = || {
    state ^= state << 13; // xorshift32
    state ^= state >> 17;
    state ^= state << 5;
    state as u64 % blocks * bytes as u64
  };
  std::iter::repeat_with(next).take(reads).collect()
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
  bytes.iter().fold(0x811c9dc5, |sum, byte| (sum ^ *byte as u32).wrapping_mul(0x01000193))
}

async fn reads(path: String, reads: usize, bytes: usize) -> Result<()> {
  let fd = op::openat(libc::AT_FDCWD, path.as_str(), libc::O_RDONLY, 0).await?;
  let stat = op::statx(fd, "", libc::AT_EMPTY_PATH, libc::STATX_SIZE).await?;
  let buffers = vec![vec![0; bytes]; reads];
  let started = Instant::now();
  let offsets = places(stat.size, reads, bytes).into_iter();
  let operations = offsets.zip(buffers).map(|(offset, buffer)| op::read(fd, buffer, Some(offset)));
  let results = all(operations.collect()).await;
  let seconds = started.elapsed().as_secs_f64();
  let (mut total, mut sum) = (0, 0u32);
  for (count, buffer) in results {
    let count = count?;
    total += count;
    // Added up, so that the order in which the reads end does not matter.
    sum = sum.wrapping_add(hash(&buffer[..count]));
  }
  op::close(fd).await?;
  println!("{reads} reads, {total} bytes");
  println!("checksum {sum:08x}");
  println!("{:.0} reads/s", reads as f64 / seconds);
  Ok(())
}

/// The numbers that may follow the name of the file.
fn number(word: Option<String>, default: usize) -> Option<usize> {
  word.map_or(Some(default), |word| word.parse().ok().filter(|n| (1..100_000_000).contains(n)))
}

fn main() {
  let mut args = std::env::args().skip(1);
  let words = (args.next(), number(args.next(), 1000), number(args.next(), 4096));
  let (Some(path), Some(count), Some(bytes @ ..=MOST)) = words else {
    eprintln!("usage: concurrent_reads FILE [READS] [BYTES, at most {MOST}]");
    std::process::exit(2);
  };
  if let Err(error) = run(reads(path, count, bytes)).and_then(|result| result) {
    eprintln!("concurrent_reads: {error}");
    std::process::exit(1);
  }
}
