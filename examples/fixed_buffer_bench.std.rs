//! fixed_buffer_bench without ringcore: the same reads, one after the other, by pread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const BYTES: usize = 4096;
const DEPTH: usize = 32;
const ROUNDS: usize = 5;

fn bench(path: &str, reads: usize) -> std::io::Result<f64> {
  let (file, mut buffer) = (File::open(path)?, vec![0; BYTES]);
  let mut best = f64::INFINITY;
  for _ in 0..ROUNDS {
    let started = Instant::now();
    for index in 0..reads {
      file.read_at(&mut buffer, (index % 1000 * BYTES) as u64)?;
    }
    best = best.min(started.elapsed().as_secs_f64() * 1e6 / reads as f64);
  }
  Ok(best)
}

fn main() {
  let mut args = std::env::args().skip(1);
  let (path, reads) = (args.next(), args.next().unwrap_or("20000".into()).parse());
  let (Some(path), Ok(reads @ DEPTH..)) = (path, reads) else {
    eprintln!("usage: fixed_buffer_bench FILE [READS, at least {DEPTH}]");
    std::process::exit(2);
  };
  match bench(&path, reads) {
    Ok(time) => println!("{:10} {time:.3} us a read", "pread"),
    Err(error) => {
      eprintln!("fixed_buffer_bench: {error}");
      std::process::exit(1);
    }
  }
}
