// PAIR: only-typescript refused.spec.ts -- whole processes are refused here, from their first
// system call on; tests/probe.rs explains each errno without one.

import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import { explain } from '../src/probe.ts';
import { child, NODE, program, RUNTIME, report } from './lifecycle/child.ts';

interface Said {
  code: string;
  reason: string;
  advice: string;
}

interface Refused {
  probe: { available: boolean; backend: string; reason: string; advice: string };
  errors: Record<string, Said | null>;
  before: { others: number };
  after: { others: number };
}

/** Every first use says the same, and nothing stays behind. */
function refused(t: ExecutionContext, found: Refused, reason: RegExp, advice: RegExp) {
  const { probe, errors } = found;
  t.false(probe.available);
  t.is(probe.backend, 'node');
  t.regex(probe.reason, reason);
  t.regex(probe.advice, advice);
  const said = { code: 'ERR_RINGCORE_UNAVAILABLE', reason: probe.reason, advice: probe.advice };
  t.deepEqual(errors, { op: said, run: said, spawn: said });
  // The threads of a runtime's own pool are Node's alone to keep still.
  const { before, after } = found;
  t.deepEqual(RUNTIME === 'node' ? after : { ...after, others: before.others }, before);
}

for (const [name, errno] of [
  ['EPERM', constants.errno.EPERM],
  ['ENOSYS', constants.errno.ENOSYS],
] as const) {
  test.serial(`a seccomp filter that answers ${name} is named as the reason`, async (t) => {
    // Fails loudly where there is no python3 to set the filter.
    execFileSync('python3', ['--version']);
    const under = ['python3', program('seccomp.py'), String(errno)];
    const found = await report<Refused>(t, 'refused.mjs', ['always'], { under });
    refused(t, found, new RegExp(`seccomp.*${name}|${name}.*seccomp`), /seccomp profile/);
  });
}

test.serial('without a free descriptor EMFILE is the reason, and later it works', async (t) => {
  interface Exhausted {
    before: object;
    after: object;
    found: { left: number; works: number | null; error: Said | null; again: number }[];
  }
  const under = ['sh', '-c', 'ulimit -n 64 && exec "$0" "$@"'];
  const { before, after, found } = await report<Exhausted>(t, 'refused.mjs', ['exhaust'], {
    under,
  });
  t.deepEqual(after, before);
  t.deepEqual(
    found.map(({ left, works, again }) => [left, works, again]),
    // The ring needs one, its eventfd another.
    [
      [0, null, 0],
      [1, null, 0],
      [2, 0, 0],
    ],
  );
  for (const { error } of found.slice(0, 2)) {
    t.is(error?.code, 'ERR_RINGCORE_UNAVAILABLE');
    t.regex(error?.reason ?? '', /EMFILE, RLIMIT_NOFILE 64/);
    t.regex(error?.advice ?? '', /ulimit -n/);
  }
});

/** What a program of lifecycle/ needs, where every user may read it: a clone may be private. */
function publicCopy(t: ExecutionContext, name: string): { runtime: string; file: string } {
  const copy = mkdtempSync(join(tmpdir(), 'ringcore-public-'));
  t.teardown(() => rmSync(copy, { recursive: true }));
  const root = join(program('..'), '..');
  const binaries = readdirSync(root).filter((name) => name.endsWith('.node'));
  for (const each of ['dist', 'package.json', 'index.cjs', '__test__/lifecycle', ...binaries]) {
    cpSync(join(root, each), join(copy, each), { recursive: true });
  }
  // So may the runtime that was fetched into somebody's own cache.
  const runtime = join(copy, RUNTIME);
  cpSync(realpathSync(NODE), runtime);
  chmodSync(copy, 0o755);
  return { runtime, file: join(copy, '__test__/lifecycle', name) };
}

test.serial('a user with little locked memory gets a ring, or is told of the limit', async (t) => {
  // Root is not counted and becomes somebody else; anybody else is counted already.
  const own = process.getuid?.() as number;
  const uid = own === 0 ? 65534 : own;
  const become = own === 0 ? { uid } : {};
  const { runtime, file } = publicCopy(t, 'memlock.mjs');
  const under = (limit: number) => ['sh', '-c', `ulimit -l ${limit} && exec "$0" "$@"`];
  const little = await report<Memlock>(t, file, [], { runtime, under: under(64), ...become });
  t.deepEqual(little, { uid, memlock: 64 << 10, bytes: 1 << 20 });
  // Kernels from 5.12 on did not count rings; recent ones (6.18) do again, from the first page on.
  const none = await child(file, [], { runtime, under: under(0), ...become });
  if (none.code === 0) {
    t.like(JSON.parse(none.stdout), { memlock: 0, bytes: 1 << 20 });
  } else {
    t.is(none.code, 1);
    // Deno prints an error without its code.
    if (RUNTIME !== 'deno') t.regex(none.stderr, /ERR_RINGCORE_UNAVAILABLE/);
    t.regex(none.stderr, /ENOMEM, RLIMIT_MEMLOCK is 0 bytes/);
    t.regex(none.stderr, /Raise `ulimit -l`/);
  }
});

test.serial('a low limit of locked memory is named, unregistered memory goes on', async (t) => {
  const become = process.getuid?.() === 0 ? { uid: 65534 } : {};
  const under = ['sh', '-c', 'ulimit -l 512 && exec "$0" "$@"'];
  const { runtime, file } = publicCopy(t, 'registered.mjs');
  const found = await report<Registered>(t, file, [], { runtime, under, ...become });
  t.is(found.code, 'ERR_RINGCORE_MEMORY');
  t.regex(found.message, /1048576 bytes cannot be registered: ENOMEM, RLIMIT_MEMLOCK is 524288/);
  t.regex(found.message, /ulimit -l/);
  t.deepEqual(found.read, { plain: 1 << 20, copied: 1 << 20, registered: 65536 });
});

interface Registered {
  code: string;
  message: string;
  read: { plain: number; copied: number; registered: number };
}

interface Memlock {
  uid: number;
  memlock: number;
  bytes: number;
}

test('the sysctl is named as the reason', (t) => {
  const { EPERM } = constants.errno;
  const [two, forTwo] = explain(EPERM, 2);
  t.regex(two, /kernel\.io_uring_disabled is 2/);
  t.regex(forTwo, /sysctl kernel\.io_uring_disabled=0/);
  t.regex(explain(EPERM, 1)[0], /kernel\.io_uring_disabled is 1.*group/);
  t.regex(explain(EPERM, 0)[0], /seccomp/);
});
