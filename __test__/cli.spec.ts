// The command `ringcore` as a user runs it: child processes of dist/cli.js.
// PAIR: only-typescript cli -- Rust programs are started by cargo and have no command

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import type { Diagnosis } from '../src/doctor.ts';
import { probe } from '../src/index.ts';
import { OPS } from '../src/table.ts';
import { child, type Ended, type How, NODE, program } from './lifecycle/child.ts';
import { folder } from './support.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const cli = join(root, 'dist/cli.js');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const ESC = '\u001b';

const ringcore = (args: string[], how?: How): Promise<Ended> => child(cli, args, how);

/** Wraps the command line of Node in `env`, which sets or (with -u) removes variables. */
const env = (...variables: string[]): How => ({ under: ['env', ...variables] });

const here = pathToFileURL(join(root, 'dist/index.js')).href;

/** Files of a program in a folder of their own; the path of the first one. */
function files(t: ExecutionContext, texts: Record<string, string>): string {
  const dir = folder(t);
  for (const [name, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return join(dir, Object.keys(texts)[0] as string);
}

function narrow(t: ExecutionContext, text: string): void {
  for (const line of text.split('\n')) t.true(line.length <= 80, line);
}

// --- usage --------------------------------------------------------------------------------------

test('version and help go to standard output', async (t) => {
  for (const args of [['--version'], ['-v']]) {
    t.deepEqual(await ringcore(args), {
      code: 0,
      signal: null,
      stdout: `${version}\n`,
      stderr: '',
    });
  }
  const [whole, ...others] = await Promise.all(
    [['--help'], ['-h'], ['help'], ['help', 'help'], ['help', '--help']].map((args) =>
      ringcore(args),
    ),
  );
  t.regex(whole?.stdout ?? '', /^Usage: ringcore <command>[\s\S]*doctor[\s\S]*run FILE/);
  t.is(whole?.stderr, '');
  t.is(whole?.code, 0);
  for (const other of others) t.deepEqual(other, whole);
  narrow(t, whole?.stdout ?? '');
  for (const command of ['doctor', 'run']) {
    const help = await ringcore(['help', command]);
    t.regex(help.stdout, new RegExp(`^Usage: ringcore ${command}`));
    t.is(help.code, 0);
    t.deepEqual(await ringcore([command, '--help']), help);
    t.deepEqual(await ringcore([command, '-h']), help);
    narrow(t, help.stdout);
  }
});

test('wrong usage is told on standard error with the usage and exit code 2', async (t) => {
  const cases: [string[], RegExp, string][] = [
    [[], /^ringcore: which command\?$/, '<command>'],
    [['docter'], /no command 'docter'; did you mean 'ringcore doctor'\?$/, '<command>'],
    [['rnu', 'x.js'], /no command 'rnu'; did you mean 'ringcore run'\?$/, '<command>'],
    [['frobnicate'], /no command 'frobnicate'$/, '<command>'],
    [[cli], /; did you mean 'ringcore run .*cli\.js'\?$/, '<command>'],
    [['--frobnicate'], /unknown option '--frobnicate'$/, '<command>'],
    [['--version', 'doctor'], /unexpected argument 'doctor'/, '<command>'],
    [['--help=yes'], /does not take an argument$/, '<command>'],
    [['help', 'docter'], /no command 'docter'; did you mean 'ringcore doctor'\?$/, '<command>'],
    [['help', 'run', 'doctor'], /help takes one command, not 'doctor'/, '<command>'],
    [['doctor', '--jsn'], /unknown option '--jsn'$/, 'doctor'],
    [['doctor', 'me'], /unexpected argument 'me'/, 'doctor'],
    [['run'], /run which file\?$/, 'run'],
    [['run', '--'], /run which file\?$/, 'run'],
    [['run', '--fast', 'x.js'], /unknown option '--fast'$/, 'run'],
  ];
  for (const [args, message, usage] of cases) {
    const { code, stdout, stderr } = await ringcore(args);
    const [first, blank, second] = stderr.split('\n');
    t.regex(first ?? '', message, `${args}`);
    t.deepEqual([code, stdout, blank], [2, '', ''], `${args}`);
    t.true(second?.startsWith(`Usage: ringcore ${usage}`), `${args}: ${second}`);
  }
});

// --- doctor -------------------------------------------------------------------------------------

test('doctor prints what works, each operation with its kernel, and exits 0', async (t) => {
  const { code, stdout, stderr } = await ringcore(['doctor']);
  t.deepEqual([code, stderr], [0, '']);
  narrow(t, stdout);
  t.false(stdout.includes(ESC), 'colours are for terminals');
  t.true(stdout.startsWith(`ringcore ${version}: io_uring works\n`));
  t.regex(stdout, /backend +io_uring\n +wake-ups +arrive\n/);
  const node = execFileSync(NODE, ['--version'], { encoding: 'utf8' }).trim().slice(1);
  for (const text of [release(), process.arch, `node ${node}`, 'SINGLE_ISSUER', 'memlock']) {
    t.true(stdout.includes(text), text);
  }
  for (const { name, kernel } of OPS) {
    t.regex(stdout, new RegExp(`(^|\\s)${name} +${kernel.replace('.', '\\.')} +yes`), name);
  }
  t.notRegex(stdout, /reason|advice/);
});

test('doctor --json is one object with the keys of probe and what is around it', async (t) => {
  const { code, stdout, stderr } = await ringcore(['doctor', '--json']);
  t.deepEqual([code, stderr], [0, '']);
  const found = JSON.parse(stdout) as Diagnosis;
  const { ok, version: own, runtime, platform, arch, libc, seccomp, since, ...asked } = found;
  t.deepEqual(asked, { ...probe(), wake: 'ok' });
  t.deepEqual([ok, own, platform, arch], [true, version, process.platform, process.arch]);
  t.regex(runtime, /^node \d+\.\d+\.\d+$/);
  t.regex(libc ?? '', /^(glibc \d+\.\d+|musl)$/);
  const mode = /^Seccomp:\s*(\d)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  t.is(seccomp, (['none', 'strict', 'filter'] as const)[Number(mode)] ?? null);
  t.deepEqual(since, Object.fromEntries(OPS.map(({ name, kernel }) => [name, kernel])));
});

/** Both forms of doctor in a place where there is no ring: exit code 1, the reason, the advice. */
async function refused(t: ExecutionContext, how: How, reason: RegExp, advice: RegExp, file = cli) {
  const [person, machine] = await Promise.all([
    child(file, ['doctor'], how),
    child(file, ['doctor', '--json'], how),
  ]);
  t.deepEqual([person.code, person.stderr, machine.code, machine.stderr], [1, '', 1, '']);
  narrow(t, person.stdout);
  const found = JSON.parse(machine.stdout) as Diagnosis;
  t.deepEqual([found.ok, found.available, found.backend], [false, false, 'node']);
  t.regex(found.reason ?? '', reason);
  t.regex(found.advice ?? '', advice);
  t.deepEqual(
    Object.values(found.ops),
    OPS.map(() => false),
  );
  t.true(person.stdout.startsWith(`ringcore ${version}: io_uring is refused\n`));
  const [, , said, advised] = /(.*)\n\n +reason +([\s\S]*?)\n +advice +([\s\S]*)\n$/.exec(
    person.stdout,
  ) as RegExpExecArray;
  const unbroken = (text = '') => text.replace(/\n +/g, ' ').replace(/ /g, '');
  t.is(unbroken(said), unbroken(`${found.reason}.`));
  t.is(unbroken(advised), unbroken(`${found.advice}.`));
  for (const { name } of OPS) t.regex(person.stdout, new RegExp(`\\s${name} +\\S+ +no\\b`));
  return found;
}

for (const name of ['EPERM', 'ENOSYS'] as const) {
  test(`a seccomp filter that answers ${name} is named by doctor, which exits 1`, async (t) => {
    // Fails loudly where there is no python3 to set the filter.
    execFileSync('python3', ['--version']);
    const under = ['python3', program('seccomp.py'), String(constants.errno[name])];
    const reason = new RegExp(`seccomp.*${name}|${name}.*seccomp`);
    const found = await refused(t, { under }, reason, /seccomp profile/);
    t.deepEqual([found.seccomp, found.kernel], ['filter', release()]);
    t.true(found.limits.nofile > 0);
  });
}

test('without descriptors left doctor names nofile', async (t) => {
  // Everything is loaded while there are some; then at most one is left: a ring needs two.
  const file = files(t, {
    'taken.mjs': `import { openSync, closeSync } from 'node:fs';
      import { createRequire } from 'node:module';
      import { probe } from '${here}';
      createRequire('${here}')('../package.json');
      probe();
      const taken = [];
      try {
        for (;;) taken.push(openSync('/dev/null'));
      } catch {
        closeSync(taken.pop());
      }`,
  });
  const under = ['sh', '-c', 'ulimit -n 64 && exec "$0" "$@"'];
  const how = { under, node: ['--import', pathToFileURL(file).href] };
  await refused(t, how, /EMFILE, RLIMIT_NOFILE 64/, /ulimit -n/);
});

test('on another system doctor says so', async (t) => {
  const fake = 'Object.defineProperty(process, "platform", { value: "darwin" })';
  const node = ['--import', `data:text/javascript,${encodeURIComponent(fake)}`];
  const found = await refused(t, { node }, /io_uring is Linux's, this is darwin/, /on Linux/);
  t.deepEqual([found.platform, found.libc], ['darwin', null]);
});

test('under a permission model without addons doctor names --allow-addons', async (t) => {
  const major = Number(execFileSync(NODE, ['-p', 'process.versions.node.split(".")[0]']));
  const flag = major < 23 ? '--experimental-permission' : '--permission';
  const node = [flag, '--no-warnings', '--allow-fs-read=*'];
  await refused(t, { node }, /native addons are disabled/, /--allow-addons/);
});

/** Runs doctor as a terminal's program, with the terminal's line ends taken away. */
async function onTerminal(...variables: string[]): Promise<string> {
  const script =
    'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';
  const clean = ['-u', 'NO_COLOR', '-u', 'FORCE_COLOR', 'TERM=xterm', ...variables];
  const { code, stdout } = await ringcore(['doctor'], {
    under: ['python3', '-c', script, 'env', ...clean],
  });
  if (code !== 0) throw new Error(`${code}: ${stdout}`);
  return stdout.replace(/\r\n/g, '\n');
}

test('colours are for terminals, and NO_COLOR turns them off', async (t) => {
  const { stdout: plain } = await ringcore(['doctor'], env('FORCE_COLOR=1'));
  const coloured = await onTerminal();
  t.true(coloured.includes(`${ESC}[32mio_uring works${ESC}[39m`));
  t.is(stripVTControlCharacters(coloured), plain);
  t.is(await onTerminal('NO_COLOR=1'), plain);
  t.is(await onTerminal('TERM=dumb'), plain);
  t.is(await onTerminal('NO_COLOR='), coloured, 'an empty NO_COLOR is none');
});

/** Runs with a standard output that nobody reads any more. */
function unread(args: string[]): Promise<Ended> {
  const process = spawn(NODE, [cli, ...args], { timeout: 30_000, killSignal: 'SIGKILL' });
  process.stdout.destroy();
  let stderr = '';
  process.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    process.on('error', reject);
    process.on('close', (code, signal) => resolve({ code, signal, stdout: '', stderr }));
  });
}

test('a reader that leaves is no failure', async (t) => {
  for (const args of [['doctor'], ['doctor', '--json'], ['help'], ['--version']]) {
    const ended = await unread(args);
    t.deepEqual(ended, { code: 0, signal: null, stdout: '', stderr: '' }, `${args}`);
  }
  const pipe = ['-c', '"$0" "$1" doctor | head -1', NODE, cli];
  const piped = spawnSync('sh', pipe, { encoding: 'utf8', timeout: 30_000 });
  t.is(piped.stdout, `ringcore ${version}: io_uring works\n`);
  t.is(piped.stderr, '');
});

// --- run ----------------------------------------------------------------------------------------

const said = (stdout: string): Ended => ({ code: 0, signal: null, stdout, stderr: '' });

test('run gives a program its arguments and makes it the main module', async (t) => {
  const tell = 'console.log(JSON.stringify(process.argv.slice(1)));';
  const mjs = files(t, { 'a.mjs': tell });
  const args = ['--json', '-h', '--', 'x y', ''];
  t.deepEqual(await ringcore(['run', mjs, ...args]), said(`${JSON.stringify([mjs, ...args])}\n`));
  t.deepEqual(await ringcore(['run', '--', mjs, '--']), said(`${JSON.stringify([mjs, '--'])}\n`));
  const cjs = files(t, { 'a.cjs': `${tell} console.log(require.main === module);` });
  // A path is relative to where the user is.
  const relative = await ringcore(['run', 'a.cjs', 'b'], { cwd: dirname(cjs) });
  t.deepEqual(relative, said(`${JSON.stringify([cjs, 'b'])}\ntrue\n`));
});

test('run runs an exported default generator or async function as the main task', async (t) => {
  const start = `import { sleep } from '${here}'; console.log('module');`;
  const programs = {
    generator: `${start} export default function* () { yield* sleep(2); console.log('task'); }`,
    async: `${start} export default async () => { await sleep(2); console.log('task'); };`,
    signal: `${start} export default async (signal) => {
      if (signal instanceof AbortSignal) console.log('task');
    };`,
  };
  for (const [name, text] of Object.entries(programs)) {
    const file = files(t, { 'main.mjs': text });
    t.deepEqual(await ringcore(['run', file]), said('module\ntask\n'), name);
    // Through a link the module is still one, run once.
    const link = join(dirname(file), 'link.mjs');
    symlinkSync(file, link);
    t.deepEqual(await ringcore(['run', link]), said('module\ntask\n'), `${name}, a link`);
  }
  const others = {
    'a.mjs': `console.log('module'); export default function () { console.log('called'); }`,
    'b.mjs': `console.log('module'); export default class { static { console.log('class'); } }`,
    'c.cjs': `console.log('module'); module.exports = () => console.log('called');`,
  };
  for (const [name, text] of Object.entries(others)) {
    const file = files(t, { [name]: text });
    const printed = name === 'b.mjs' ? 'module\nclass\n' : 'module\n';
    t.deepEqual(await ringcore(['run', file]), said(printed), name);
  }
  const common = files(t, {
    'd.cjs': `console.log('module'); module.exports = async () => console.log('task');`,
  });
  t.deepEqual(await ringcore(['run', common]), said('module\ntask\n'));
  // Without its extension, as node allows.
  const short = files(t, { 'e.js': `module.exports = async () => console.log('task');` });
  t.deepEqual(await ringcore(['run', short.replace(/\.js$/, '')]), said('task\n'));
});

test('run uses the copy of ringcore that the program imports', async (t) => {
  const file = files(t, {
    'main.mjs': `export default async function () { console.log('task'); }`,
    'node_modules/ringcore/package.json': '{"type":"module","exports":"./index.js"}',
    'node_modules/ringcore/index.js': `export async function run(task) {
      console.log('its own run');
      await task();
    }`,
  });
  t.deepEqual(await ringcore(['run', file]), said('its own run\ntask\n'));
});

test('run ends as node does, with its errors and exit codes', async (t) => {
  const programs: [string, string, number][] = [
    ['throw.mjs', 'throw new Error("thrown");', 1],
    ['throw.cjs', 'throw new Error("thrown");', 1],
    ['string.cjs', 'throw "a string";', 1],
    ['syntax.mjs', 'let let = 1;', 1],
    ['syntax.cjs', 'let x = ;', 1],
    ['import.mjs', 'import "./missing.mjs";', 1],
    ['reject.mjs', 'Promise.reject(new Error("rejected"));', 1],
    ['exit.mjs', 'process.exit(3);', 3],
    ['code.cjs', 'process.exitCode = 4;', 4],
    ['never.mjs', 'await new Promise(() => {});', 13],
    ['signal.mjs', 'process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 10_000);', -1],
    // Where its output goes is its own business: an EPIPE is an error.
    ['pipe.mjs', 'process.stdout.emit("error", new Error("EPIPE"));', 1],
  ];
  const frames = (ended: Ended) => ({ ...ended, stderr: ended.stderr.replace(/^ +at .*\n/gm, '') });
  for (const [name, text, code] of programs) {
    const file = files(t, { [name]: text });
    const [own, nodes] = await Promise.all([ringcore(['run', file]), child(file)]);
    t.deepEqual(frames(own), frames(nodes), name);
    t.is(own.code ?? -1, code, name);
  }
  const missing = join(folder(t), 'missing.js');
  const [own, nodes] = await Promise.all([ringcore(['run', missing]), child(missing)]);
  t.deepEqual(frames(own), frames(nodes));
  t.regex(own.stderr, /Cannot find module/);
});

test('a main task that fails ends with exit code 1 and its error', async (t) => {
  for (const star of ['function*', 'async function']) {
    const text = `export default ${star} () { throw new TypeError('from the task'); }`;
    const { code, stdout, stderr } = await ringcore(['run', files(t, { 'a.mjs': text })]);
    t.deepEqual([code, stdout], [1, '']);
    t.regex(stderr, /TypeError: from the task\n +at .*a\.mjs:1/);
  }
});

test('run strips types where node does, and says what is needed where it does not', async (t) => {
  const text = 'const words: string[] = process.argv.slice(2);\nconsole.log(words.join());\n';
  const file = files(t, { 'main.mts': text });
  const ended = await ringcore(['run', file, 'a', 'b']);
  if (
    execFileSync(NODE, ['-p', '!!process.features.typescript'], { encoding: 'utf8' })[0] === 't'
  ) {
    t.is(ended.stdout, 'a,b\n');
    t.is(ended.code, 0);
    return;
  }
  t.deepEqual([ended.code, ended.stdout], [1, '']);
  t.regex(ended.stderr, /^ringcore: node \d.* cannot run TypeScript \(.*main\.mts\)/);
  t.regex(ended.stderr, /Node\.js 22\.18 or newer/);
  t.is(ended.stderr.trimEnd().split('\n').length, 1);
  // With a loader it is the loader's business.
  const loader = import.meta.resolve('@oxc-node/core/register');
  const loaded = await ringcore(['run', file, 'a', 'b'], env(`NODE_OPTIONS=--import=${loader}`));
  t.deepEqual([loaded.code, loaded.stdout], [0, 'a,b\n'], loaded.stderr);
});
