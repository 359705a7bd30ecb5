//! sqpoll without ringcore: a system call that blocks for every read.

use std::os::unix::fs::FileExt;

const BLOCK: usize = 4096;
const BATCH: usize = 32;

fn add(path: &str) -> std::io::Result<(usize, u64)> {
  let file = std::fs::File::open(path)?;
  let mut buffer = vec![0; BLOCK];
  let (mut batches, mut sum, mut end) = (0, 0, false);
  while !end {
    for i in 0..BATCH {
      let count = file.read_at(&mut buffer, ((batches * BATCH + i) * BLOCK) as u64)?;
      sum += buffer[..count].iter().map(|byte| *byte as u64).sum::<u64>();
      end |= count < BLOCK;
    }
    batches += 1;
  }
  Ok((batches, sum))
}

fn main() {
  let Some(path) = std::env::args().nth(1) else {
    eprintln!("usage: sqpoll FILE");
    std::process::exit(2);
  };
  match add(&path) {
    Ok((batches, sum)) => {
      println!("the bytes add up to {sum}");
      println!("{batches} batches, {} system calls", batches * BATCH);
    }
    Err(error) => {
      eprintln!("sqpoll: {error}");
      std::process::exit(1);
    }
  }
}
