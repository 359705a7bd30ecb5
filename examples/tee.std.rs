//! tee without ringcore: read, then write to one output after the other, on a blocked thread.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};

fn main() {
  let mut paths: Vec<_> = std::env::args_os().skip(1).collect();
  let first = paths.first().and_then(|word| word.to_str()).unwrap_or_default();
  let append = first == "-a";
  if append || first == "--" {
    paths.remove(0);
  } else if first.starts_with('-') {
    eprintln!("usage: tee [-a] FILE...");
    std::process::exit(2);
  }
  let mut code = 0;
  let mut outputs: Vec<(String, Box<dyn Write>)> = Vec::new();
  outputs.push(("standard output".into(), Box::new(std::io::stdout())));
  for path in &paths {
    let name = path.to_string_lossy().into_owned();
    let mut options = OpenOptions::new();
    match options.write(true).create(true).append(append).truncate(!append).open(path) {
      Ok(file) => outputs.push((name, Box::new(file))),
      Err(error) => {
        eprintln!("tee: '{name}': {error}");
        code = 1;
      }
    }
  }
  let mut buffer = vec![0; 64 * 1024];
  loop {
    let count = match std::io::stdin().read(&mut buffer) {
      Ok(0) => break,
      Ok(count) => count,
      Err(error) => {
        eprintln!("tee: {error}");
        std::process::exit(1);
      }
    };
    outputs.retain_mut(|(name, output)| {
      let Err(error) = output.write_all(&buffer[..count]).and_then(|()| output.flush()) else {
        return true;
      };
      if name == "standard output" && error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(141);
      }
      eprintln!("tee: '{name}': {error}");
      code = 1;
      false
    });
  }
  std::process::exit(code);
}
