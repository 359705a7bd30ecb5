// examples/logger: lines that are safe, in whole lines, whatever happens to the logger.
// PAIR: only-typescript logger.spec.ts -- the Rust program is run here, too

import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test from 'ava';
import { programs, run } from './programs.ts';

const dir = mkdtempSync(join(tmpdir(), 'ringcore-logger-'));
test.after.always(() => rmSync(dir, { recursive: true, force: true }));

const lines = (count: number, name = 'line') =>
  Array.from({ length: count }, (_, i) => `${name} ${i} ${'.'.repeat((i * 7919) % 211)}\n`);

/** The log files in the order in which they were filled. */
function files(path: string): string[] {
  const names = readdirSync(dir).filter((name) => name.startsWith(`${basename(path)}.`));
  const number = (name: string) => Number(name.slice(basename(path).length + 1));
  names.sort((one, other) => number(one) - number(other));
  return [...names.map((name) => join(dir, name)), path];
}

const content = (path: string) => readFileSync(path, 'utf8');

/** Runs with a file as its standard input: everything is there at once. */
function feed(command: string, args: string[], text: string) {
  const input = join(dir, 'input');
  writeFileSync(input, text);
  return run('sh', ['-c', 'exec "$@" < "$0"', input, command, ...args]);
}

test.serial('every line is appended, in order', async (t) => {
  const text = lines(20_000).join('');
  for (const [name, command, args] of programs(t, 'logger')) {
    const path = join(dir, name);
    const first = await run(command, [...args, path], text);
    t.is(first.stderr, '', name);
    t.regex(first.stdout.toString(), /^20000 lines in \d+ batches, 1 files\n$/, name);
    t.is(content(path), text, name);
    // The last line has no end; the next logger begins a new one all the same.
    for (const word of ['two', '', 'three\n\nfour']) {
      t.is((await run(command, [...args, path], word)).status, 0, name);
    }
    t.is(content(path), `${text}two\nthree\n\nfour\n`, name);
  }
});

test.serial('lines that are there at once are one batch', async (t) => {
  for (const [name, command, args] of programs(t, 'logger').slice(0, 2)) {
    const ran = await feed(command, [...args, join(dir, `${name}-batch`)], lines(1000).join(''));
    t.is(ran.stdout.toString(), '1000 lines in 1 batches, 1 files\n', name);
  }
});

test.serial('a line longer than a batch is broken, and nothing is lost', async (t) => {
  const text = `short\n${'x'.repeat(700_000)}\n${'y'.repeat(262_143)}\nend`;
  for (const [name, command, args] of programs(t, 'logger').slice(0, 2)) {
    const path = join(dir, `${name}-long`);
    t.is((await feed(command, [...args, path], text)).status, 0, name);
    t.is(content(path).replaceAll('\n', ''), text.replaceAll('\n', ''), name);
    t.true(content(path).startsWith('short\nxxx'), name);
    t.true(content(path).endsWith(`\n${'y'.repeat(262_143)}\nend\n`), name);
    t.true(
      content(path)
        .split('\n')
        .every((line) => line.length <= 262_144),
      name,
    );
  }
});

test.serial('a logger that is killed has lost nothing that it acknowledged', async (t) => {
  const rounds = process.env.RINGCORE_STRESS === '1' ? 30 : 3;
  for (const [name, command, args] of programs(t, 'logger')) {
    for (let round = 0; round < rounds; round++) {
      const path = join(dir, `${name}-killed-${round}`);
      const child = spawn(command, [...args, '--ack', path], { timeout: 60_000 });
      const all = lines(50_000, `round ${round}`);
      let sent = 0;
      let acknowledged = 0;
      child.stdin.on('error', () => {});
      const sending = setInterval(() => {
        child.stdin.write(all.slice(sent, sent + 100).join(''));
        sent += 100;
      }, 1);
      await new Promise<void>((resolve) => {
        let text = '';
        child.stdout.on('data', (part) => {
          text += part;
          acknowledged = Number(text.split('\n').at(-2) ?? 0);
          if (acknowledged > 500 * (round + 1)) child.kill('SIGKILL');
        });
        child.on('close', () => resolve());
      });
      clearInterval(sending);
      t.is(child.signalCode, 'SIGKILL', name);
      const text = content(path);
      t.true(all.join('').startsWith(text), `${name}: what is there is what was sent`);
      const whole = text.split('\n').length - 1;
      t.true(whole >= acknowledged, `${name}: ${whole} lines, ${acknowledged} acknowledged`);
    }
  }
});

test.serial('what a killed logger left of a line becomes no part of the next one', async (t) => {
  for (const [name, command, args] of programs(t, 'logger')) {
    const path = join(dir, `${name}-torn`);
    writeFileSync(path, 'whole\nto');
    t.is((await run(command, [...args, path], 'new\n')).status, 0, name);
    t.is(content(path), 'whole\nto\nnew\n', name);
  }
});

test.serial('files are renamed before they grow beyond their size', async (t) => {
  const text = [...lines(3000), `${'z'.repeat(5000)}\n`, ...lines(10)].join('');
  for (const [name, command, args] of programs(t, 'logger')) {
    const path = join(dir, `${name}-max`);
    writeFileSync(`${path}.2`, 'of somebody else\n');
    const ran = await run(command, [...args, '--max', '4000', path], text);
    t.is(ran.status, 0, `${name}: ${ran.stderr}`);
    t.is(content(`${path}.2`), 'of somebody else\n', `${name}: nothing is replaced`);
    rmSync(`${path}.2`);
    const found = files(path);
    t.is(found.map(content).join(''), text, name);
    t.true(ran.stdout.toString().endsWith(`, ${found.length} files\n`), name);
    for (const file of found) {
      const { size } = statSync(file);
      t.true(size > 0 && (size <= 4000 || size === 5001), `${name}: ${file} has ${size} bytes`);
    }
  }
});

test.serial('several loggers share a file and tear no line', async (t) => {
  for (const [name, command, args] of programs(t, 'logger')) {
    // Without RENAME_NOREPLACE the twins lose a file when two of them rename at once.
    for (const max of name.match(/node|std/) ? [[]] : [[], ['--max', '20000']]) {
      const path = join(dir, `${name}-shared${max.length}`);
      const writers = ['a', 'b', 'c', 'd'].map((id) => lines(2000, id));
      const ran = await Promise.all(
        writers.map((each) => run(command, [...args, ...max, path], each.join(''))),
      );
      for (const { status, stderr } of ran) t.is(status, 0, `${name}: ${stderr}`);
      const all = files(path).filter(existsSync).map(content).join('').split('\n').filter(Boolean);
      t.is(all.length, 8000, name);
      for (const each of writers) {
        const id = (each[0] as string)[0] as string;
        const found = all.filter((line) => line.startsWith(`${id} `)).map((line) => `${line}\n`);
        if (max.length > 0) found.sort((x, y) => Number(x.split(' ')[1]) - Number(y.split(' ')[1]));
        t.deepEqual(found, each, `${name}: lines of ${id}`);
      }
    }
  }
});

test.serial('what is not on the disk is not acknowledged', async (t) => {
  // A FIFO takes the write and refuses the sync.
  const fifo = join(dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  for (const [name, command, args] of programs(t, 'logger')) {
    const ran = await run(command, [...args, '--ack', fifo], 'line\n');
    t.is(ran.status, 1, name);
    t.is(ran.stdout.toString(), '', name);
    t.regex(ran.stderr, /^logger: .*(EINVAL|Invalid argument)/, name);
    const full = await run(command, [...args, '--ack', '/dev/full'], 'line\n');
    t.is(full.status, 1, name);
    t.is(full.stdout.toString(), '', name);
    t.regex(full.stderr, /^logger: .*[Nn]o space left on device/, name);
  }
});

test.serial('a disk that fills up in the middle of a batch is told as what it is', async (t) => {
  const text = lines(20_000).join('');
  // A name space of its own: nobody else sees the small disk, and it goes with the program.
  const own = process.getuid?.() === 0 ? ['-m'] : ['-r', '-m'];
  if ((await run('unshare', [...own, 'true'])).status !== 0) {
    t.log('this test needs to mount a small disk, which is refused here');
    t.pass();
    return;
  }
  const mount = 'mount -t tmpfs -o size=64k none "$0"';
  const script = `${mount} && { "$@" "$0/log"; code=$?; cat "$0/log"; exit $code; }`;
  for (const [name, command, args] of programs(t, 'logger')) {
    const place = join(dir, `${name}-small`);
    mkdirSync(place);
    const all = [...own, 'sh', '-c', script, place, command, ...args];
    const ran = await run('unshare', all, text);
    t.is(ran.status, 1, name);
    t.regex(ran.stderr, /^logger: .*[Nn]o space left on device.*\n$/, name);
    t.is(ran.stdout.length, 65_536, `${name}: ${ran.stdout.subarray(-100)}`);
    t.true(text.startsWith(ran.stdout.toString()), name);
  }
});

test.serial('wrong usage ends with 2, a folder that is not there with 1', async (t) => {
  for (const [name, command, args] of programs(t, 'logger')) {
    for (const wrong of [[], ['a', 'b'], ['--max', 'x', 'a'], ['--max', '0', 'a'], ['--no', 'a']]) {
      t.is((await run(command, [...args, ...wrong])).status, 2, `${name} ${wrong}`);
    }
    const missing = await run(command, [...args, join(dir, 'no', 'log')], 'line\n');
    t.is(missing.status, 1, name);
    t.regex(missing.stderr, /^logger: .*[Nn]o such file or directory/, name);
  }
});
