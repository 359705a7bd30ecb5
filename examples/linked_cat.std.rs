//! linked_cat without ringcore: read, write, on a blocked thread.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};

fn main() {
  let Some(path) = std::env::args().nth(1) else {
    eprintln!("usage: linked_cat FILE");
    std::process::exit(2);
  };
  match linked_cat(&path) {
    Err(error) if error.kind() != ErrorKind::BrokenPipe => {
      eprintln!("linked_cat: {error}");
      std::process::exit(1);
    }
    _ => {}
  }
}

fn linked_cat(path: &str) -> std::io::Result<()> {
  let (mut file, mut output) = (File::open(path)?, std::io::stdout());
  let mut buffer = vec![0; 64 * 1024];
  loop {
    match file.read(&mut buffer)? {
      0 => return output.flush(),
      count => output.write_all(&buffer[..count])?,
    }
  }
}
