// examples/backup: the tree is there, whole, whatever happens on the way.
// PAIR: only-typescript backup.spec.ts -- the Rust program is run here, too

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { programs, type Ran, run as runWhole } from './programs.ts';

/** Runs a program; the lines that it prints when it has taken a second are of a busy machine. */
async function run(...how: Parameters<typeof runWhole>): Promise<Ran> {
  const ran = await runWhole(...how);
  return { ...ran, stderr: ran.stderr.replace(/^\w+ +\d+% {2}.* left\n/gm, '') };
}

const dir = mkdtempSync(join(tmpdir(), 'ringcore-backup-'));
chmodSync(dir, 0o755); // Another user runs it below.
test.after.always(() => {
  execFileSync('chmod', ['-R', 'u+rwX', dir]);
  rmSync(dir, { recursive: true, force: true });
});

let trees = 0;

/** Two folders for a backup; the second is not there yet. */
function folders(): [src: string, dst: string] {
  const base = join(dir, `tree-${trees++}`);
  mkdirSync(join(base, 'src'), { recursive: true });
  return [join(base, 'src'), join(base, 'dst')];
}

/** Names as bytes: what is no UTF-8 would not survive as text. */
const bytesOf = (path: string) => Buffer.from(path, 'latin1');

/** Everything of a tree that a backup keeps, by its name. */
function snapshot(root: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const groups = new Map<string, string>();
  const look = (path: string) => {
    const full = bytesOf(`${root}/${path}`);
    const stat = lstatSync(full, { bigint: true });
    const group = `${stat.dev}:${stat.ino}`;
    const times = { mode: stat.mode, mtime: stat.mtimeNs };
    if (stat.isSymbolicLink()) found[path] = { target: readlinkSync(full, 'latin1') };
    else if (stat.isDirectory()) found[path] = times;
    else if (stat.isFile()) {
      const hash = createHash('sha256').update(readFileSync(full)).digest('hex');
      found[path] = { ...times, hash, same: groups.get(group) ?? path };
      if (!groups.has(group)) groups.set(group, path);
    }
    if (!stat.isDirectory()) return;
    const names = readdirSync(full, { encoding: 'latin1' }).sort();
    for (const name of names) look(path === '.' ? name : `${path}/${name}`);
  };
  look('.');
  return found;
}

/** A tree with one of everything; ends with how many files and links it has. */
function plant(src: string): number {
  const sizes = [0, 1, 4096, 262_143, 262_144, 262_145, 1_048_577, 3_000_000];
  for (const folder of ['a', 'a/b', 'a/b/c', 'empty', 'with space', 'locked']) {
    mkdirSync(join(src, folder));
  }
  const file = (path: string, size: number) => writeFileSync(join(src, path), randomBytes(size));
  for (const [i, size] of sizes.entries()) file(`a/size-${size}`, size + (i % 2));
  for (let i = 0; i < 60; i++) file(`a/b/${i}`, i * 37);
  file('with space/ a name ', 10);
  file('quote\'"\\\n', 10);
  writeFileSync(Buffer.concat([Buffer.from(`${src}/`), Buffer.of(0xff, 0x80, 0x41)]), 'raw');
  symlinkSync('../a/size-1', join(src, 'with space/link'));
  symlinkSync('/nowhere/at all', join(src, 'dangling'));
  symlinkSync(Buffer.of(0xfe, 0x41), join(src, 'raw link'));
  linkSync(join(src, 'a/size-4096'), join(src, 'a/b/c/second name'));
  linkSync(join(src, 'a/size-4096'), join(src, 'third name'));
  linkSync(join(src, 'a/size-0'), join(src, 'empty/none'));
  for (const [i, mode] of [0o600, 0o444, 0o4755, 0o000, 0o777].entries()) {
    chmodSync(join(src, `a/b/${i}`), mode);
  }
  file('locked/in it', 5);
  writeFileSync(join(src, 'sparse'), 'head');
  truncateSync(join(src, 'sparse'), 20_000_000);
  appendFileSync(join(src, 'sparse'), 'tail');
  execFileSync('mkfifo', [join(src, 'fifo')]);
  utimesSync(join(src, 'a/b/7'), 1_000_000_000.123_456, 1_000_000_000.123_456);
  utimesSync(join(src, 'a/b'), 946_684_800, 946_684_800);
  chmodSync(join(src, 'locked'), 0o555);
  return sizes.length + 60 + 2 + 1 + 3 + 3 + 1 + 1;
}

/** That DST is as SRC. Times may differ by what Node's own functions lose of them. */
function same(t: ExecutionContext, src: string, dst: string, name: string, but?: string): void {
  const [wanted, there] = [snapshot(src), snapshot(dst)] as Record<string, { mtime?: bigint }>[];
  for (const [path, entry] of Object.entries(wanted ?? {})) {
    const found = there?.[path];
    if (entry.mtime === undefined || found?.mtime === undefined || path === but) continue;
    const off = found.mtime - entry.mtime;
    t.true(off >= -2000n && off <= 2000n, `${name}: the time of ${path} is off by ${off} ns`);
    found.mtime = entry.mtime;
  }
  for (const each of [wanted, there]) if (but !== undefined) delete each?.[but];
  t.deepEqual(there, wanted, name);
}

const count = (found: Record<string, unknown>) =>
  Object.values(found).filter((each) => /hash|target/.test(Object.keys(each as object).join()))
    .length;

test.serial('a tree comes out the same, and a second run copies nothing', async (t) => {
  for (const [name, command, args] of programs(t, 'backup')) {
    const [src, dst] = folders();
    const files = plant(src);
    t.is(count(snapshot(src)), files);
    const first = await run(command, [...args, src, dst]);
    t.is(first.stderr, '', name);
    t.is(first.status, 0, name);
    const text = first.stdout.toString();
    t.true(text.startsWith(`${files} of ${files} files copied`), `${name}: ${text}`);
    same(t, src, dst, name);
    t.false(existsSync(join(dst, '.backup-tmp')), name);
    if (name.match(/\.ts|backup\.rs/)) {
      t.regex(text, /^\d+ of \d+ files copied, 2\d\.\d MB in \d+\.\d s\n1 skipped: .*\n$/, name);
      t.true(statSync(join(dst, 'sparse')).blocks * 512 < 1_000_000, `${name}: holes stay holes`);
    }
    const before = ['.', 'a', 'a/b/7', 'locked'].map((each) => lstatSync(join(dst, each)));
    const second = await run(command, [...args, `${src}/`, `${dst}//`]);
    t.true(second.stdout.toString().startsWith(`0 of ${files} files copied`), name);
    t.is(second.status, 0, name);
    if (name.match(/\.ts|backup\.rs/)) {
      for (const [i, each] of ['.', 'a', 'a/b/7', 'locked'].entries()) {
        t.is(lstatSync(join(dst, each)).ctimeMs, before[i]?.ctimeMs, `${name}: ${each} untouched`);
      }
    }
    same(t, src, dst, name);
  }
});

test.serial('what has changed is copied again, and only that', async (t) => {
  for (const [name, command, args] of programs(t, 'backup')) {
    const [src, dst] = folders();
    for (const file of ['size', 'time', 'mode', 'same', 'kind']) {
      writeFileSync(join(src, file), `${file} of the first run`);
    }
    symlinkSync('one', join(src, 'target'));
    await run(command, [...args, src, dst]);
    const inode = lstatSync(join(dst, 'same')).ino;
    writeFileSync(join(dst, 'only here'), 'stays');
    appendFileSync(join(src, 'size'), 'more');
    utimesSync(join(src, 'time'), 1, 1);
    chmodSync(join(src, 'mode'), 0o600);
    for (const file of ['kind', 'target']) unlinkSync(join(src, file));
    symlinkSync('size', join(src, 'kind'));
    symlinkSync('two', join(src, 'target'));
    const ran = await run(command, [...args, src, dst]);
    t.true(ran.stdout.toString().startsWith('5 of 6 files copied'), `${name}: ${ran.stdout}`);
    t.is(readFileSync(join(dst, 'only here'), 'utf8'), 'stays', name);
    t.is(lstatSync(join(dst, 'same')).ino, inode, name);
    unlinkSync(join(dst, 'only here'));
    same(t, src, dst, name, '.');
  }
});

/** Starts it, and ends when its temporary folder has come to be. */
async function started(command: string, args: string[], dst: string): Promise<ChildProcess> {
  const child = spawn(command, args, { timeout: 100_000, killSignal: 'SIGKILL' });
  child.stdout.resume();
  const temporary = join(dst, '.backup-tmp');
  const isThere = () => existsSync(temporary) && readdirSync(temporary).length > 0;
  while (!isThere() && child.exitCode === null) await wait(1);
  return child;
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.on('exit', () => resolve());
  });

/** Files of some size each, in folders of some. */
function many(src: string, files: number, size: number): void {
  for (let i = 0; i < files; i++) {
    const folder = join(src, `folder ${i % 7}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, String(i).padStart(4, '0')), randomBytes(size + i));
  }
}

/** The files of DST that are under their own names, all of which must be whole. */
function finished(
  t: ExecutionContext,
  src: string,
  dst: string,
  name: string,
): Map<string, number> {
  const found = new Map<string, number>();
  for (const folder of existsSync(dst) ? readdirSync(dst) : []) {
    if (folder === '.backup-tmp') continue;
    for (const file of readdirSync(join(dst, folder))) {
      const path = join(folder, file);
      const same = readFileSync(join(dst, path)).equals(readFileSync(join(src, path)));
      t.true(same, `${name}: ${path} has its name but not its bytes`);
      found.set(path, lstatSync(join(dst, path)).ino);
    }
  }
  return found;
}

test.serial('killed at any moment it goes on where it was', async (t) => {
  const kills = process.env.RINGCORE_STRESS === '1' ? 40 : 4;
  for (const [name, command, args] of programs(t, 'backup')) {
    const [src, dst] = folders();
    many(src, 400, 100_000);
    let before = new Map<string, number>();
    for (let i = 1; i <= kills && before.size < 400; i++) {
      const child = await started(command, [...args, src, dst], dst);
      await wait((i * 13) % 60);
      child.kill('SIGKILL');
      await ended(child);
      if (i === 1) t.is(child.signalCode, 'SIGKILL', `${name}: it was still at work`);
      const now = finished(t, src, dst, name);
      for (const [path, ino] of before) t.is(now.get(path), ino, `${name}: ${path} is kept`);
      before = now;
    }
    const last = await run(command, [...args, src, dst]);
    t.is(last.status, 0, `${name}: ${last.stderr}`);
    const copied = Number.parseInt(last.stdout.toString(), 10);
    t.is(copied, 400 - before.size, `${name}: only the others are copied`);
    for (const [path, ino] of before) t.is(lstatSync(join(dst, path)).ino, ino, name);
    same(t, src, dst, name);
  }
});

test.serial('interrupted it says so and gives no half of a file its name', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const [src, dst] = folders();
      many(src, 64, 2_000_000);
      const child = await started(command, [...args, src, dst], dst);
      let text = '';
      child.stderr?.on('data', (part) => {
        text += part;
      });
      child.kill(signal);
      await new Promise((resolve) => child.on('close', resolve));
      t.is(child.exitCode, 130, name);
      t.regex(text, /^backup: interrupted; the same command goes on from here\n$/m, name);
      finished(t, src, dst, name);
      t.is((await run(command, [...args, src, dst])).status, 0, name);
      same(t, src, dst, name);
    }
  }
});

test.serial('verify reads both sides and tells what differs', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    const [src, dst] = folders();
    plant(src);
    const good = await run(command, [...args, '--verify', src, dst]);
    t.is(good.stderr, '', name);
    t.is(good.status, 0, name);
    t.regex(good.stdout.toString(), /\n2\d\.\d MB verified, 0 differences\n$/, name);
    // Same size, same time: only the bytes tell.
    const bad = join(dst, 'a/size-3000000');
    const { mtimeMs } = statSync(bad);
    const bytes = readFileSync(bad);
    bytes[2_999_999]! ^= 1;
    writeFileSync(bad, bytes);
    utimesSync(bad, mtimeMs / 1000, mtimeMs / 1000);
    const found = await run(command, [...args, '--verify', src, dst]);
    t.is(found.status, 1, name);
    t.regex(found.stdout.toString(), /^0 of .*\n.*\n2\d\.\d MB verified, 1 difference\n$/, name);
    t.is(
      found.stderr,
      `backup: '${join(src, 'a/size-3000000')}': ` +
        'differs somewhere in the 262144 bytes at 2883584\n',
      name,
    );
  }
});

test.serial('files that cannot be copied are listed, the others are copied', async (t) => {
  for (const [name, command, args] of programs(t, 'backup')) {
    const [src, dst] = folders();
    for (const file of ['good', 'in the way', 'other']) writeFileSync(join(src, file), file);
    mkdirSync(join(src, 'folder'));
    writeFileSync(join(src, 'folder/below'), 'below');
    mkdirSync(join(dst, 'in the way/full'), { recursive: true });
    writeFileSync(join(dst, 'folder'), 'a file');
    const ran = await run(command, [...args, src, dst]);
    t.is(ran.status, 1, name);
    t.is(readFileSync(join(dst, 'good'), 'utf8'), 'good', name);
    t.is(readFileSync(join(dst, 'other'), 'utf8'), 'other', name);
    t.is(readFileSync(join(dst, 'folder'), 'utf8'), 'a file', name);
    t.true(existsSync(join(dst, 'in the way/full')), name);
    const told = ran.stderr.trimEnd().split('\n');
    t.true(
      told.every((line) => /^backup: '.*(in the way|folder).*': /.test(line)),
      ran.stderr,
    );
    t.true(
      ['in the way', 'folder'].every((word) => ran.stderr.includes(word)),
      ran.stderr,
    );
    t.false(existsSync(join(dst, '.backup-tmp')), name);
  }
});

test.serial('a file that vanishes or changes meanwhile is told, not half copied', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    const [src, dst] = folders();
    for (let i = 10; i < 60; i++) writeFileSync(join(src, `${i}`), randomBytes(1_000_000));
    const [grows, goes] = [join(src, '00 grows'), join(src, 'zz goes')];
    writeFileSync(grows, randomBytes(40_000_000));
    writeFileSync(goes, 'not for long');
    const child = spawn(command, [...args, src, dst], { timeout: 60_000 });
    let text = '';
    child.stderr.on('data', (part) => {
      text += part;
    });
    child.stdout.resume();
    while (!existsSync(join(dst, '.backup-tmp'))) await wait(1);
    unlinkSync(goes);
    const growing = setInterval(() => appendFileSync(grows, 'more'), 5);
    await new Promise((resolve) => child.on('close', resolve));
    clearInterval(growing);
    t.is(child.exitCode, 1, `${name}: ${text}`);
    const told = text.split('\n').filter((line) => line.startsWith('backup: '));
    t.is(told.length, 2, text);
    t.true(text.includes(`backup: '${grows}': it changed while it was being copied\n`), text);
    t.regex(text, /^backup: '.*zz goes': ENOENT: .*, open '.*zz goes'$/m, name);
    t.deepEqual(
      readdirSync(dst),
      readdirSync(src).filter((file) => file !== '00 grows'),
      name,
    );
  }
});

test.serial('what another user may not read is told', async (t) => {
  if (process.getuid?.() !== 0) {
    t.log('this test needs root, to become somebody else');
    t.pass();
    return;
  }
  const nobody = 65534;
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    const [src, dst] = folders();
    for (const file of ['mine', 'secret']) writeFileSync(join(src, file), file);
    mkdirSync(join(src, 'private'));
    chmodSync(join(src, 'secret'), 0o600);
    chmodSync(join(src, 'private'), 0o700);
    mkdirSync(dst);
    chmodSync(dst, 0o777);
    const script = `
import subprocess, sys
who = {'user': ${nobody}, 'group': ${nobody}, 'extra_groups': []}
sys.exit(subprocess.run(sys.argv[1:], **who).returncode)`;
    const ran = await run('python3', ['-c', script, command, ...args, src, dst]);
    t.is(ran.status, 1, name);
    const told = ran.stderr.split('\n');
    t.true(
      told.some((line) => line.includes(`'${join(src, 'secret')}': EACCES`)),
      ran.stderr,
    );
    t.true(
      told.some((line) => /private': .*[Pp]ermission denied/.test(line)),
      ran.stderr,
    );
    t.is(readFileSync(join(dst, 'mine'), 'utf8'), 'mine', name);
    t.deepEqual(readdirSync(dst), ['mine', 'private'], name);
  }
});

test.serial('folders that are locked are copied into, and locked again', async (t) => {
  const nobody = 65534;
  const script = `
import subprocess, sys
nobody = {'user': ${nobody}, 'group': ${nobody}, 'extra_groups': []}
who = nobody if ${process.getuid?.()} == 0 else {}
sys.exit(subprocess.run(sys.argv[1:], **who).returncode)`;
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    const [src, dst] = folders();
    chmodSync(join(src, '..'), 0o777);
    mkdirSync(join(src, 'locked/below'), { recursive: true });
    writeFileSync(join(src, 'locked/one'), 'one');
    for (const folder of ['locked/below', 'locked', '.']) chmodSync(join(src, folder), 0o555);
    const backup = () => run('python3', ['-c', script, command, ...args, src, dst]);
    t.is((await backup()).status, 0, name);
    same(t, src, dst, name);
    writeFileSync(join(src, 'locked/below/two'), 'two');
    mkdirSync(join(src, 'locked/new'));
    linkSync(join(src, 'locked/one'), join(src, 'locked/new/one'));
    const again = await backup();
    t.is(again.stderr, '', name);
    t.is(again.status, 0, name);
    same(t, src, dst, name);
  }
});

test.serial('the temporary folder is neither copied nor followed', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    const [src, dst] = folders();
    for (const folder of ['.backup-tmp', 'below/.backup-tmp']) {
      mkdirSync(join(src, folder), { recursive: true });
      writeFileSync(join(src, folder, 'file'), 'file');
    }
    const ran = await run(command, [...args, src, dst]);
    t.is(ran.status, 1, name);
    const reserved = 'this name is reserved for files that are not whole yet';
    t.is(ran.stderr, `backup: '${join(src, '.backup-tmp')}': ${reserved}\n`, name);
    t.deepEqual(readdirSync(dst), ['below'], name);
    t.is(readFileSync(join(dst, 'below/.backup-tmp/file'), 'utf8'), 'file', name);
    symlinkSync(join(src, 'below/.backup-tmp'), join(dst, '.backup-tmp'));
    const followed = await run(command, [...args, src, dst]);
    t.is(followed.status, 1, name);
    t.regex(followed.stderr, /^backup: not a folder: '.*\.backup-tmp'$/m, name);
    t.true(existsSync(join(src, 'below/.backup-tmp/file')), name);
  }
});

/** Loaded before the program: some files cannot be synced, folders are told when they have been. */
const SYNCS = `
import { fstatSync, readlinkSync } from 'node:fs';
import { op } from '${new URL('../dist/index.js', import.meta.url)}';
const { fsync } = op;
op.fsync = (fd) => {
  const path = readlinkSync('/proc/self/fd/' + fd);
  if (fstatSync(fd).isFile() && fstatSync(fd).size % 3 === 0) return op.nop({ result: -5 });
  const synced = fsync.call(op, fd);
  if (fstatSync(fd).isDirectory()) synced.then(() => process._rawDebug('synced ' + path));
  return synced;
};`;

test.serial('what is not on the disk gets no name, and names go to the disk', async (t) => {
  const preload = join(dir, 'syncs.mjs');
  writeFileSync(preload, SYNCS);
  const [[, command, args]] = programs(t, 'backup') as [[string, string, string[]]];
  const [src, dst] = folders();
  many(src, 50, 1000);
  const files = readdirSync(src).flatMap((folder) =>
    readdirSync(join(src, folder)).map((file) => join(folder, file)),
  );
  const unsafe = files.filter((file) => statSync(join(src, file)).size % 3 === 0);
  const ran = await run(command, ['--import', preload, ...args, src, dst]);
  t.is(ran.status, 1);
  const lines = ran.stderr.trimEnd().split('\n').sort();
  t.true(unsafe.length > 10);
  t.deepEqual(
    lines.filter((line) => line.startsWith('backup: ')),
    unsafe.map((file) => `backup: '${join(src, file)}': EIO: i/o error, nop`).sort(),
  );
  for (const file of files) t.is(existsSync(join(dst, file)), !unsafe.includes(file), file);
  const names = [join(dst, '..'), dst, ...readdirSync(src).map((folder) => join(dst, folder))];
  t.deepEqual(
    lines.filter((line) => line.startsWith('synced ')),
    names.map((path) => `synced ${path}`).sort(),
  );
});

test.serial('few descriptors are enough for many files', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    const [src, dst] = folders();
    many(src, 1000, 10);
    const quoted = [command, ...args, '--verify', '--quiet', src, dst]
      .map((word) => `'${word}'`)
      .join(' ');
    const ran = await run('sh', ['-c', `ulimit -n 128; exec ${quoted}`]);
    t.is(ran.stderr, '', name);
    t.is(ran.status, 0, name);
    same(t, src, dst, name);
  }
});

/** Runs it on a terminal of some columns; what that has shown. */
const TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack('HHHH', 24, int(sys.argv[1]), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
out = b''
while True:
    try: part = os.read(fd, 4096)
    except OSError: break
    if not part: break
    out += part
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;

// What a wide bar has after its `#` and dots.
const WIDE =
  '\\d+% {2}\\S+ \\S*B of 300\\.0 MB {2}\\d+ of 30 files {2}\\S+ \\S*B/s {2}\\d+:\\d\\d left';

test.serial('a terminal gets a bar that fits, and is left clean', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    for (const [columns, pattern] of [
      [120, new RegExp(`^\\[#*\\.*\\] +${WIDE}$`)],
      [40, /^(\[#*\.*\] )? *\d+% {2}\S+ \S*B of 300\.0 MB( {2}\d of 30 files)?$/],
      [10, /^ *\d+%$/],
    ] as const) {
      const [src, dst] = folders();
      many(src, 30, 10_000_000);
      const ran = await run('python3', ['-c', TERMINAL, `${columns}`, command, ...args, src, dst]);
      t.is(ran.status, 0, name);
      const shown = ran.stdout.toString().split('\r');
      const [bars, rest] = [shown.filter((line) => line.endsWith('\x1b[K')), shown.slice(-2)];
      t.true(rest[0]?.startsWith('\x1b[K30 of 30 files copied, '), `${name}: the bar is gone`);
      for (const [i, line] of bars.entries()) bars[i] = line.slice(0, -3);
      t.true(bars.length > 0, `${name}: ${JSON.stringify(shown)}`);
      const begun = bars.filter((line) => !line.includes('-:--'));
      for (const line of begun) t.regex(line, pattern, `${name} at ${columns} columns`);
      for (const line of bars) t.true(line.length < columns, `${name}: ${line}`);
      const percents = bars.map((line) => Number(/(\d+)%/.exec(line)?.[1]));
      t.deepEqual(
        percents,
        percents.toSorted((x, y) => x - y),
        `${name}: it only grows`,
      );
      rmSync(join(src, '..'), { recursive: true });
    }
  }
});

test.serial('elsewhere a line tells every second, and quiet means quiet', async (t) => {
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    for (const quiet of [[], ['--quiet']]) {
      const [src, dst] = folders();
      many(src, 40, 1_000_000);
      const child = await started(command, [...args, ...quiet, src, dst], dst);
      let [text, output] = ['', ''];
      child.stderr?.on('data', (part) => {
        text += part;
      });
      child.stdout?.on('data', (part) => {
        output += part;
      });
      // It stands still for more than a second, however fast this machine is.
      child.kill('SIGSTOP');
      await wait(1300);
      child.kill('SIGCONT');
      await new Promise((resolve) => child.on('close', resolve));
      t.is(child.exitCode, 0, name);
      if (quiet.length > 0) t.is(text + output, '', name);
      else {
        const line = /^copied +\d+% {2}.* of 40\.0 MB {2}\d+ of 40 files {2}.*\/s {2}\S+ left$/;
        t.regex(text.split('\n')[0] as string, line, name);
        t.regex(output, /^40 of 40 files copied, 40\.0 MB in \d+\.\d s\n$/, name);
      }
    }
  }
});

test.serial('folders that cannot be used are refused before anything is done', async (t) => {
  const [src, dst] = folders();
  writeFileSync(join(src, 'file'), 'file');
  mkdirSync(join(src, 'below'));
  symlinkSync(src, `${dst}-link`);
  for (const [name, command, args] of programs(t, 'backup')) {
    for (const wrong of [
      [],
      [src],
      [src, dst, dst],
      [join(src, 'missing'), dst],
      [join(src, 'file'), dst],
      [src, join(src, 'file')],
      [src, src],
      [src, `${src}/below/new`],
      ...(name.match(/\.ts|backup\.rs/)
        ? [
            [src, `${dst}-link/new`],
            [src, `${src}/../src/`],
            [src, join(dst, 'no', 'parent')],
            ['--nonsense', src, dst],
          ]
        : []),
    ]) {
      const ran = await run(command, [...args, ...wrong]);
      t.is(ran.status, 2, `${name} ${wrong}`);
      t.true(ran.stderr.length > 20, name);
      t.is(ran.stdout.toString(), '', name);
    }
    t.deepEqual(readdirSync(src), ['below', 'file'], name);
    t.deepEqual(readdirSync(join(src, 'below')), [], name);
    t.false(existsSync(dst), name);
  }
  for (const [name, command, args] of programs(t, 'backup').slice(0, 2)) {
    for (const help of ['-h', '--help']) {
      const ran = await run(command, [...args, help]);
      t.is(ran.status, 0, name);
      t.regex(
        ran.stdout.toString(),
        /^Usage: backup .*[\s\S]*Exit code: 0 [\s\S]*130 interrupted\.\n$/,
      );
    }
  }
});

test.serial('paths are those of the folder in which it was started', async (t) => {
  for (const [name, command, args] of programs(t, 'backup')) {
    const [src, dst] = folders();
    plant(src);
    const quoted = [command, ...args].map((word) => `'${realpathSync.native(word)}'`).join(' ');
    const ran = await run('sh', ['-c', `cd '${src}/a' && ${quoted} ../../src/ '../../dst/'`]);
    t.is(ran.status, 0, `${name}: ${ran.stderr}`);
    same(t, src, dst, name);
  }
});
