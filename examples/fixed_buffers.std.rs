//! fixed_buffers without ringcore: reads into one buffer, one after the other.

use std::fs::File;
use std::io::Read;

const CHUNK: usize = 64 * 1024;

fn main() {
  let Some(path) = std::env::args().nth(1) else {
    eprintln!("usage: fixed_buffers FILE");
    std::process::exit(2);
  };
  match add(&path) {
    Ok(line) => println!("{line}"),
    Err(error) => {
      eprintln!("fixed_buffers: {error}");
      std::process::exit(1);
    }
  }
}

fn add(path: &str) -> std::io::Result<String> {
  let (mut file, mut buffer) = (File::open(path)?, vec![0; CHUNK]);
  let (mut bytes, mut sum) = (0, 0u64);
  loop {
    let count = file.read(&mut buffer)?;
    if count == 0 {
      return Ok(format!("{bytes} bytes, sum {sum}"));
    }
    sum += buffer[..count].iter().map(|byte| *byte as u64).sum::<u64>();
    bytes += count;
  }
}
