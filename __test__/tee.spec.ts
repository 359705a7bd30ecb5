// examples/tee: every byte everywhere, through pipes and without them.
// PAIR: only-typescript tee.spec.ts -- the Rust program is run here, too

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { programs, run } from './programs.ts';

const dir = mkdtempSync(join(tmpdir(), 'ringcore-tee-'));
test.after.always(() => rmSync(dir, { recursive: true, force: true }));

const quoted = (...words: string[]) => words.map((word) => `'${word}'`).join(' ');
const shell = (script: string) => run('bash', ['-c', script]);
const sum = (path: string) => execFileSync('sha256sum', [path]).toString().slice(0, 64);

test.serial('300 MB between pipes come out whole on both sides', async (t) => {
  const size = 300_000_007;
  const [path, input] = [join(dir, 'large'), `seq 60000000 | head -c ${size}`];
  const whole = (await shell(`${input} | sha256sum`)).stdout.toString().slice(0, 64);
  for (const [name, command, args] of programs(t, 'tee')) {
    const ran = await shell(`${input} | ${quoted(command, ...args, path)} | sha256sum`);
    t.is(ran.stderr, '', name);
    t.is(ran.stdout.toString().slice(0, 64), whole, `${name}: standard output`);
    t.is(sum(path), whole, `${name}: the file`);
    rmSync(path);
  }
});

/** Runs it on a terminal, which is told the numbers, between pipes of many small writes. */
const TERMINAL = `
import os, pty, sys
terminal, stderr = pty.openpty()
ours, stdin = os.pipe()[::-1]
stdout, theirs = os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(stdin, 0); os.dup2(theirs, 1); os.dup2(stderr, 2)
    os.closerange(3, 64)
    os.execv(sys.argv[1], sys.argv[1:])
os.close(stdin); os.close(theirs)
out = b''
for i in range(200):
    os.write(ours, b'%d,' % i * (i + 1))
    while len(out) < sum(len(b'%d,' % j) * (j + 1) for j in range(i + 1)):
        out += os.read(stdout, 100000)
os.close(ours)
assert os.read(stdout, 1) == b''
status = os.waitpid(pid, 0)[1]
os.write(2, os.read(terminal, 1000))
os.write(1, out)
sys.exit(os.waitstatus_to_exitcode(status))`;

test.serial('between pipes no byte comes into the program', async (t) => {
  const text = Array.from({ length: 200 }, (_, i) => `${i},`.repeat(i + 1)).join('');
  for (const [name, command, args] of programs(t, 'tee').slice(0, 2)) {
    for (const [options, moved] of [
      [[], text.length],
      [['-a'], 0], // The kernel splices into no file that is opened to append.
    ] as const) {
      const path = join(dir, `${name}${options}`);
      const ran = await run('python3', ['-c', TERMINAL, command, ...args, ...options, path]);
      t.is(ran.stderr.trim(), `${text.length} bytes, ${moved} of them never copied`, name);
      t.is(ran.stdout.toString(), text, name);
      t.is(readFileSync(path, 'utf8'), text, name);
    }
  }
});

test.serial('files, pipes and several outputs all work together', async (t) => {
  const input = join(dir, 'input');
  execFileSync('sh', ['-c', `seq 300000 > ${quoted(input)}`]);
  const whole = sum(input);
  const [one, two, out] = [join(dir, 'one'), join(dir, 'two'), join(dir, 'out')];
  for (const [name, command, args] of programs(t, 'tee')) {
    const tee = quoted(command, ...args);
    for (const script of [
      `cat ${input} | ${tee} ${one} ${two} | cat > ${out}`,
      `${tee} ${one} ${two} < ${input} | cat > ${out}`,
      `cat ${input} | ${tee} -- ${one} ${two} > ${out}`,
      `${tee} ${one} ${two} < ${input} > ${out}`,
      `rm -f ${one} ${two}; cat ${input} | ${tee} -a ${one} ${two} | cat > ${out}`,
      `cat ${input} | ${tee} | ${tee} ${one} | ${tee} ${two} | cat > ${out}`,
    ]) {
      const ran = await shell(script);
      t.is(ran.stderr, '', `${name}: ${script}`);
      t.is(ran.status, 0, `${name}: ${script}`);
      for (const path of [one, two, out]) t.is(sum(path), whole, `${name}: ${path} of ${script}`);
    }
    writeFileSync(one, 'before\n');
    await shell(`printf 'a\\nb\\n' | ${tee} -a ${one} | cat`);
    t.is(readFileSync(one, 'utf8'), 'before\na\nb\n', name);
  }
});

test.serial('an output that fails is told, the others get everything', async (t) => {
  const good = join(dir, 'good');
  const missing = join(dir, 'no', 'file');
  for (const [name, command, args] of programs(t, 'tee')) {
    const tee = quoted(command, ...args);
    for (const outputs of [['/dev/full'], [missing], ['/dev/full', good], [good, missing]]) {
      const ran = await shell(
        `seq 100000 | { ${tee} ${outputs.join(' ')}; echo "code $?" >&2; } | sha256sum`,
      );
      const [first = '', second, third] = ran.stderr.split('\n');
      const bad = outputs.find((path) => path !== good);
      t.true(first.startsWith(`tee: '${bad}': `), `${name}: ${ran.stderr}`);
      const text = bad === missing ? /[Nn]o such file or directory/ : /[Nn]o space left on device/;
      t.regex(first, text, name);
      t.deepEqual([second, third], ['code 1', ''], name);
      const whole = (await shell('seq 100000 | sha256sum')).stdout.toString();
      t.is(ran.stdout.toString(), whole, name);
      if (outputs.includes(good)) t.is(`${sum(good)}  -\n`, whole, name);
    }
    const full = await shell(`seq 1000 | ${tee} ${good} > /dev/full`);
    t.regex(full.stderr, /^tee: 'standard output': .*[Nn]o space left on device.*\n$/, name);
    t.is(full.status, 1, name);
    t.is(sum(good), (await shell('seq 1000 | sha256sum')).stdout.toString().slice(0, 64), name);
  }
});

test.serial('a reader that leaves ends it as quietly as SIGPIPE', async (t) => {
  for (const [name, command, args] of programs(t, 'tee')) {
    for (const outputs of ['', join(dir, 'left'), `${join(dir, 'left')} ${join(dir, 'left2')}`]) {
      const ran = await shell(
        `seq 10000000 | { ${quoted(command, ...args)} ${outputs}; echo "code $?" >&2; } | head -1`,
      );
      t.is(ran.stdout.toString(), '1\n', name);
      t.is(ran.stderr, 'code 141\n', `${name} ${outputs}`);
    }
  }
});

/** Time on a CPU that the process has used, in milliseconds. */
function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test.serial('it sleeps while nothing comes, and while nobody reads', async (t) => {
  for (const [name, command, args] of programs(t, 'tee')) {
    const tee = quoted(command, ...args, join(dir, 'idle'));
    // A shell between two real pipes; it becomes the program, so that its process is known.
    for (const script of [
      `{ echo first; sleep 2.5; } | sh -c 'echo $$ >&2; exec "$@"' sh ${tee} | cat`,
      `yes | sh -c 'echo $$ >&2; exec "$@"' sh ${tee} | { head -c 10; sleep 2.5; }`,
    ]) {
      const child = spawn('bash', ['-c', script], { timeout: 60_000 });
      const pid = await new Promise<number>((resolve) => {
        child.stderr.once('data', (part) => resolve(Number(part)));
      });
      const ended = new Promise((resolve) => child.on('close', resolve));
      await wait(1000);
      const before = cpu(pid);
      await wait(1000);
      const used = cpu(pid) - before;
      // Busy waiting would use all of the second, or its half on a machine with other work.
      t.true(used <= 150, `${name}: ${used} ms of CPU in an idle second: ${script}`);
      await ended;
    }
  }
});

test.serial('pipes that do not block are waited for and keep their flags', async (t) => {
  const script = `
import fcntl, os, subprocess, sys, threading, time
def nonblocking(fd): fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
r0, w0 = os.pipe(); r1, w1 = os.pipe()
nonblocking(r0); nonblocking(w1)
child = subprocess.Popen(sys.argv[1:], stdin=r0, stdout=w1)
data = os.urandom(2000003)
def send():
    for i in range(0, len(data), 90001):
        os.write(w0, data[i:i+90001]); time.sleep(0.002)
    os.close(w0)
threading.Thread(target=send).start()
got = b''
while len(got) < len(data):
    time.sleep(0.002)
    got += os.read(r1, 50000)
code = child.wait()
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK != 0 for fd in (r0, w1)]
print(code, got == data, open(sys.argv[-1], 'rb').read() == data, flags)`;
  for (const [name, command, args] of programs(t, 'tee').slice(0, 2)) {
    const ran = await run('python3', ['-c', script, command, ...args, join(dir, 'slow')]);
    t.is(ran.stdout.toString(), '0 True True [True, True]\n', `${name}: ${ran.stderr}`);
  }
});

test.serial('wrong usage ends with 2', async (t) => {
  for (const [name, command, args] of programs(t, 'tee')) {
    t.is((await run(command, [...args, '-x', join(dir, 'x')])).status, 2, name);
  }
});
