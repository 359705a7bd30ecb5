//! Rust's std: blocking calls on one thread, whatever is asked to be in flight.

use bench_common::*;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

fn repeat(meter: &Meter, mut one: impl FnMut(u64)) {
  loop {
    one(meter.index());
    if !meter.add() {
      return;
    }
  }
}

/// One after the other, each with what is not measured before and behind it.
fn whole(meter: &Meter, mut before: impl FnMut(), mut one: impl FnMut(), mut check: impl FnMut()) {
  loop {
    meter.pause();
    before();
    meter.resume();
    one();
    let more = meter.add();
    meter.pause();
    check();
    meter.resume();
    if !more {
      return;
    }
  }
}

fn cat(settings: &Settings, meter: &Meter) {
  let path = settings.path("big");
  let mut buffer = vec![0; settings.get("chunk")];
  repeat(meter, |_| {
    let mut sum = Sum::default();
    let mut file = File::open(&path).expect("open");
    loop {
      let count = file.read(&mut buffer).expect("read");
      if count == 0 {
        break;
      }
      sum.add(&buffer[..count]);
    }
    sum.check();
  });
}

fn copy(settings: &Settings, meter: &Meter) {
  let source = settings.path("source");
  let target = settings.path(&format!("copied-std-{}", std::process::id()));
  let expected = fs::read(&source).expect("read");
  let over: bool = settings.get("over");
  fs::copy(&source, &target).expect("copy");
  let before = || {
    if !over {
      fs::remove_file(&target).expect("remove");
    }
  };
  let one = || {
    fs::copy(&source, &target).expect("copy");
  };
  whole(meter, before, one, || assert!(expected == fs::read(&target).expect("read")));
  fs::remove_file(&target).expect("remove");
}

fn copy_tree(from: &Path, to: &Path) -> u64 {
  fs::create_dir(to).expect("mkdir");
  let mut bytes = 0;
  for entry in fs::read_dir(from).expect("readdir") {
    let entry = entry.expect("an entry");
    let to = to.join(entry.file_name());
    bytes += match entry.file_type().expect("a type").is_dir() {
      true => copy_tree(&entry.path(), &to),
      false => fs::copy(entry.path(), to).expect("copy"),
    };
  }
  bytes
}

fn cp(settings: &Settings, meter: &Meter) {
  let source = settings.path("tree");
  // They stay, see cp.mjs.
  repeat(meter, |i| {
    let target = settings.path(&format!("copies/std-{}-{i}", std::process::id()));
    let bytes = copy_tree(Path::new(&source), Path::new(&target));
    assert_eq!(bytes, 1000 * 4096, "the copy has another size");
  });
}

fn records(settings: &Settings, meter: &Meter) {
  let file = OpenOptions::new().write(true).open(settings.path("target")).expect("open");
  let block = [7; BLOCK];
  repeat(meter, |i| {
    file.write_all_at(&block, i % 16_384 * BLOCK as u64).expect("write");
    file.sync_data().expect("sync");
  });
}

fn main() {
  let settings = Settings::new();
  let meter = Meter::new(&settings);
  match settings.family.as_str() {
    "readfile" => {
      let size = settings.get("size");
      let paths = settings.small(size);
      repeat(&meter, |i| {
        check_small(&fs::read(&paths[i as usize % paths.len()]).expect("read"), i, size);
      });
    }
    "reads" => {
      let blocks = settings.get("blocks");
      let mut options = OpenOptions::new();
      let file = options.read(true).custom_flags(settings.direct());
      let file = file.open(settings.path("blocks")).expect("open");
      let buffer = aligned(BLOCK);
      repeat(&meter, |i| {
        file.read_exact_at(buffer, block_of(i, blocks) * BLOCK as u64).expect("read");
        check_block(buffer, i, blocks);
      });
    }
    "pwrite" => {
      let file = OpenOptions::new().write(true).open(settings.path("target")).expect("open");
      let block = [7; BLOCK];
      repeat(&meter, |i| {
        file.write_all_at(&block, block_of(i, 16_384) * BLOCK as u64).expect("write");
      });
    }
    "fsync" => records(&settings, &meter),
    "cat" => cat(&settings, &meter),
    "copy" => copy(&settings, &meter),
    "cp" => cp(&settings, &meter),
    "stat" => {
      let paths = settings.small(1024);
      repeat(&meter, |i| {
        let found = fs::metadata(&paths[i as usize % paths.len()]).expect("stat");
        assert_eq!(found.len(), 1024);
      });
    }
    other => panic!("no family {other}"),
  }
  meter.print();
}
