//! Set-up: the options of a ring, the flags that it is made with, and what it may do.
//! Pair: src/setup.ts
//!
//! What the user named is never stepped down from: it works, or the error says which one does not.
//! Flags of our own are, so that an older kernel gives a ring as well.

use crate::error::{Error, Result};
use crate::sqe::*;
use crate::table::OPS;
use io_uring::register::Restriction;
use io_uring::IoUring;
use std::io;

// PAIR: Options
/// How a ring is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
  /// SQ entries, rounded up to a power of two by the kernel. 1 to 32768.
  pub entries: u32,
  /// CQ entries; 0 is the default of four times the SQ.
  pub cq_entries: u32,
  /// Bytes of regions at most.
  pub memory_limit: usize,
  /// A thread of the kernel's takes the entries, so that a busy ring needs no system call.
  pub sqpoll: Option<Sqpoll>,
  /// A ring whose workers, and whose SQPOLL thread, this one shares. It must be open at set-up.
  pub attach: Option<RingFd>,
  /// Worker threads at most; without it 4 bounded and 64 unbounded ones.
  pub max_workers: Option<MaxWorkers>,
  /// The only operations that this ring may ever run, beside the runtime's own.
  pub allow: Option<Allow>,
}

impl Default for Options {
  fn default() -> Options {
    let (memory_limit, sqpoll, attach, max_workers, allow) = (usize::MAX, None, None, None, None);
    Options { entries: 256, cq_entries: 0, memory_limit, sqpoll, attach, max_workers, allow }
  }
}

// PAIR: Sqpoll
/// The kernel's polling thread. Kernel: 5.13 without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sqpoll {
  /// Milliseconds without work until it sleeps. At least 1.
  pub idle_ms: u32,
  /// The CPU that it stays on.
  pub cpu: Option<u32>,
}

// PAIR: MaxWorkers
/// Threads of io-wq at most. They belong to the thread that submits (with SQPOLL to the kernel's),
/// not to one ring: what was named last holds for all rings of this thread. Kernel: 5.15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxWorkers {
  /// For regular files and block devices, whose operations end by themselves.
  pub bounded: u32,
  /// For everything else: sockets, pipes, terminals.
  pub unbounded: u32,
}

impl Default for MaxWorkers {
  fn default() -> MaxWorkers {
    MaxWorkers { bounded: 4, unbounded: 64 }
  }
}

// PAIR: only-rust RingFd -- TypeScript names the runtime itself, whose descriptor it never shows
/// The descriptor of an open ring, for `Options::attach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFd(pub(crate) i32);

// PAIR: only-rust Allow -- TypeScript takes an array of names; this is what it becomes
/// A set of opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow(u128);

impl Allow {
  /// What every runtime needs for itself.
  const OWN: [u32; 4] = [IORING_OP_NOP, IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE];

  /// The operations with these names (`ringcore::table::OPS`), and the runtime's own: nop, timeout,
  /// cancel, close. A variant allows its opcode.
  pub fn of(names: &[&str]) -> Result<Allow> {
    let mut allow = Allow(0);
    for opcode in Allow::OWN {
      allow = allow.with(opcode);
    }
    for name in names {
      let Some(op) = OPS.iter().find(|op| op.name == *name) else {
        return Err(Error::Invalid(format!("there is no operation {name:?} to allow")));
      };
      allow = allow.with(op.opcode);
    }
    Ok(allow)
  }

  /// The same with one more.
  pub(crate) fn with(self, opcode: u32) -> Allow {
    Allow(self.0 | 1 << opcode)
  }

  /// Whether an opcode is in it.
  pub fn has(self, opcode: u32) -> bool {
    opcode < 128 && self.0 & 1 << opcode != 0
  }
}

/// The flags that a ring was made with, by the kernel's names without IORING_SETUP_.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetupFlags {
  pub single_issuer: bool,
  pub defer_taskrun: bool,
  pub coop_taskrun: bool,
  pub taskrun_flag: bool,
  pub submit_all: bool,
  pub clamp: bool,
  pub no_sqarray: bool,
  /// The user's: SQPOLL, with SQ_AFF where a CPU is named.
  pub sqpoll: Option<Sqpoll>,
  /// The user's: ATTACH_WQ.
  pub attach: Option<RingFd>,
  /// The user's: R_DISABLED, for the allow list.
  pub disabled: bool,
}

impl SetupFlags {
  // PAIR: only-rust SetupFlags.steps -- TypeScript asks for a ring and is told its flags
  /// What is tried, best first. Each step leaves out what an older kernel does not know, so that
  /// the EINVAL of any one flag ends at a set that works, at the latest at what the user named.
  pub fn steps(options: &Options) -> Vec<SetupFlags> {
    let (sqpoll, attach, disabled) = (options.sqpoll, options.attach, options.allow.is_some());
    let named = SetupFlags { sqpoll, attach, disabled, ..SetupFlags::default() };
    let clamp = SetupFlags { clamp: true, ..named };
    let all = SetupFlags { submit_all: true, ..clamp };
    if sqpoll.is_some() {
      // The polling thread runs all task work: the kernel refuses it with COOP and DEFER.
      return vec![SetupFlags { no_sqarray: true, ..all }, all, clamp, named];
    }
    let coop = SetupFlags { coop_taskrun: true, taskrun_flag: true, ..all };
    let defer = SetupFlags { single_issuer: true, defer_taskrun: true, taskrun_flag: true, ..all };
    vec![SetupFlags { no_sqarray: true, ..defer }, defer, coop, all, clamp, named]
  }

  /// The names of those set, for probe().
  pub fn names(&self) -> Vec<&'static str> {
    let all = [
      ("SINGLE_ISSUER", self.single_issuer),
      ("DEFER_TASKRUN", self.defer_taskrun),
      ("COOP_TASKRUN", self.coop_taskrun),
      ("TASKRUN_FLAG", self.taskrun_flag),
      ("SUBMIT_ALL", self.submit_all),
      ("CLAMP", self.clamp),
      ("NO_SQARRAY", self.no_sqarray),
      ("SQPOLL", self.sqpoll.is_some()),
      ("SQ_AFF", self.sqpoll.is_some_and(|sqpoll| sqpoll.cpu.is_some())),
      ("ATTACH_WQ", self.attach.is_some()),
      ("R_DISABLED", self.disabled),
    ];
    all.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect()
  }
}

/// One try at io_uring_setup(2).
pub fn setup(entries: u32, cq_entries: u32, flags: SetupFlags) -> io::Result<IoUring> {
  let mut builder = IoUring::builder();
  // A forked child must not find our rings in its address space.
  builder.dontfork();
  if flags.single_issuer {
    builder.setup_single_issuer();
  }
  if flags.defer_taskrun {
    builder.setup_defer_taskrun();
  }
  if flags.coop_taskrun {
    builder.setup_coop_taskrun();
  }
  if flags.taskrun_flag {
    builder.setup_taskrun_flag();
  }
  if flags.submit_all {
    builder.setup_submit_all();
  }
  if flags.clamp {
    builder.setup_clamp();
  }
  if flags.no_sqarray {
    builder.setup_no_sqarray();
  }
  if let Some(Sqpoll { idle_ms, cpu }) = flags.sqpoll {
    builder.setup_sqpoll(idle_ms);
    if let Some(cpu) = cpu {
      builder.setup_sqpoll_cpu(cpu);
    }
  }
  if let Some(RingFd(fd)) = flags.attach {
    builder.setup_attach_wq(fd);
  }
  if flags.disabled {
    builder.setup_r_disabled();
  }
  if cq_entries > 0 {
    builder.setup_cqsize(cq_entries);
  }
  builder.build(entries)
}

/// Steps down from the best flags on EINVAL, and to fewer entries on ENOMEM (old kernels count the
/// ring against RLIMIT_MEMLOCK; some answered ENOMEM at random). `setup` is a parameter so that
/// tests can refuse.
pub fn step_down<R>(
  options: &Options,
  mut setup: impl FnMut(u32, u32, SetupFlags) -> io::Result<R>,
) -> io::Result<(R, SetupFlags)> {
  let mut entries = options.entries;
  let mut steps = SetupFlags::steps(options).into_iter();
  let mut flags = steps.next().expect("there are several");
  loop {
    // Multishot and bursts make more completions than submissions; overflow works, but is slow.
    let cq_entries = if options.cq_entries > 0 { options.cq_entries } else { entries * 4 };
    match setup(entries, cq_entries, flags) {
      Ok(ring) => return Ok((ring, flags)),
      Err(error) => match (error.raw_os_error(), steps.len()) {
        (Some(libc::EINVAL), 1..) => flags = steps.next().expect("there is one more"),
        (Some(libc::ENOMEM), _) if entries > 8 && options.cq_entries == 0 => entries /= 2,
        _ => return Err(error),
      },
    }
  }
}

// PAIR: only-rust blame -- the kernel's refusals are Rust's to explain
/// Which of the user's flags set-up fails with: the first without which it works. `None`: it fails
/// whatever was named.
pub fn blame<R>(
  options: &Options,
  mut setup: impl FnMut(u32, u32, SetupFlags) -> io::Result<R>,
) -> Option<&'static str> {
  let (affine, cpu) = (options.sqpoll, options.sqpoll.and_then(|sqpoll| sqpoll.cpu));
  let unbound = affine.map(|sqpoll| Sqpoll { cpu: None, ..sqpoll });
  let without = [
    ("SQ_AFF", cpu.is_some(), Options { sqpoll: unbound, ..*options }),
    ("ATTACH_WQ", options.attach.is_some(), Options { attach: None, ..*options }),
    ("SQPOLL", affine.is_some(), Options { sqpoll: None, ..*options }),
    ("R_DISABLED", options.allow.is_some(), Options { allow: None, ..*options }),
  ];
  let named = without.iter().filter(|(_, named, _)| *named);
  let mut blamed = named.filter(|(_, _, options)| step_down(options, &mut setup).is_ok());
  blamed.next().map(|(name, _, _)| *name)
}

/// The error that a user of a named flag gets, with what to do about it.
pub fn refusal_of(flag: &'static str, errno: i32) -> Error {
  let name = crate::error::errno_name(errno);
  let advice = match (flag, errno) {
    ("SQ_AFF", _) => "Name a CPU that is online and in this process's set of CPUs",
    ("ATTACH_WQ", _) => {
      "Attach to a ring that is open, of this process, and polled where this one is"
    }
    ("SQPOLL", libc::EPERM) => "Before Linux 5.13 it needs CAP_SYS_NICE or root",
    ("SQPOLL", _) => "Leave `sqpoll` out: a ring without it submits as well",
    ("R_DISABLED" | "RESTRICTIONS", _) => "Allow lists need Linux 5.10",
    _ => "Leave it out, or use a newer kernel",
  };
  let reason = format!("the kernel refuses {flag}, which was asked for ({name})");
  Error::Unavailable { reason, advice: advice.into() }
}

/// A polling thread keeps the credentials of this moment: in a process that runs with an effective
/// user (or group) that is not its own it would do for one what only the other may.
pub fn check_credentials(real: (u32, u32), effective: (u32, u32)) -> Result<()> {
  if real == effective {
    return Ok(());
  }
  let reason = "SQPOLL is refused to a process whose effective user or group is not its real one";
  let advice = "Make the ring before the identity is changed, or without `sqpoll`";
  Err(Error::Unavailable { reason: reason.into(), advice: advice.into() })
}

#[allow(unsafe_code)]
fn credentials() -> ((u32, u32), (u32, u32)) {
  // SAFETY: I1: none of these calls takes an argument, and none can fail.
  unsafe { ((libc::getuid(), libc::getgid()), (libc::geteuid(), libc::getegid())) }
}

/// Checks what was named, before anything is opened.
pub(crate) fn check(options: &Options) -> Result<()> {
  let invalid = |text: String| Err(Error::Invalid(text));
  if options.entries == 0 || options.entries > 32768 {
    return invalid(format!("entries must be between 1 and 32768, got {}", options.entries));
  }
  if let Some(Sqpoll { idle_ms, .. }) = options.sqpoll {
    if idle_ms == 0 {
      return invalid("sqpoll.idle_ms must be at least 1: the kernel takes 0 for a second".into());
    }
    let (real, effective) = credentials();
    check_credentials(real, effective)?;
  }
  match options.max_workers {
    Some(MaxWorkers { bounded: 0, .. } | MaxWorkers { unbounded: 0, .. }) => {
      invalid("max_workers must be at least 1 of each kind".into())
    }
    _ => Ok(()),
  }
}

/// io_uring_register(2) calls that a ring makes after it was enabled, oldest first: buffers, files,
/// eventfd, probe, their later forms, workers, buffer rings, sync cancel, buffer ring status.
const REGISTER: [u8; 22] =
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26];

/// IOSQE_* that entries may have: all that are known. Without a line about them none may.
const SQE_FLAGS: u8 = 0x7f;

/// Restricts a ring that is still disabled to the allow list, for ever, then enables it.
pub(crate) fn restrict(ring: &IoUring, allow: Allow, supported: &[u32]) -> Result<()> {
  let submitter = ring.submitter();
  let mut calls = REGISTER.to_vec();
  loop {
    let opcodes = supported.iter().filter(|opcode| allow.has(**opcode));
    let mut lines: Vec<Restriction> =
      opcodes.map(|opcode| Restriction::sqe_op(*opcode as u8)).collect();
    lines.push(Restriction::sqe_flags_allowed(SQE_FLAGS));
    lines.extend(calls.iter().map(|call| Restriction::register_op(*call)));
    match submitter.register_restrictions(&mut lines) {
      Ok(()) => break,
      // A call that this kernel does not know yet; nothing here makes it then.
      Err(error) if error.raw_os_error() == Some(libc::EINVAL) && calls.pop().is_some() => {}
      Err(error) => return Err(refusal_of("RESTRICTIONS", errno_of(&error))),
    }
  }
  submitter.register_enable_rings().map_err(|error| refusal_of("R_DISABLED", errno_of(&error)))
}

thread_local! {
  /// This thread's workers have a limit that somebody named.
  static NAMED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Limits io-wq. The default is best effort, and does not replace a limit that was named: without
/// SQPOLL the workers are those of all rings of this thread, with `attach` those of the other ring.
pub(crate) fn limit_workers(ring: &IoUring, options: &Options) -> Result<()> {
  let own = options.sqpoll.is_some() && options.attach.is_none();
  let inherited = !own && (options.attach.is_some() || NAMED.get());
  let Some(named) = options.max_workers.or_else(|| (!inherited).then(MaxWorkers::default)) else {
    return Ok(());
  };
  let mut limits = [named.bounded, named.unbounded];
  let limited = ring.submitter().register_iowq_max_workers(&mut limits);
  if options.max_workers.is_some() {
    limited.map_err(|error| refusal_of("IOWQ_MAX_WORKERS", errno_of(&error)))?;
    NAMED.set(NAMED.get() || options.sqpoll.is_none());
  }
  Ok(())
}

pub(crate) fn errno_of(error: &io::Error) -> i32 {
  error.raw_os_error().unwrap_or(libc::EIO)
}
