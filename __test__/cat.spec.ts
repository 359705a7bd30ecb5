// The main job: examples/cat.ts as a user runs it, byte for byte.
// PAIR: only-typescript cat -- the Rust twin of the program is run below, by the same scenarios

import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('..', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'ringcore-cat-'));
test.after.always(() => rmSync(dir, { recursive: true, force: true }));

/** Both twins: the TypeScript one built by the set-up, the Rust one by cargo. */
const rust = ['release', 'debug']
  .map((profile) => join(root, 'target', profile, 'examples/cat'))
  .find((path) => existsSync(path));
const programs: [string, string, string[]][] = [
  ['cat.ts', process.execPath, [join(root, 'dist/examples/cat.js')]],
];
if (rust !== undefined) programs.push(['cat.rs', rust, []]);

test('both twins are there', (t) => {
  t.is(programs.length, 2, 'cargo test builds the Rust example');
});

interface Ran {
  stdout: Buffer;
  stderr: string;
  status: number | null;
}

/** Runs a program to its end without blocking this process; 100 s at most. */
function run(program: string, args: string[], input?: Buffer): Promise<Ran> {
  const child = spawn(program, args, { timeout: 100_000, killSignal: 'SIGKILL' });
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (part) => stdout.push(part));
  child.stderr.on('data', (part) => stderr.push(part));
  child.stdin.on('error', () => {}); // A child that does not read its input closes it.
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString(), status });
    });
  });
}

function cat(program: string, args: string[], paths: string[], input?: Buffer): Promise<Ran> {
  return run(program, [...args, ...paths], input);
}

function file(name: string, bytes: Buffer | string): string {
  const path = join(dir, name);
  writeFileSync(path, bytes);
  return path;
}

const large = randomBytes(20_000_003);

for (const [name, program, args] of programs) {
  test.serial(`${name}: files of every size come out byte for byte, in order`, async (t) => {
    const sizes = [0, 1, 511, 4096, 65_537, 262_144, 262_145];
    const parts = sizes.map((size) => randomBytes(size));
    const paths = parts.map((part, i) => file(`${name}-size-${i}`, part));
    const ran = await cat(program, args, [...paths, file(`${name}-large`, large)]);
    t.is(ran.status, 0, ran.stderr);
    t.is(ran.stderr, '', 'set-up and statistics are for terminals');
    t.true(ran.stdout.equals(Buffer.concat([...parts, large])));
  });

  test.serial(`${name}: /proc files, whose reads are short and whose size is 0`, async (t) => {
    const ran = await cat(program, args, ['/proc/self/maps', '/proc/cpuinfo']);
    t.is(ran.status, 0, ran.stderr);
    t.regex(ran.stdout.toString(), /\[stack\][\s\S]*processor\s*: 0/);
    t.true(ran.stdout.toString().endsWith(readFileSync('/proc/cpuinfo', 'utf8').slice(-20)));
  });

  test.serial(`${name}: standard input is read for a dash, and only then`, async (t) => {
    const some = file(`${name}-dash`, 'file\n');
    const ran = await cat(program, args, [some, '-', some], Buffer.from('input\n'));
    t.is(ran.stdout.toString(), 'file\ninput\nfile\n');
    const whole = await cat(program, args, ['-'], large);
    t.true(whole.stdout.equals(large));
    const none = await cat(program, args, [some], Buffer.from('input\n'));
    t.is(none.stdout.toString(), 'file\n');
  });

  test.serial(`${name}: what cannot be read is told, the others are still printed`, async (t) => {
    const some = file(`${name}-good`, 'good\n');
    const missing = join(dir, 'missing');
    const ran = await cat(program, args, [missing, some, dir, some]);
    t.is(ran.status, 1);
    t.is(ran.stdout.toString(), 'good\ngood\n');
    const [first, second, ...rest] = ran.stderr.trimEnd().split('\n');
    t.is(first, `cat: ENOENT: no such file or directory, open '${missing}'`);
    t.regex(second ?? '', /^cat: EISDIR: .* directory.*, read '.*'$/);
    t.is(second?.includes(dir), true);
    t.deepEqual(rest, []);
  });

  test.serial(`${name}: a FIFO is read to its end`, async (t) => {
    const fifo = join(dir, `${name}-fifo`);
    execFileSync('mkfifo', [fifo]);
    const writer = spawn('sh', ['-c', `for i in 1 2 3; do echo $i; sleep 0.05; done > ${fifo}`]);
    const ran = await cat(program, args, [fifo]);
    writer.kill();
    t.is(ran.stdout.toString(), '1\n2\n3\n');
  });

  test.serial(`${name}: a reader that leaves ends it quietly`, async (t) => {
    const path = file(`${name}-epipe`, large);
    const quoted = [program, ...args, path].map((word) => `'${word}'`).join(' ');
    const ran = await run('sh', ['-c', `{ ${quoted}; echo "code $?" >&2; } | head -c 5`]);
    t.is(ran.stdout.length, 5);
    t.is(ran.stderr, 'code 0\n');
  });

  test.serial(`${name}: a full disk is an error`, async (t) => {
    const path = file(`${name}-full`, large);
    const quoted = [program, ...args, path].map((word) => `'${word}'`).join(' ');
    const ran = await run('sh', ['-c', `${quoted} > /dev/full`]);
    t.is(ran.status, 1);
    t.regex(ran.stderr, /^cat: ENOSPC: .*, write\n$/);
  });

  test.serial(
    `${name}: a slow non-blocking pipe gets everything, and keeps its flags`,
    async (t) => {
      const path = file(`${name}-slow`, large.subarray(0, 3_000_000));
      // The description is shared: the flag is set before the program and looked at after it.
      const script = `
import fcntl, os, subprocess, sys, time, hashlib
r, w = os.pipe()
fcntl.fcntl(w, fcntl.F_SETFL, fcntl.fcntl(w, fcntl.F_GETFL) | os.O_NONBLOCK)
child = subprocess.Popen(sys.argv[1:], stdout=w)
digest, count = hashlib.sha256(), 0
while count < 3000000:
    time.sleep(0.002)
    part = os.read(r, 100000)
    digest.update(part); count += len(part)
child.wait()
flags = fcntl.fcntl(w, fcntl.F_GETFL) & os.O_NONBLOCK
print(child.returncode, count, flags != 0, digest.hexdigest())`;
      const ran = await run('python3', ['-c', script, program, ...args, path]);
      const sum = execFileSync('sha256sum', [path]).toString().slice(0, 64);
      t.is(ran.stdout.toString().trim(), `0 3000000 True ${sum}`, ran.stderr);
    },
  );

  test.serial(
    `${name}: a non-blocking standard input that has nothing yet is waited for`,
    async (t) => {
      const script = `
import fcntl, os, subprocess, sys, time
r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETFL, fcntl.fcntl(r, fcntl.F_GETFL) | os.O_NONBLOCK)
child = subprocess.Popen(sys.argv[1:] + ['-'], stdin=r, stdout=subprocess.PIPE)
os.close(r)
for i in range(5):
    time.sleep(0.05)
    os.write(w, b'part %d\\n' % i)
os.close(w)
sys.stdout.buffer.write(child.stdout.read())
sys.exit(child.wait())`;
      const ran = await run('python3', ['-c', script, program, ...args]);
      t.is(ran.status, 0, ran.stderr);
      t.is(ran.stdout.toString(), 'part 0\npart 1\npart 2\npart 3\npart 4\n');
    },
  );

  test.serial(`${name}: a sparse file of more than 4 GiB is read whole`, async (t) => {
    const path = file(`${name}-sparse`, '');
    const size = 2 ** 32 + 12_345;
    truncateSync(path, size);
    const quoted = [program, ...args, path].map((word) => `'${word}'`).join(' ');
    // Into a null device: its writes cost nothing, and the program's own count is asked for.
    const script = `
import pty, os, sys
pid, fd = pty.fork()
if pid == 0:
    os.dup2(os.open('/dev/null', os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
out = b''
while True:
    try: part = os.read(fd, 4096)
    except OSError: break
    if not part: break
    out += part
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
    const ran = await run('python3', ['-c', script, program, ...args, path]);
    t.is(ran.status, 0, quoted);
    const lines = ran.stdout.toString().trim().split(/\r?\n/);
    t.is(lines.length, 3, 'a terminal gets three lines');
    t.regex(
      lines[0] ?? '',
      /^ring {3}\d+ turns, \d+ enters, \d+ operations, \d+ inline, \d+ wakes$/,
    );
    t.is(lines[1], `bytes  ${size}`);
    t.regex(lines[2] ?? '', /^time {3}\d+\.\d ms$/);
  });

  test.serial(`${name}: a file that is its own output is refused`, async (t) => {
    const path = file(`${name}-self`, 'self\n');
    const quoted = [program, ...args, path].map((word) => `'${word}'`).join(' ');
    const ran = await run('sh', ['-c', `${quoted} >> '${path}'`]);
    t.is(ran.status, 1);
    t.regex(ran.stderr, /input file is output file/);
    t.is(readFileSync(path, 'utf8'), 'self\n');
  });
}
