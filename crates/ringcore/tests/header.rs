//! Every number that we share with the kernel, compared with the kernel's own header.
// PAIR: only-rust header.rs -- the numbers live in Rust, TypeScript's are generated from them
//!
//! Constants are found by their names in the two tables, so that a new one is compared without a
//! change here. A header older than a constant leaves it to the bindings of the io-uring crate,
//! which are made from a newer kernel's header; what neither has needs a line in `NEWER`.

use ringcore::cqe::{Cqe, CQE_CONSTANTS};
use ringcore::sqe::{Sqe, SQE_CONSTANTS};
use ringcore::table::OPS;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Newer than both witnesses: the name, the kernel that brought it, the line of its header.
const NEWER: &[(&str, &str, &str)] =
  &[("IORING_NOP_TW", "6.16", "#define IORING_NOP_TW (1U << 4)")];

/// Headers that our constants are named after.
const INCLUDES: &str = "#include <stddef.h>\n#include <stdio.h>\n#include <linux/io_uring.h>\n\
  #include <linux/openat2.h>\n#include <linux/stat.h>\n#include <linux/futex.h>\n";

const INSTALL: &str = "A C compiler and linux/io_uring.h are needed to compare our numbers with \
  the kernel's. Debian and Ubuntu: apt install gcc libc6-dev linux-libc-dev; Fedora: dnf install \
  gcc kernel-headers; Alpine: apk add build-base linux-headers.";

/// Runs cc with a program on its standard input.
fn cc(args: &[&str], source: &str) -> Result<String, String> {
  let mut child = Command::new("cc")
    .args(args)
    .args(["-x", "c", "-"])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .map_err(|error| format!("cc: {error}"))?;
  child.stdin.take().unwrap().write_all(source.as_bytes()).map_err(|error| error.to_string())?;
  let output = child.wait_with_output().map_err(|error| error.to_string())?;
  match output.status.success() {
    true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
    false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
  }
}

/// Compiles and runs a main function that prints "name value" lines.
fn printed(body: &str) -> HashMap<String, u64> {
  static NEXT: AtomicU32 = AtomicU32::new(0);
  let name = format!("ringcore-header-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
  let file = std::env::temp_dir().join(name).display().to_string();
  let source = format!("{INCLUDES}int main(void) {{\n{body}  return 0;\n}}\n");
  cc(&["-o", &file], &source).unwrap_or_else(|error| panic!("{error}\n{INSTALL}"));
  let output = Command::new(&file).output().expect("the program was just built");
  std::fs::remove_file(&file).expect("the program was just built");
  assert!(output.status.success());
  let text = String::from_utf8(output.stdout).expect("names and numbers");
  let pair = |line: &str| {
    let (name, value) = line.split_once(' ').expect("a name and a value");
    (name.to_string(), value.parse().expect("a number"))
  };
  text.lines().map(pair).collect()
}

/// Every word of the headers, enumerators and macros.
fn header_words() -> HashSet<String> {
  let mut text = String::new();
  for how in [&["-E", "-P"][..], &["-E", "-dM"]] {
    text += &cc(how, INCLUDES).unwrap_or_else(|error| panic!("{error}\n{INSTALL}"));
  }
  let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
  words.filter(|word| !word.is_empty()).map(String::from).collect()
}

/// The `pub const` numbers of the io-uring crate's bindings.
fn bindings() -> HashMap<String, u64> {
  let args = ["metadata", "--format-version", "1", "--offline", "--locked"];
  let manifest = ["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")];
  let output = Command::new(env!("CARGO")).args(args).args(manifest).output().expect("cargo runs");
  assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
  let text = String::from_utf8_lossy(&output.stdout).into_owned();
  // The one manifest_path with this crate's folder in it; JSON is not worth a dependency here.
  let end = text.split("\"manifest_path\":\"").find_map(|part| {
    let path = part.split('"').next()?;
    let folder = path.strip_suffix("/Cargo.toml")?;
    folder.rsplit('/').next()?.starts_with("io-uring-").then(|| folder.to_string())
  });
  let file = end.expect("the io-uring crate") + "/src/sys/sys_x86_64.rs";
  let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
  let number = |line: &str| {
    let (name, rest) = line.trim().strip_prefix("pub const ")?.split_once(':')?;
    let value = rest.split_once('=')?.1.trim().trim_end_matches(';').parse().ok()?;
    Some((name.to_string(), value))
  };
  text.lines().filter_map(number).collect()
}

/// The shift in `#define NAME (1U << 4)`, as a value.
fn line_value(line: &str) -> u64 {
  let (_, shift) = line.split_once("(1U << ").expect("a flag");
  1 << shift.trim_end_matches(')').parse::<u32>().expect("a shift")
}

#[test]
fn every_constant_has_the_number_that_the_kernels_header_gives_it() {
  let words = header_words();
  let ours: Vec<_> = SQE_CONSTANTS.iter().chain(CQE_CONSTANTS).collect();
  let known: Vec<_> = ours.iter().filter(|constant| words.contains(constant.name)).collect();
  let print = |name: &str| format!("  printf(\"{name} %llu\\n\", (unsigned long long){name});\n");
  let values = printed(&known.iter().map(|constant| print(constant.name)).collect::<String>());
  let (mut compared, mut others) = (0, Vec::new());
  for constant in &ours {
    match values.get(constant.name) {
      Some(value) => {
        assert_eq!(u64::from(constant.value), *value as u32 as u64, "{}", constant.name);
        compared += 1;
      }
      None if constant.name.starts_with("IORING_") || constant.name.starts_with("IOSQE_") => {
        others.push(constant);
      }
      None => {} // A name of our own.
    }
  }
  // As old as io_uring's second year: without them the comparison has read nothing.
  for name in ["IORING_OP_READ", "IORING_OP_ASYNC_CANCEL", "IOSQE_ASYNC", "IORING_CQE_F_MORE"] {
    assert!(values.contains_key(name), "{name} was not found among {compared}");
  }
  let bindings = bindings();
  for name in ["IORING_OP_SPLICE", "IORING_OP_READ"] {
    let both = bindings.get(name).copied();
    assert_eq!(both, printed(&print(name)).get(name).copied(), "the bindings were not read");
  }
  for constant in others {
    let newer = NEWER.iter().find(|(name, ..)| *name == constant.name);
    match (bindings.get(constant.name), newer) {
      (Some(value), _) => assert_eq!(u64::from(constant.value), *value, "{}", constant.name),
      (None, Some((name, kernel, line))) => {
        assert!(line.contains(name), "{name} and {line}");
        assert_eq!(u64::from(constant.value), line_value(line), "{name}");
        println!("{name}: Linux {kernel}, in neither witness, compared with `{line}`");
      }
      (None, None) => panic!("nothing knows {}: a typing error, or NEWER", constant.name),
    }
  }
}

#[test]
fn every_operation_of_the_table_has_an_opcode_that_was_compared() {
  for op in OPS {
    let named = |constant: &&ringcore::sqe::Constant| {
      let theirs = constant.name.starts_with("IORING_OP_");
      constant.value == op.opcode && (theirs || constant.name.starts_with("LANE_OP_"))
    };
    assert!(SQE_CONSTANTS.iter().any(|constant| named(&constant)), "{}", op.name);
  }
  // Opcodes of our own are far from the kernel's, as the newest witness knows them.
  let bindings = bindings();
  let last = bindings["IORING_OP_LAST"];
  let lane = SQE_CONSTANTS.iter().filter(|constant| constant.name.starts_with("LANE_OP_"));
  let lane: Vec<_> = lane.map(|constant| u64::from(constant.value)).collect();
  assert!(!lane.is_empty() && lane.iter().all(|opcode| *opcode > last + 20 && *opcode < 128));
  let mut opcodes: Vec<&str> = SQE_CONSTANTS.iter().map(|constant| constant.name).collect();
  let all = opcodes.len();
  opcodes.sort_unstable();
  opcodes.dedup();
  assert_eq!(opcodes.len(), all, "a name stands twice in the table");
}

/// Offset and size of a field of ours.
macro_rules! fields {
  ($type:ty; $($field:ident $kernel:literal),* $(,)?) => {{
    fn size<T>(_: impl Fn(&$type) -> T) -> usize {
      std::mem::size_of::<T>()
    }
    [$((
      $kernel,
      std::mem::offset_of!($type, $field),
      size(|value: &$type| value.$field),
    ),)*]
  }};
}

#[test]
fn every_field_lies_where_the_kernels_header_puts_it() {
  let sqe = fields! { Sqe;
    opcode "opcode", flags "flags", ioprio "ioprio", fd "fd", off "off", addr "addr", len "len",
    op_flags "rw_flags", user_data "user_data", buf_index "buf_index",
    personality "personality", file_index "file_index", addr3 "addr3", resv "__pad2",
  };
  let cqe = fields! { Cqe; user_data "user_data", res "res", flags "flags" };
  let print = |kind: &str, name: &str| {
    let field = format!("((struct {kind} *)0)->{name}");
    let offset = format!("offsetof(struct {kind}, {name})");
    format!(
      "  printf(\"{kind}.{name} %llu\\n\", (unsigned long long){offset});\n  \
         printf(\"{kind}.{name}.size %llu\\n\", (unsigned long long)sizeof({field}));\n"
    )
  };
  let mut body = String::new();
  for kind in ["io_uring_sqe", "io_uring_cqe"] {
    let size = format!("(unsigned long long)sizeof(struct {kind})");
    body += &format!("  printf(\"{kind} %llu\\n\", {size});\n");
  }
  body.extend(sqe.iter().map(|(name, ..)| print("io_uring_sqe", name)));
  body.extend(cqe.iter().map(|(name, ..)| print("io_uring_cqe", name)));
  let kernel = printed(&body);
  let mut bytes = 0;
  for (kind, fields, size) in
    [("io_uring_sqe", &sqe[..], size_of::<Sqe>()), ("io_uring_cqe", &cqe[..], size_of::<Cqe>())]
  {
    assert_eq!(kernel[kind], size as u64, "{kind}");
    for (name, offset, size) in fields {
      assert_eq!(kernel[&format!("{kind}.{name}")], *offset as u64, "{kind}.{name}");
      assert_eq!(kernel[&format!("{kind}.{name}.size")], *size as u64, "{kind}.{name}");
      bytes += size;
    }
  }
  // No field of ours is left out: together they fill both structs.
  assert_eq!(bytes, size_of::<Sqe>() + size_of::<Cqe>());
}

#[test]
fn features_have_the_bits_of_the_header() {
  use ringcore::probe::FEATURES;
  // A header that is older than a feature says nothing about it.
  let line = |name: &&str| {
    let macro_name = format!("IORING_FEAT_{name}");
    format!("#ifdef {macro_name}\n  printf(\"{name} %u\\n\", {macro_name});\n#endif\n")
  };
  let found = printed(&FEATURES.iter().map(line).collect::<String>());
  for (bit, name) in FEATURES.iter().enumerate() {
    if let Some(value) = found.get(*name) {
      assert_eq!(*value, 1 << bit, "IORING_FEAT_{name}");
    }
  }
  assert!(found.contains_key("EXT_ARG"), "as old as Linux 5.11, and not found in {found:?}");
}
