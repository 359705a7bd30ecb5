//! A file in pieces, and line by line.
//! Pair: __test__/fslines.spec.ts
mod support;

use ringcore::fs::{ChunksOptions, File};
use ringcore::Error;
use std::io::{pipe, Write};
use std::os::fd::OwnedFd;
use support::{folder, many, runtime, start, turns, Folder};

const TEXTS: [&str; 10] = [
  "",
  "\n",
  "one",
  "one\n",
  "one\ntwo",
  "one\r\ntwo\r\n",
  "\r\n\r\n",
  "a\rb\n\rc\r",
  "ä\nöß\r\n€\n😀😀\n\n🙂",
  "no end behind the last line\n\n\n x",
];

/// The lines of a text, said in another way.
fn expected(text: &str) -> Vec<String> {
  let mut lines: Vec<&str> = text.split('\n').collect();
  let last = lines.pop().unwrap();
  let whole = lines.into_iter().map(|line| line.strip_suffix('\r').unwrap_or(line));
  whole.chain((!last.is_empty()).then_some(last)).map(String::from).collect()
}

/// The path of a file that holds these bytes.
fn holding(bytes: &str) -> (Folder, std::path::PathBuf) {
  let directory = folder();
  let path = directory.0.join("file");
  std::fs::write(&path, bytes).unwrap();
  (directory, path)
}

fn sized(size: usize) -> ChunksOptions {
  ChunksOptions { size, ..ChunksOptions::default() }
}

fn between(size: usize, start: Option<u64>, end: Option<u64>) -> ChunksOptions {
  ChunksOptions { size, start, end }
}

async fn pieces_of(file: &File, options: ChunksOptions) -> Vec<String> {
  let mut chunks = file.chunks(options);
  let mut pieces = Vec::new();
  while let Some(piece) = chunks.next().await {
    pieces.push(String::from_utf8(piece.unwrap()).unwrap());
  }
  pieces
}

async fn lines_of(file: &File, options: ChunksOptions) -> Vec<String> {
  let mut lines = file.lines(options);
  let mut got = Vec::new();
  while let Some(line) = lines.next().await {
    got.push(line.unwrap());
  }
  got
}

#[test]
fn a_file_comes_in_pieces_from_its_cursor_on() {
  let (rt, (_directory, path)) = (runtime(), holding("0123456789"));
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    file.read(vec![0; 1]).await.0.unwrap();
    assert_eq!(pieces_of(&file, sized(4)).await, ["1234", "5678", "9"]);
    assert!(pieces_of(&file, sized(4)).await.is_empty(), "the cursor is at the end");
  });
}

#[test]
fn a_file_comes_in_pieces_from_one_offset_to_another() {
  let (rt, (_directory, path)) = (runtime(), holding("0123456789"));
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    for (options, pieces) in [
      (between(4, Some(0), None), &["0123", "4567", "89"][..]),
      (between(4, None, Some(8)), &["0123", "4567"]),
      (between(4, Some(3), Some(9)), &["3456", "78"]),
      (between(99, Some(9), Some(100)), &["9"]),
      (between(99, Some(10), None), &[]),
      (between(99, Some(5), Some(5)), &[]),
      (between(99, Some(6), Some(5)), &[]),
    ] {
      assert_eq!(pieces_of(&file, options).await, pieces, "{options:?}");
    }
    assert_eq!(file.read(vec![0; 1]).await.1, b"0", "the cursor has not moved");
  });
}

#[test]
fn the_next_piece_of_an_offset_is_read_ahead_and_one_of_the_cursor_is_not() {
  let (rt, (_directory, path)) = (runtime(), holding("0123456789"));
  let file = std::rc::Rc::new(rt.run(async move { File::open(&path).await.unwrap() }));
  // The executor has a read of its own in flight, from the first time that it parks.
  let count = |options: ChunksOptions| {
    let before = rt.stats().submitted;
    let file = file.clone();
    rt.run(async move {
      let mut chunks = file.chunks(options);
      assert_eq!(chunks.next().await, Some(Ok(b"0123".to_vec())));
      turns(5).await;
    });
    rt.stats().submitted - before
  };
  let (ahead, cursor) = (count(between(4, Some(0), None)), count(sized(4)));
  assert_eq!((ahead, cursor), (2, 1));
  assert_eq!(rt.run(file.read(vec![0; 9])).0, Ok(6), "behind what was given");
}

#[test]
fn pieces_that_are_not_wanted_any_more_leave_the_file_usable() {
  let (rt, (_directory, path)) = (runtime(), holding("0123456789"));
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    let mut chunks = file.chunks(between(3, Some(0), None));
    assert_eq!(chunks.next().await, Some(Ok(b"012".to_vec())));
    drop(chunks);
    let mut lines = file.lines(between(3, Some(0), None));
    assert_eq!(lines.next().await, Some(Ok("0123456789".into())));
    drop(lines);
    assert_eq!(file.read_to_string().await.unwrap(), "0123456789");
    file.close().await.unwrap();
  });
}

#[test]
fn wrong_sizes_of_pieces_are_errors() {
  let (rt, (_directory, path)) = (runtime(), holding("0123456789"));
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    for size in [0, (1 << 20) + 1] {
      let mut chunks = file.chunks(sized(size));
      assert!(matches!(chunks.next().await, Some(Err(Error::Invalid(_)))));
      assert_eq!(chunks.next().await, None);
      assert!(matches!(file.lines(sized(size)).next().await, Some(Err(Error::Invalid(_)))));
    }
    let mut far = file.chunks(between(9, Some(1 << 63), None));
    assert!(matches!(far.next().await, Some(Err(Error::Invalid(_)))));
    assert_eq!(file.read_to_string().await.unwrap(), "0123456789");
  });
}

#[test]
fn an_error_ends_the_pieces_and_the_lines() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.clone();
  rt.run(async move {
    let directory = File::open(&path).await.unwrap();
    let mut chunks = directory.chunks(ChunksOptions::default());
    assert_eq!(chunks.next().await.unwrap().unwrap_err().code(), "EISDIR");
    assert_eq!(chunks.next().await, None);
    let mut lines = directory.lines(ChunksOptions::default());
    assert_eq!(lines.next().await.unwrap().unwrap_err().code(), "EISDIR");
    assert_eq!(lines.next().await, None);
  });
}

#[test]
fn lines_come_whole_wherever_the_pieces_end() {
  let rt = runtime();
  for text in TEXTS {
    let (_directory, path) = holding(text);
    rt.run(async move {
      let file = File::open(&path).await.unwrap();
      for size in 1..text.len() + 2 {
        let lines = lines_of(&file, between(size, Some(0), None)).await;
        assert_eq!(lines, expected(text), "{text:?} in pieces of {size}");
      }
      let mut lines = file.lines(sized(2));
      for line in expected(text) {
        assert_eq!(lines.next().await, Some(Ok(line)));
      }
      assert_eq!((lines.next().await, lines.next().await), (None, None));
    });
  }
}

#[test]
fn long_lines_and_many_lines_come_whole() {
  let rt = runtime();
  let line = |i: usize| format!("{i} {}", "ö".repeat(i * 7 % 50));
  let mut lines: Vec<String> = (0..many(3000)).map(line).collect();
  lines.push("€".repeat(200_000));
  let (_directory, path) = holding(&lines.join("\r\n"));
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    assert!(lines_of(&file, ChunksOptions::default()).await == lines);
    let mut asked = file.lines(between(64 << 10, Some(0), None));
    for line in &lines[..3] {
      assert_eq!(asked.next().await.unwrap().as_ref(), Ok(line));
    }
  });
}

#[test]
fn lines_of_a_pipe_come_as_they_are_written() {
  let rt = runtime();
  let (reader, mut writer) = pipe().unwrap();
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    let mut lines = file.lines(ChunksOptions::default());
    writer.write_all(b"one\ntw").unwrap();
    assert_eq!(lines.next().await, Some(Ok("one".into())));
    let second = start(Box::pin(lines.next())).await;
    writer.write_all(b"o\nthree").unwrap();
    assert_eq!(second.await, Some(Ok("two".into())));
    drop(writer);
    assert_eq!(lines.next().await, Some(Ok("three".into())));
    assert_eq!(lines.next().await, None);
  });
}
