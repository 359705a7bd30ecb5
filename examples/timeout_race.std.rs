//! timeout_race without ringcore: a thread reads, another waits for it with a limit. The read that
//! lost cannot be taken back: its thread takes the next bytes.

use std::io::Read;
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

fn main() {
  let Ok(ms) = std::env::args().nth(1).unwrap_or("500".into()).parse() else {
    eprintln!("usage: timeout_race [MILLISECONDS]");
    std::process::exit(2);
  };
  let (sender, receiver) = channel();
  std::thread::spawn(move || {
    let mut buffer = [0; 1024];
    while let Ok(count) = std::io::stdin().read(&mut buffer) {
      if sender.send(count).is_err() {
        return;
      }
    }
  });
  for name in ["timeout", "withTimeout"] {
    match receiver.recv_timeout(Duration::from_millis(ms)) {
      Ok(count) => println!("{name}: {count} bytes"),
      Err(RecvTimeoutError::Timeout) => println!("{name}: timed out"),
      Err(RecvTimeoutError::Disconnected) => println!("{name}: 0 bytes"),
    }
  }
}
