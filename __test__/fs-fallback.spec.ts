// PAIR: only-typescript fs-fallback.spec.ts -- the drop-in is TypeScript's alone; here it runs in
// processes that get no ring, or little of anything.

import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { child, program, publicCopy, report, STRESS } from './lifecycle/child.ts';
import { folder } from './support.ts';

interface Backend {
  served: Record<string, unknown>;
  backend: string;
  reason: string | null;
  before: object;
  after: object;
}

const SERVED = {
  write: 7,
  close: undefined,
  read: 'written',
  append: undefined,
  size: 8,
  none: 'ENOENT',
};

/** Everything works, no ring has been made, and the reason says why. */
function served(t: ExecutionContext, found: Backend, reason: RegExp): void {
  // What is undefined does not come through JSON.
  t.deepEqual(found.served, JSON.parse(JSON.stringify(SERVED)));
  t.is(found.backend, 'node');
  t.regex(found.reason ?? '', reason);
  t.deepEqual(found.after, found.before);
}

const filter = (name: 'EPERM' | 'ENOSYS') => [
  'python3',
  program('seccomp.py'),
  String(constants.errno[name]),
];

for (const name of ['EPERM', 'ENOSYS'] as const) {
  test.serial(`under a seccomp filter that answers ${name} node:fs serves`, async (t) => {
    const under = filter(name);
    const found = await report<Backend>(t, 'fs-backend.mjs', [folder(t)], { under });
    served(t, found, new RegExp(`seccomp.*${name}|${name}.*seccomp`));
  });
}

test.serial('with a ring the ring serves', async (t) => {
  const found = await report<Backend>(t, 'fs-backend.mjs', [folder(t)]);
  t.deepEqual(found.served, JSON.parse(JSON.stringify(SERVED)));
  t.is(found.backend, 'io_uring');
  t.is(found.reason, null);
  t.notDeepEqual(found.after, found.before, 'a ring has descriptors and a parker');
});

test.serial('RINGCORE_BACKEND=node asks for node:fs', async (t) => {
  const under = ['env', 'RINGCORE_BACKEND=node'];
  served(
    t,
    await report<Backend>(t, 'fs-backend.mjs', [folder(t)], { under }),
    /RINGCORE_BACKEND=node/,
  );
});

test.serial('another operating system is served by node:fs', async (t) => {
  const found = await report<Backend>(t, 'fs-backend.mjs', [folder(t), 'faked']);
  served(t, found, /sunos/);
});

const [major] = process.versions.node.split('.').map(Number) as [number];
const permission = major < 22 ? '--experimental-permission' : '--permission';

for (const flags of [[], ['--allow-addons']]) {
  const title = `the permission model ${flags.join(' ') || 'without addons'} is not passed by`;
  test.serial(title, async (t) => {
    const root = folder(t);
    const node = [permission, '--allow-fs-read=*', `--allow-fs-write=${root}`, ...flags];
    const stderr = /Permission is an experimental feature|flag --allow-addons must be used with/;
    const how = { node, stderr };
    served(t, await report<Backend>(t, 'fs-backend.mjs', [root], how), /permission|addons/i);
    // A folder that it may not write to.
    const found = await report<Backend>(t, 'fs-backend.mjs', [folder(t)], how);
    t.is(found.served.write, 'ERR_ACCESS_DENIED');
    t.is(found.served.append, 'ERR_ACCESS_DENIED');
    t.is(found.backend, 'node');
  });
}

test.serial('without a native module node:fs serves', async (t) => {
  const file = join(publicCopy(t, false), 'fs-backend.mjs');
  served(t, await report<Backend>(t, file, [folder(t)]), /binary|native|binding/i);
});

/** Answers of both modules to the same questions. */
interface Both {
  uid: number;
  node: Record<string, unknown>[];
  ours: Record<string, unknown>[];
}

test.serial('a user who may not write is told so in the words of Node', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'ringcore-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  chmodSync(root, 0o755);
  for (const side of ['node', 'ours']) {
    mkdirSync(join(root, side, 'closed'), { recursive: true });
    writeFileSync(join(root, side, 'file'), 'content');
    writeFileSync(join(root, side, 'secret'), 'content', { mode: 0o600 });
    writeFileSync(join(root, side, 'closed/file'), 'content');
    writeFileSync(join(root, side, 'open'), 'open');
    chmodSync(join(root, side, 'open'), 0o666);
    chmodSync(join(root, side, 'closed'), 0o700);
  }
  // Root may do everything, so it becomes somebody else.
  t.is(process.getuid?.(), 0, 'this test has to be root');
  const file = join(publicCopy(t), 'fs-limits.mjs');
  const found = await report<Both>(t, file, ['readonly', root], { uid: 65534 });
  t.is(found.uid, 65534);
  const codes = found.node.map(({ code }) => code);
  t.true(codes.filter((code) => code === 'EACCES').length >= 12, 'Node itself is refused');
  t.deepEqual(found.ours, found.node);
});

test.serial('where the lane can have no thread node:fs copies', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'ringcore-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  chmodSync(root, 0o777);
  writeFileSync(join(root, 'from'), 'text');
  t.is(process.getuid?.(), 0, 'this test has to be root');
  const file = join(publicCopy(t), 'fs-limits.mjs');
  interface Found {
    raw: { code: string };
    made: object;
    none: { code: string };
    called: unknown;
    texts: string[];
  }
  // A user of its own, who has no other threads.
  const found = await report<Found>(t, file, ['threadless', root], { uid: 64_321 });
  t.is(found.raw.code, 'ERR_RINGCORE_UNSUPPORTED_OP');
  t.deepEqual(found.made, {});
  t.is(found.none.code, 'ENOENT');
  t.is(found.called, null);
  t.deepEqual(found.texts, ['text', 'text']);
});

test.serial('a full disk is told in the words of Node', async (t) => {
  const root = folder(t);
  const mount = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"';
  const under = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', mount, root];
  const found = await report<Both>(t, 'fs-limits.mjs', ['enospc', root], { under });
  t.true(found.node.filter(({ code }) => code === 'ENOSPC').length >= 3, 'the disk is full');
  t.deepEqual(found.ours, found.node);
});

test.serial('few descriptors end as with Node, and nothing is lost', async (t) => {
  interface Side {
    refused: string;
    none: { code?: string };
    made: { code: string };
    counts: { whole: number; EMFILE: number; wrong: number };
    after: boolean;
  }
  const under = ['sh', '-c', 'ulimit -n 64 && exec "$0" "$@"'];
  const found = await report<{ found: Record<string, Side>; before: number; after: number }>(
    t,
    'fs-limits.mjs',
    ['emfile', folder(t)],
    { under },
  );
  for (const [name, side] of Object.entries(found.found)) {
    t.is(side.refused, 'EMFILE', name);
    // A file that is read alone is opened into a slot of the ring, which takes no descriptor.
    if (name === 'node') t.is(side.none.code, 'EMFILE');
    else t.true([undefined, 'EMFILE'].includes(side.none.code));
    t.is(side.made.code, 'EMFILE', name);
    t.is(side.counts.wrong, 0, name);
    t.is(side.counts.whole + side.counts.EMFILE, 200, name);
    t.true(side.counts.whole > 0 && side.after, name);
  }
  t.is(found.after, found.before);
});

for (const kind of [
  'readFile',
  'writeFile',
  'appendFile',
  'open',
  'stat',
  'rename',
  'failed',
  'aborted',
]) {
  test.serial(`thousands of operations leave nothing behind: ${kind}`, async (t) => {
    interface Seen {
      fds: number;
      rings: number;
      parkers: number;
      resident: number;
    }
    const found = await report<{ before: Seen; after: Seen; count: number }>(
      t,
      'fs-flat.mjs',
      [kind],
      // A young generation as large as Node likes it would be most of what grows.
      { node: ['--expose-gc', '--max-semi-space-size=1'], limit: 120_000 * STRESS },
    );
    const { before, after } = found;
    t.is(found.count, 12_500 * STRESS);
    t.is(after.fds, before.fds);
    t.is(after.rings, before.rings);
    t.is(after.parkers, before.parkers);
    const grown = after.resident - before.resident;
    // The heap itself grows by 7 MiB, at times by 17; 3 KB an operation would be 30.
    t.true(grown <= 24, `${grown} MiB more are resident`);
  });
}

test.serial('forgotten handles are closed, and that is said once', async (t) => {
  interface Found {
    left: number;
    most: number;
    text: string;
    warnings: [string, string][];
  }
  const found = await report<Found>(t, 'fs-forgotten.mjs', [], {
    node: ['--expose-gc'],
    stderr: /RINGCORE_FD_GC/,
  });
  t.true(found.left <= 4, `${found.left} are open`);
  t.true(found.most >= 100);
  t.is(found.text, 'content');
  t.deepEqual(
    found.warnings.map(([code]) => code),
    ['RINGCORE_FD_GC'],
  );
});

test.serial("the end of a worker closes no number that is another thread's", async (t) => {
  // Said on standard error: what fs.closeSync has closed and fs.open had not opened.
  const found = await report<{ fds: number; lost: number[] }>(t, 'fs-numbers.mjs');
  t.deepEqual(found, { fds: 3, lost: [] });
});

test.serial('handles iterate where those of Node do', async (t) => {
  const flag = '--experimental-stream-iter';
  const has = process.allowedNodeEnvironmentFlags.has(flag);
  for (const node of has ? [[], [flag]] : [[]]) {
    const how = { node, stderr: /ExperimentalWarning|^$/ };
    type Found = Record<string, Record<string, unknown>>;
    const found = await report<Found>(t, 'fs-iterates.mjs', [folder(t)], how);
    t.is(found.node?.part, node.length > 0 ? 'text so' : 'absent');
    t.deepEqual(found.ours, found.node);
    t.deepEqual([found['ours open'], found['node open']], [[], []]);
  }
});

const SUITE = ['fs-promises', 'fs-hard', 'fs-fuzz'].map((name) => `__test__/${name}.spec.ts`);

for (const name of ['EPERM'] as const) {
  test.serial(`the suite of the drop-in passes under a filter of ${name}`, async (t) => {
    t.timeout(600_000);
    const [python, ...rest] = filter(name) as [string, ...string[]];
    const cwd = fileURLToPath(new URL('..', import.meta.url));
    const ava = join(cwd, 'node_modules/ava/entrypoints/cli.mjs');
    const env = { ...process.env, RINGCORE_EXPECT: 'node' };
    const args = [...rest, process.execPath, ava, '--tap', ...SUITE];
    const output = await new Promise<string>((resolve) => {
      execFile(python, args, { cwd, env, timeout: 590_000, maxBuffer: 1 << 26 }, (_, stdout) =>
        resolve(stdout),
      );
    });
    const failed = output.split('\n').filter((line) => line.startsWith('not ok'));
    t.deepEqual(failed, [], output);
    t.regex(output, /ok \d+ - fs-promises › node serves this process/);
    const passed = Number(/^# pass (\d+)/m.exec(output)?.[1]);
    t.true(passed > 80, `${passed} passed`);
  });
}

test.serial('an operation that is not allowed goes to node:fs, others do not', async (t) => {
  const { code, stdout, stderr } = await child('fs-gaps.mjs', [folder(t)]);
  t.deepEqual([code, stderr], [0, '']);
  const found = JSON.parse(stdout) as { name: string; submitted: boolean; right: boolean }[];
  for (const { name, submitted, right } of found) {
    t.true(right, name);
    t.is(submitted, name !== 'mkdir' && name !== 'rename', name);
  }
  t.true(found.length >= 5);
});
