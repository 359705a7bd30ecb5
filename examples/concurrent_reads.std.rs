//! concurrent_reads without ringcore: the same reads, one after the other, on a blocked thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const SEED: u32 = 0x2545f491;
const MOST: usize = 1 << 20;

fn places(length: u64, reads: usize, bytes: usize) -> Vec<u64> {
  let blocks = (length / bytes as u64).max(1);
  let mut state = SEED;
  let next = || {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    state as u64 % blocks * bytes as u64
  };
  std::iter::repeat_with(next).take(reads).collect()
}

fn hash(bytes: &[u8]) -> u32 {
  bytes.iter().fold(0x811c9dc5, |sum, byte| (sum ^ *byte as u32).wrapping_mul(0x01000193))
}

fn reads(path: &str, reads: usize, bytes: usize) -> std::io::Result<()> {
  let file = File::open(path)?;
  let mut buffers = vec![vec![0; bytes]; reads];
  let started = Instant::now();
  let mut counts = Vec::new();
  for (offset, buffer) in places(file.metadata()?.len(), reads, bytes).iter().zip(&mut buffers) {
    counts.push(file.read_at(buffer, *offset)?);
  }
  let seconds = started.elapsed().as_secs_f64();
  let total: usize = counts.iter().sum();
  let hashes = counts.iter().zip(&buffers).map(|(count, buffer)| hash(&buffer[..*count]));
  println!("{reads} reads, {total} bytes");
  println!("checksum {:08x}", hashes.fold(0u32, u32::wrapping_add));
  println!("{:.0} reads/s", reads as f64 / seconds);
  Ok(())
}

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
  if let Err(error) = reads(&path, count, bytes) {
    eprintln!("concurrent_reads: {error}");
    std::process::exit(1);
  }
}
