// The programs of examples/, each in both languages and without ringcore, as a user runs them.
// PAIR: only-typescript examples.spec.ts -- the Rust programs are run here, too

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';

const root = fileURLToPath(new URL('..', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'ringcore-examples-'));
test.after.always(() => rmSync(dir, { recursive: true, force: true }));

/** The four programs of an example: name, command, first arguments. */
function programs(t: ExecutionContext, name: string): [string, string, string[]][] {
  const cargo = (example: string) => {
    const built = ['debug', 'release'].map((profile) =>
      join(root, 'target', profile, 'examples', example),
    );
    const path = built.find((each) => existsSync(each));
    if (path === undefined) t.fail(`cargo test builds ${example}`);
    return path ?? '';
  };
  return [
    [`${name}.ts`, process.execPath, [join(root, 'dist/examples', `${name}.js`)]],
    [`${name}.rs`, cargo(name), []],
    [`${name}.node.mjs`, process.execPath, [join(root, 'examples', `${name}.node.mjs`)]],
    [`${name}.std.rs`, cargo(`${name}_std`), []],
  ];
}

interface Ran {
  stdout: Buffer;
  stderr: string;
  status: number | null;
}

/** Runs a program to its end; 60 s at most. An input of null stays open and silent. */
function run(command: string, args: string[], input: string | null = ''): Promise<Ran> {
  const child = spawn(command, args, { timeout: 60_000, killSignal: 'SIGKILL' });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (part) => stdout.push(part));
  child.stderr.on('data', (part) => stderr.push(part));
  child.stdin.on('error', () => {}); // A child that does not read its input closes it.
  if (input !== null) child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', () => child.stdin.destroy());
    child.on('close', (status) => {
      resolve({ stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString(), status });
    });
  });
}

test('linked_cat prints files of every size byte for byte', async (t) => {
  for (const [name, command, args] of programs(t, 'linked_cat')) {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 1_000_003]) {
      const bytes = randomBytes(size);
      const path = join(dir, `${name}-${size}`);
      writeFileSync(path, bytes);
      const ran = await run(command, [...args, path]);
      t.is(ran.status, 0, `${name}: ${ran.stderr}`);
      t.true(ran.stdout.equals(bytes), `${name}: ${size} bytes`);
    }
    const missing = await run(command, [...args, join(dir, 'missing')]);
    t.is(missing.status, 1, name);
    t.regex(missing.stderr, /^linked_cat: .*[Nn]o such file/, name);
    t.is((await run(command, args)).status, 2, name);
  }
});

test('timers end in the order of their times', async (t) => {
  for (const [name, command, args] of programs(t, 'timer')) {
    const ran = await run(command, [...args, '600', '0', '300']);
    t.is(ran.stdout.toString(), '0 ms\n300 ms\n600 ms\n3 timers\n', `${name}: ${ran.stderr}`);
    t.is(ran.status, 0, name);
    t.is((await run(command, [...args, 'soon'])).status, 2, name);
  }
});

test('a read loses against the clock or wins against it', async (t) => {
  for (const [name, command, args] of programs(t, 'timeout_race')) {
    const silent = await run(command, [...args, '50'], null);
    t.is(silent.stdout.toString(), 'timeout: timed out\nwithTimeout: timed out\n', name);
    t.is(silent.status, 0, `${name}: ${silent.stderr}`);
    const spoken = await run(command, [...args, '30000'], 'hello');
    t.is(spoken.stdout.toString(), 'timeout: 5 bytes\nwithTimeout: 0 bytes\n', name);
    t.is(spoken.status, 0, `${name}: ${spoken.stderr}`);
  }
});

test('registered buffers bring the bytes of a file', async (t) => {
  for (const size of [0, 1, 65_536, 262_144, 600_001]) {
    const bytes = randomBytes(size);
    const path = join(dir, `fixed-${size}`);
    writeFileSync(path, bytes);
    const sum = bytes.reduce((all, byte) => all + byte, 0);
    for (const [name, command, args] of programs(t, 'fixed_buffers')) {
      const ran = await run(command, [...args, path]);
      t.is(ran.stdout.toString(), `${size} bytes, sum ${sum}\n`, `${name}: ${ran.stderr}`);
      t.is(ran.status, 0, name);
    }
  }
  for (const [name, command, args] of programs(t, 'fixed_buffers')) {
    t.is((await run(command, [...args, join(dir, 'missing')])).status, 1, name);
    t.is((await run(command, args)).status, 2, name);
  }
});

test('the benchmark of buffers says what a read costs into each kind', async (t) => {
  const path = join(dir, 'bench');
  writeFileSync(path, randomBytes(4096 * 1000));
  const ring = (first: string) => [first, 'in place', 'registered'];
  const kinds = [ring('copied'), ring('owned'), ['node:fs'], ['pread']];
  for (const [i, [name, command, args]] of programs(t, 'fixed_buffer_bench').entries()) {
    const ran = await run(command, [...args, path, '500']);
    const lines = ran.stdout.toString().trimEnd().split('\n');
    const found = lines.map((line) => /^(.{10}) (\d+\.\d{3}) us a read$/.exec(line));
    t.deepEqual(
      found.map((each) => each?.[1]?.trimEnd()),
      kinds[i],
      `${name}: ${ran.stderr}`,
    );
    t.true(
      found.every((each) => Number(each?.[2]) > 0),
      name,
    );
    t.is((await run(command, [...args, path, '1'])).status, 2, name);
  }
});

test('one accept brings every connection', async (t) => {
  for (const [name, command, args] of programs(t, 'multishot_accept')) {
    const ran = await run(command, [...args, '200']);
    t.is(ran.stdout.toString(), '200 connections\n', `${name}: ${ran.stderr}`);
    t.is(ran.status, 0, name);
    t.is((await run(command, [...args, 'many'])).status, 2, name);
  }
});
