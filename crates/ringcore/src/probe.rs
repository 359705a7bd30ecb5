//! What this machine can do, and why not.
//! Pair: src/probe.ts

use crate::error::Error;
use crate::kernel::Kernel;
use crate::setup::Options;
use crate::table::OPS;

/// What decides whether io_uring works, as far as a process can see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
  /// `uname -r`.
  pub kernel: String,
  /// kernel.io_uring_disabled: 0, 1 (only a group), 2 (nobody); `None` where there is no such file.
  pub io_uring_disabled: Option<i32>,
  /// RLIMIT_MEMLOCK, soft, bytes.
  pub memlock: u64,
  /// RLIMIT_NOFILE, soft.
  pub nofile: u64,
}

impl Surroundings {
  /// Reads them from /proc and getrlimit(2).
  pub fn read() -> Surroundings {
    let file = |path| std::fs::read_to_string(path).map(|text| text.trim().to_string());
    let disabled = file("/proc/sys/kernel/io_uring_disabled").ok();
    Surroundings {
      kernel: file("/proc/sys/kernel/osrelease").unwrap_or_default(),
      io_uring_disabled: disabled.and_then(|text| text.parse().ok()),
      memlock: limit(libc::RLIMIT_MEMLOCK),
      nofile: limit(libc::RLIMIT_NOFILE),
    }
  }
}

/// musl has no name of its own for the numbers of limits.
#[cfg(target_env = "musl")]
type Resource = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Resource = libc::__rlimit_resource_t;

#[allow(unsafe_code)]
fn limit(resource: Resource) -> u64 {
  let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
  // SAFETY: I1: the kernel fills a struct of this function's own during the call.
  match unsafe { libc::getrlimit(resource, &mut limits) } {
    0 => limits.rlim_cur,
    _ => 0,
  }
}

// PAIR: explain
/// The reason and the advice for an errno of set-up: which wall it was and what to do about it.
pub fn explain(errno: i32, around: &Surroundings) -> (String, String) {
  let name = crate::error::errno_name(errno);
  let (reason, advice) = match (errno, around.io_uring_disabled) {
    (libc::EPERM, Some(2)) => (
      "the sysctl kernel.io_uring_disabled is 2 (nobody may use io_uring)".into(),
      "Ask the administrator for `sysctl kernel.io_uring_disabled=0`".into(),
    ),
    (libc::EPERM, Some(1)) => (
      "the sysctl kernel.io_uring_disabled is 1 (only the group kernel.io_uring_group may)".into(),
      "Join that group, or ask the administrator for `sysctl kernel.io_uring_disabled=0`".into(),
    ),
    (libc::EPERM | libc::EACCES, _) => (
      format!("a seccomp filter or security module refuses io_uring_setup ({name})"),
      "In a container, allow io_uring_setup, io_uring_enter and io_uring_register in its seccomp \
       profile"
        .into(),
    ),
    (libc::ENOSYS, _) => (
      format!(
        "io_uring_setup is not there (ENOSYS): a seccomp filter, or a kernel without io_uring \
         (this one is {}, it came with 5.1)",
        around.kernel
      ),
      "Allow io_uring in the seccomp profile, or use a kernel with CONFIG_IO_URING".into(),
    ),
    (libc::ENOMEM, _) => (
      format!("no memory for the ring (ENOMEM, RLIMIT_MEMLOCK is {} bytes)", around.memlock),
      "Raise `ulimit -l` (a user's rings are counted against it), or free memory".into(),
    ),
    (libc::EMFILE, _) => (
      format!("this process has no file descriptor left (EMFILE, RLIMIT_NOFILE {})", around.nofile),
      "Raise `ulimit -n`, or close files".into(),
    ),
    (libc::ENFILE, _) => (
      "this system has no file descriptor left (ENFILE)".into(),
      "Raise the sysctl fs.file-max, or close files".into(),
    ),
    (libc::EINVAL, _) => (
      format!("the kernel ({}) refuses every set of flags (EINVAL)", around.kernel),
      "Linux 5.6 or newer is needed".into(),
    ),
    _ => (
      format!("io_uring_setup failed with {name} ({errno})"),
      "This sandbox does not provide io_uring".into(),
    ),
  };
  (reason, advice)
}

/// IORING_FEAT_* by name, bit by bit.
pub const FEATURES: [&str; 18] = [
  "SINGLE_MMAP",
  "NODROP",
  "SUBMIT_STABLE",
  "RW_CUR_POS",
  "CUR_PERSONALITY",
  "FAST_POLL",
  "POLL_32BITS",
  "SQPOLL_NONFIXED",
  "EXT_ARG",
  "NATIVE_WORKERS",
  "RSRC_TAGS",
  "CQE_SKIP",
  "LINKED_FILE",
  "REG_REG_RING",
  "RECVSEND_BUNDLE",
  "MIN_TIMEOUT",
  "RW_ATTR",
  "NO_IOWAIT",
];

/// The names of the bits that io_uring_setup(2) sets; none where it is refused.
#[allow(unsafe_code)]
pub fn features() -> Vec<&'static str> {
  // struct io_uring_params: the features are its sixth word.
  let mut params = [0u32; 30];
  // SAFETY: I1: the kernel fills a struct of this function's own during the call.
  let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
  if fd < 0 {
    return Vec::new();
  }
  crate::ring::close_now(fd as i32);
  let set = |bit: &usize| params[5] & 1 << bit != 0;
  (0..FEATURES.len()).filter(set).map(|bit| FEATURES[bit]).collect()
}

// PAIR: Probe
/// The answer of `probe()`.
#[derive(Clone, Debug)]
pub struct Probe {
  pub available: bool,
  pub reason: Option<String>,
  pub advice: Option<String>,
  pub around: Surroundings,
  /// IORING_SETUP_* flags that a ring gets here.
  pub flags: Vec<&'static str>,
  /// IORING_FEAT_* of this kernel.
  pub features: Vec<&'static str>,
  /// Operation name and whether this kernel has it.
  pub ops: Vec<(&'static str, bool)>,
}

// PAIR: probe
/// Makes a small ring, asks it, and closes it again.
pub fn probe() -> Probe {
  let around = Surroundings::read();
  match Kernel::open(&Options { entries: 8, ..Options::default() }) {
    Ok(kernel) => {
      let opcodes: Vec<u8> = OPS.iter().map(|op| op.witness as u8).collect();
      let ops = OPS.iter().map(|op| op.name).zip(kernel.supports(&opcodes)).collect();
      let flags = kernel.flags().names();
      let (reason, advice, features) = (None, None, features());
      Probe { available: true, reason, advice, around, flags, features, ops }
    }
    Err(error) => {
      let (reason, advice) = match error {
        Error::Unavailable { reason, advice } => (reason, advice),
        other => (other.to_string(), String::new()),
      };
      let ops = OPS.iter().map(|op| (op.name, false)).collect();
      let (reason, advice) = (Some(reason), Some(advice));
      let (flags, features) = (Vec::new(), Vec::new());
      Probe { available: false, reason, advice, around, flags, features, ops }
    }
  }
}
