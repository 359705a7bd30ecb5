// Small broken trees, each with one rule broken: pairs.mjs must name the place.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { check } from './pairs.mjs';

const rust = `//! Operations.
//! Pair: src/op.ts

// PAIR: SLOT_SIZE
pub const SLOT_SIZE: usize = 64;

// PAIR: Op
/// SAFETY of all this rests on I1.
#[derive(
  Debug,
)]
pub struct Op<T> {
  value: T,
}

impl<T> Op<T> {
  // PAIR: Op.new -- a free function would do as well
  pub const fn new(value: T) -> Self {
    Op { value }
  }
  // PAIR: Op.wakeByRef
  pub(crate) unsafe fn wake_by_ref(&self) {}
}

// PAIR: only-rust Op.drop -- JavaScript has no
// destructor
impl<T> Drop for Op<T> {
  fn drop(&mut self) {}
}

// PAIR: Context
// PAIR: Poll
pub use std::task::{Context, Poll};
`;

const typescript = `// Operations.
// Pair: crates/ringcore/src/op.rs

// PAIR: SLOT_SIZE
export const SLOT_SIZE = 64;

// PAIR: Op
/** Rests on I1. */
export abstract class Op<T> extends Future<T> {
  // PAIR: Op.new
  constructor(value: T) {
    super();
  }
  // PAIR: Op.wakeByRef
  protected override async wakeByRef(): Promise<void> {}
  // PAIR: only-typescript Op.iterator -- generators need it
  *[Symbol.iterator](): Iterator<T> {}
}

// PAIR: Context
export interface Context {}
// PAIR: Poll
export type Poll = 'not // a comment' | RegExp;
`;

const rustTests = `// PAIR: only-rust -- TypeScript has no threads here
#[test]
fn a_thread_is_refused() {}

#[test]
#[should_panic]
fn a_task_that_wakes_itself_is_polled_again() {}

fn not_a_test() {}

proptest! {
  #[test]
  fn eagain_doesnt_arrive(x in 0..9) {}
}
`;

const typescriptTests = `import test from 'ava';
test('a task that wakes itself is polled again', (t) => t.pass());
test.serial(
  "EAGAIN doesn't arrive",
  (t) => t.pass(),
);
`;

// The line that makes a Rust test one-sided, and the reason in it.
const [oneSidedLine] = /.*PAIR.*\n/.exec(rustTests);
const [oneSidedReason] = / has .* here/.exec(rustTests);

const good = {
  'ARCHITECTURE.md': '# Architecture\n\n- **I1 The kernel sees only our memory.** Always.\n',
  'crates/ringcore/src/op.rs': rust,
  'src/op.ts': typescript,
  'crates/ringcore/tests/op.rs': rustTests,
  '__test__/op.spec.ts': typescriptTests,
  '__test__/lifecycle/exit.spec.ts': "test('exits', () => {});\n",
};

const op = { rs: 'crates/ringcore/src/op.rs', ts: 'src/op.ts' };
const tests = { rs: 'crates/ringcore/tests/op.rs', ts: '__test__/op.spec.ts' };

// Writes the tree with some files changed, and checks it. A change is a new text, undefined for no
// file, or a [from, to] replacement.
function problemsWith(changes = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'ringcore-pairs-'));
  try {
    for (const file of new Set([...Object.keys(good), ...Object.keys(changes)])) {
      let text = file in changes ? changes[file] : good[file];
      if (Array.isArray(text)) {
        assert.ok(good[file].includes(text[0]), `${file} has no ${text[0]}`);
        text = good[file].replace(...text);
      }
      if (text === undefined) continue;
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    return check(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function broken(what, changes, ...expected) {
  const problems = problemsWith(changes).join('\n');
  for (const pattern of expected) assert.match(problems, pattern, what);
}

function fine(what, changes) {
  assert.deepEqual(problemsWith(changes), [], what);
}

fine('the good tree');

// Twins and headers.
broken('no Rust twin', { [op.rs]: undefined }, /^src\/op\.ts:1: its twin .*op\.rs is missing/m);
broken('no TypeScript twin', { [op.ts]: undefined }, /op\.rs:1: its twin src\/op\.ts is missing/);
broken('no header', { [op.ts]: ['// Pair: crates', '// See crates'] }, /op\.ts:1: .*do not say/);
broken('a wrong header', { [op.rs]: ['Pair: src/op.ts', 'Pair: src/of.ts'] }, /op\.rs:1: .*do not/);
broken('a late header', { [op.rs]: `${'\n'.repeat(6)}${rust}` }, /op\.rs:1: .*do not say/);
fine('a file alone', { 'src/trace.ts': '// PAIR: only-typescript trace.ts -- Rust prints it\n' });
fine('a Rust file alone', {
  'crates/ringcore/src/sys.rs': '//! Calls.\n// PAIR: only-rust sys -- TypeScript never calls it\n',
});
broken(
  'alone without a reason',
  { 'src/trace.ts': '// PAIR: only-typescript trace.ts -- because\n' },
  /trace\.ts:1: .*reason of at least three words/,
);
broken(
  'alone, but it has a twin',
  { [op.ts]: `// PAIR: only-typescript op.ts -- Rust has none of it\n${typescript}` },
  /op\.ts:1: says that it has no twin/,
);
fine('the binding beside its own promise', {
  'src/promise.ts': '// PAIR: only-typescript promise.ts -- Rust only fills the list\n',
  'src/binding/promise.rs': '//! Promises.\n',
  'src/binding/ring.rs': '//! The ring.\n',
  'src/lib.rs': '//! The addon.\n',
});
broken(
  'the binding pairs with its mod',
  { 'src/binding/mod.rs': '//! Pair: src/binding.ts\n', 'src/binding.ts': '// Nothing.\n' },
  /src\/binding\.ts:1: .*Pair: src\/binding\/mod\.rs/,
);
broken('index is lib', { 'src/index.ts': '\n' }, /index\.ts:1: its twin .*lib\.rs is missing/);

// Markers.
broken(
  'a hole',
  { [op.ts]: ['// PAIR: SLOT_SIZE\n', ''] },
  /op\.rs:4: SLOT_SIZE has no counterpart/,
);
broken(
  'another order',
  {
    [op.ts]: [
      '// PAIR: Context\nexport interface Context {}\n// PAIR: Poll\nexport type Poll =',
      '// PAIR: Poll\ntype Poll = 1;\n// PAIR: Context\ninterface Context {}\ntype A =',
    ],
  },
  /op\.rs:\d+: Context stands where .*op\.ts:\d+ has Poll|op\.ts:\d+: Poll stands where .*Context/,
);
broken(
  'a wrong name',
  { [op.ts]: ['class Op<T>', 'class Opp<T>'] },
  /op\.ts:7: PAIR: Op, but .*Opp/,
);
broken('a wrong fn', { [op.rs]: ['fn wake_by_ref', 'fn wake'] }, /op\.rs:21: .*declares wake/);
broken('nothing follows', { [op.rs]: `${rust}// PAIR: Last\n` }, /Last, but what follows is not/);
broken(
  'a one-sided name',
  { [op.ts]: ['Op.iterator', 'Op.values'] },
  /op\.ts:16: PAIR: Op\.values, but what follows declares iterator/,
);
broken('a short reason', { [op.ts]: ['-- generators need it', '-- needed'] }, /op\.ts:16: .*three/);
broken('no reason', { [op.ts]: [' -- generators need it', ''] }, /op\.ts:16: .*three words/);
broken(
  'the wrong side',
  { [op.ts]: ['only-typescript', 'only-rust'] },
  /op\.ts:16: only-rust stands/,
);
broken('twice', { [op.ts]: ['PAIR: Poll', 'PAIR: Context'] }, /op\.ts:22: .*line 20 already/);
broken('nonsense', { [op.ts]: ['PAIR: Poll', 'PAIR: the poll'] }, /op\.ts:22: .*not understood/);

// Tests.
broken(
  'a test missing',
  { [tests.ts]: ["test('a task", "t('a task"] },
  /tests\/op\.rs:7: .*no count/,
);
broken('a title', { [tests.ts]: ['polled again', 'polled twice'] }, /op\.spec\.ts:2: .*no counter/);
broken(
  'another order of tests',
  {
    [tests.ts]:
      "test(\"EAGAIN doesn't arrive\", f);\ntest('a task that wakes itself is polled again', f);\n",
  },
  /op\.spec\.ts:1: .* stands where/,
);
broken('one-sided unsaid', { [tests.rs]: [oneSidedLine, ''] }, /op\.rs:2: .*no co/);
broken('one-sided unreasoned', { [tests.rs]: [oneSidedReason, ''] }, /:1: .*three/);
broken(
  'a stray marker',
  { [tests.rs]: ['only-rust -- ', 'only-rust -- a b c\nuse x; //'] },
  /:1: no test/,
);
broken('a test file alone', { [tests.rs]: undefined }, /op\.spec\.ts:1: its twin .* is missing/);
fine('a test file alone, said so', {
  [tests.rs]: undefined,
  [tests.ts]: `// PAIR: only-typescript op -- promises are not in Rust\n${typescriptTests}`,
});

// Invariants.
broken('an unknown one', { [op.ts]: ['Rests on I1', 'Rests on I1, I7'] }, /op\.ts:8: cites I7/);
broken('uncited', { [op.rs]: ['rests on I1', 'rests'] }, /ARCHITECTURE\.md:3: I1 .* rust sources/);
broken('no list', { 'ARCHITECTURE.md': undefined }, /ARCHITECTURE\.md:1: no invariant/);
broken(
  'code is no comment',
  { [op.ts]: ['/** Rests on I1. */', "const I1 = 'I1';"] },
  /I1 is cited nowhere in the typescript/,
);

console.log('pairs.mjs sees every rule broken');
