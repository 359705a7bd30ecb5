// The packages as a user gets them: packed, installed into empty folders without a network, used.
// PAIR: only-typescript package -- the crate is not published and has no package

import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import * as ringcore from '../src/index.ts';
import { child, type Ended, NODE, report } from './lifecycle/child.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'ringcore-package-'));
test.after.always(() => rmSync(work, { recursive: true, force: true }));

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'));
const { version } = json(root, 'package.json');

/** The two tarballs, and the folders into which both and only the main one are installed. */
const packed = { main: '', platform: '' };
const both = join(work, 'both');
const alone = join(work, 'alone');

/** Runs a tool to its end, 100 s at most; what npm has put into the environment is not its. */
function tool(cwd: string, command: string, ...args: string[]): Promise<Ended> {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_ENV$/i.test(name));
  const options = { cwd, env: Object.fromEntries(own), timeout: 100_000, maxBuffer: 1 << 26 };
  return new Promise((resolve) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, signal: error?.signal ?? null, stdout, stderr });
    });
  });
}

/** The command line tool of a package of this repository. */
function bin(cwd: string, name: string, command: string, ...args: string[]): Promise<Ended> {
  const file = json(root, 'node_modules', name, 'package.json').bin[command];
  return tool(cwd, process.execPath, join(root, 'node_modules', name, file), ...args);
}

async function well(running: Promise<Ended>): Promise<string> {
  const { code, stdout, stderr } = await running;
  if (code !== 0) throw new Error(`exit code ${code}\n${stdout}${stderr}`);
  return stdout;
}

/** An empty project with these tarballs; nothing is asked of any registry. */
async function install(folder: string, ...tarballs: string[]): Promise<void> {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}\n');
  const quiet = ['--offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await well(tool(folder, 'npm', 'install', ...quiet, ...tarballs));
}

test.before(async () => {
  const sizes = await well(tool(root, process.execPath, '.ci/pack.mjs', join(work, 'packed')));
  for (const file of readdirSync(join(work, 'packed'))) {
    const kind = /^ringcore-\d/.test(file) ? 'main' : 'platform';
    if (packed[kind] !== '') throw new Error(`one ${kind} package was expected: ${sizes}`);
    packed[kind] = join(work, 'packed', file);
  }
  await install(both, packed.main, packed.platform);
  await install(alone, packed.main);
});

/** A file of a project, and its path. */
function file(folder: string, name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

// --- contents -----------------------------------------------------------------------------------

async function contents(tarball: string): Promise<string[]> {
  const lines = (await well(tool(work, 'tar', '-tzf', tarball))).trim().split('\n');
  return lines.map((line) => line.replace(/^package\//, '')).sort();
}

/** Files of a folder, with their folders' names. */
function filesOf(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1)).sort();
}

test('the main package holds the built files with their sources, and nothing else', async (t) => {
  // The mock ring is for this repository's tests.
  const stems = filesOf(join(root, 'src'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -'.ts'.length))
    .filter((name) => !['mock', 'world'].includes(name));
  const wanted = [
    ...['LICENSE', 'README.md', 'index.cjs', 'index.d.ts', 'package.json'],
    ...stems.flatMap((stem) => [`src/${stem}.ts`, `dist/${stem}.d.ts`, `dist/${stem}.d.ts.map`]),
    ...['index', 'cli', 'node/fs', 'node/fs-promises'].map((entry) => `dist/${entry}.js`),
  ];
  const held = await contents(packed.main);
  // A chunk is named by its contents.
  const chunks = held.filter((name) => /^dist\/chunk-[\w-]+\.js$/.test(name));
  wanted.push(...chunks, ...held.filter((name) => /\.js\.map$/.test(name)));
  t.deepEqual(held, wanted.sort());
  // What an import costs is what files and built-in modules it loads.
  const loads = (name: string): string[] => {
    const text = readFileSync(join(both, 'node_modules/ringcore', name), 'utf8');
    t.deepEqual(name === 'dist/cli.js' ? [] : (text.match(/from 'node:.*$/gm) ?? []), []);
    const next = [...text.matchAll(/^(?:import|export) .*'(\.[^']+)';$/gm)];
    return [name, ...next.flatMap(([, to]) => loads(join(dirname(name), to as string)))];
  };
  t.true(new Set(loads('dist/node/fs-promises.js')).size <= 3);
  t.true(new Set(loads('dist/index.js')).size <= 3);
  t.deepEqual(held.filter((name) => name.endsWith('.js.map')).length, 4 + chunks.length);
  t.log(`${Math.ceil(statSync(packed.main).size / 1024)} KiB packed`);
});

test('the platform package holds the binary', async (t) => {
  const machine = /ringcore-(linux-\w+-\w+)-\d/.exec(packed.platform)?.[1] as string;
  const binary = `ringcore.${machine}.node`;
  t.deepEqual(await contents(packed.platform), ['LICENSE', 'README.md', 'package.json', binary]);
  const [, cpu, abi] = machine.split('-');
  t.like(json(both, 'node_modules', `ringcore-${machine}`, 'package.json'), {
    name: `ringcore-${machine}`,
    version,
    main: binary,
    os: ['linux'],
    cpu: [cpu],
    libc: [abi === 'gnu' ? 'glibc' : 'musl'],
    license: 'MIT',
  });
  t.log(`${Math.ceil(statSync(packed.platform).size / 1024)} KiB packed`);
});

test('the main package installs anywhere: it names its binaries as optional', (t) => {
  const manifest = json(both, 'node_modules/ringcore/package.json');
  t.deepEqual(manifest.optionalDependencies, {
    'ringcore-linux-arm64-gnu': version,
    'ringcore-linux-arm64-musl': version,
    'ringcore-linux-x64-gnu': version,
    'ringcore-linux-x64-musl': version,
  });
  for (const field of ['os', 'cpu', 'libc', 'dependencies', 'peerDependencies']) {
    t.is(manifest[field], undefined, field);
  }
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
    t.is(manifest.scripts[script], undefined, script);
  }
  // Before the first release there is nothing that `npm ci` could find under these names.
  t.is(json(root, 'package.json').optionalDependencies, undefined);
});

test('the workflow builds and installs every target on every supported Node', (t) => {
  const workflow = readFileSync(join(root, '.github/workflows/ci.yml'), 'utf8');
  const targets = [...workflow.matchAll(/\{ target: (\S+), cross: (\S+) \}/g)];
  t.deepEqual(
    targets.map(([, target]) => target).sort(),
    [...json(root, 'package.json').napi.targets].sort(),
  );
  for (const [, target, cross] of targets) {
    t.is(cross, target?.endsWith('gnu') ? '--use-napi-cross' : '-x', target);
  }
  t.deepEqual(
    workflow.match(/^ +node: .*$/gm)?.map((line) => line.trim()),
    ['node: [20, 22, 24, 26]', 'node: [20, 22, 24, 26]'],
  );
});

test('every import and every map leads to a file of the package', (t) => {
  const home = join(both, 'node_modules/ringcore');
  for (const name of filesOf(join(home, 'dist'))) {
    const path = join(home, 'dist', name);
    const text = readFileSync(path, 'utf8');
    if (name.endsWith('.map')) {
      const { sources, sourcesContent, sourceRoot } = JSON.parse(text);
      // An entry may be no more than the names of its chunk.
      t.true(sources.length > 0 || name === 'node/fs-promises.js.map', name);
      for (const source of sources) {
        t.true(existsSync(join(dirname(path), sourceRoot ?? '', source)), `${name}: ${source}`);
      }
      t.is(sourcesContent, undefined, name);
      continue;
    }
    t.true(existsSync(`${path}.map`), name);
    t.true(text.trimEnd().endsWith(`\n//# sourceMappingURL=${name.split('/').at(-1)}.map`), name);
    for (const [, to] of text.matchAll(/(?:from|import|import\() ?'(\.[^']*)'/g)) {
      const target = join(dirname(path), to as string);
      const types = target.replace(/\.ts$/, '.d.ts').replace(/\.d\.d\.ts$/, '.d.ts');
      t.true(existsSync(target) || existsSync(types), `${name} imports ${to}`);
    }
  }
});

// --- use ----------------------------------------------------------------------------------------

test('a task of an installed package reads a file', async (t) => {
  const program = join(both, 'installed.mjs');
  cpSync(join(root, '.ci/installed.mjs'), program);
  const { size } = statSync(program);
  t.deepEqual(await child(program, [program]), {
    code: 0,
    signal: null,
    stdout: `${size} bytes through io_uring\n`,
    stderr: '',
  });
});

test('a CommonJS program has it by require', async (t) => {
  const text = `const { AT_FDCWD, op, run } = require('ringcore');
    run(function* () {
      const fd = yield* op.openat(AT_FDCWD, __filename, 0);
      const buffer = Buffer.alloc(5);
      yield* op.read(fd, buffer, 0);
      yield* op.close(fd);
      return buffer.toString();
    }).then((text) => console.log(JSON.stringify(text)));`;
  // Node before 22.13 says that require() of a module is an experiment.
  t.is(await report(t, file(both, 'common.cjs', text), [], { node: ['--no-warnings'] }), 'const');
});

test('the installed command works, from its link in .bin', async (t) => {
  const link = join(both, 'node_modules/.bin/ringcore');
  t.is(statSync(link).mode & 0o111, 0o111);
  const env = ['env', `PATH=${dirname(NODE)}:${process.env.PATH}`];
  t.is(
    await well(tool(both, env[0] as string, env[1] as string, link, '--version')),
    `${version}\n`,
  );
  const doctor = JSON.parse(
    await well(tool(both, 'env', env[1] as string, link, 'doctor', '--json')),
  );
  t.like(doctor, { ok: true, backend: 'io_uring', version });
  // The program's ringcore is the command's own.
  const text = `import { sleep } from 'ringcore';
    export default function* () { yield* sleep(1); console.log('slept'); }`;
  const program = file(both, 'sleeper.mjs', text);
  t.is(await well(tool(both, 'env', env[1] as string, link, 'run', program)), 'slept\n');
});

test('errors point into the sources of the package when node is asked for it', async (t) => {
  const text = `import { run } from 'ringcore'; try { run(1); } catch (e) { console.log(e.stack); }
    run(1).catch((error) => console.log(error.stack));`;
  const how = { node: ['--enable-source-maps'] };
  const { stdout } = await child(file(both, 'maps.mjs', text), [], how);
  t.regex(stdout, /node_modules\/ringcore\/src\/runtime\.ts:\d+:\d+/);
  const [, line] = /src\/runtime\.ts:(\d+)/.exec(stdout) as RegExpExecArray;
  const source = readFileSync(join(root, 'src/runtime.ts'), 'utf8').split('\n');
  t.regex(source[Number(line) - 1] ?? '', /throw typeError\('task'/);
});

// --- without the binary -------------------------------------------------------------------------

/** Imports, and says what that did; then uses, and says what came of it. */
const careful = (load: string) => `
  let opened = 0;
  const { dlopen } = process;
  process.dlopen = (...args) => { opened++; return dlopen(...args); };
  const maps = () => require('node:fs').readFileSync('/proc/self/maps', 'utf8');
  const ringcore = ${load};
  const imported = { opened, mapped: maps().includes('ringcore') };
  const { available, backend, reason, advice } = ringcore.probe();
  ringcore.run(function* () { yield* ringcore.op.nop(); }).then(
    () => console.log('{}'),
    ({ code, message, cause }) => {
      const probe = { available, backend, reason, advice };
      console.log(JSON.stringify({ imported, probe, code, message, cause: cause !== undefined }));
    },
  );
`;
const fromModule = `import { createRequire } from 'node:module';
  const require = createRequire(import.meta.url);${careful(`await import('ringcore')`)}`;
const fromCommon = careful(`require('ringcore')`);

interface Careful {
  imported: { opened: number; mapped: boolean };
  probe: { available: boolean; backend: string; reason: string; advice: string };
  code: string;
  message: string;
  cause: boolean;
}

async function unavailable(t: ExecutionContext, program: string, reason: RegExp): Promise<void> {
  const said = await report<Careful>(t, program, [], { node: ['--no-warnings'] });
  t.deepEqual(said.imported, { opened: 0, mapped: false });
  t.like(said.probe, { available: false, backend: 'node' });
  t.regex(said.probe.reason, reason);
  t.regex(said.probe.advice, /^Reinstall .* or build it with `npm run build`/);
  t.is(said.code, 'ERR_RINGCORE_UNAVAILABLE');
  const { reason: why, advice } = said.probe;
  t.is(said.message, `io_uring is not available: ${why}. ${advice}.`);
  t.true(said.cause, 'what the loader said is kept');
}

test('without its platform package the import is silent, a use says what is missing', async (t) => {
  const machine = /ringcore-linux-\w+-\w+(?=-\d)/.exec(packed.platform)?.[0];
  const reason = new RegExp(`the package ${machine} is not installed$`);
  t.false(existsSync(join(alone, 'node_modules', machine as string)));
  await unavailable(t, file(alone, 'module.mjs', fromModule), reason);
  await unavailable(t, file(alone, 'common.cjs', fromCommon), reason);
  for (const [name, text] of [
    ['silent.mjs', `import 'ringcore';`],
    ['silent.cjs', `require('ringcore');`],
  ] as const) {
    const ended = await child(file(alone, name, text), [], { node: ['--no-warnings'] });
    t.deepEqual(ended, { code: 0, signal: null, stdout: '', stderr: '' }, name);
  }
  const link = join(alone, 'node_modules/ringcore/dist/cli.js');
  const doctor = await child(link, ['doctor']);
  t.is(doctor.code, 1);
  t.true(doctor.stdout.replace(/\s+/g, ' ').includes(`the package ${machine} is not installed.`));
});

test('a binary that does not load says so in the words of the linker', async (t) => {
  const damaged = join(work, 'damaged');
  cpSync(join(both, 'node_modules'), join(damaged, 'node_modules'), { recursive: true });
  const folder = /ringcore-linux-\w+-\w+(?=-\d)/.exec(packed.platform)?.[0] as string;
  const [binary] = readdirSync(join(damaged, 'node_modules', folder)).filter((name) =>
    name.endsWith('.node'),
  );
  truncateSync(join(damaged, 'node_modules', folder, binary as string), 100);
  const reason = /native module for linux-\w+ could not be loaded \(.*\.node: .+\)$/;
  const program = file(damaged, 'module.mjs', fromModule);
  await unavailable(t, program, reason);
});

// --- types --------------------------------------------------------------------------------------

test('publint finds nothing to say', async (t) => {
  const said = await well(bin(work, 'publint', 'publint', packed.main, '--strict'));
  t.regex(said, /All good!/);
});

test('the types are right for every kind of import that the package serves', async (t) => {
  const args = [packed.main, '--profile', 'esm-only', '--format', 'json'];
  const { analysis, problems } = JSON.parse(
    await well(bin(work, '@arethetypeswrong/cli', 'attw', ...args)),
  );
  t.is(analysis.types.kind, 'included');
  // What the profile ignores: require() gives a module, which Node has been able to do since 20.19.
  const { CJSResolvesToESM: _, NoResolution: unresolved, ...others } = problems;
  t.deepEqual(others, {});
  // The resolution of TypeScript before 4.7, which the profile ignores too, knows no subpaths.
  const kinds = unresolved.map((one: { resolutionKind: string }) => one.resolutionKind);
  t.deepEqual([...new Set(kinds)], ['node10']);
});

test('a strict project type-checks against the package, and every export is in it', async (t) => {
  const folder = join(work, 'consumer');
  cpSync(join(root, '__test__/compat/consumer'), folder, { recursive: true });
  cpSync(join(both, 'package.json'), join(folder, 'package.json'));
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true });
  cpSync(join(both, 'node_modules/ringcore'), join(folder, 'node_modules/ringcore'), {
    recursive: true,
  });
  for (const name of ['@types/node', 'undici-types']) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  const { code, stdout } = await bin(folder, 'typescript', 'tsc', '-p', '.', '--pretty', 'false');
  t.is(stdout, '');
  t.is(code, 0);
  // The same with types of Node that do not know what came after version 20.
  const younger = /\b(?:glob|globSync|mkdtempDisposable|mkdtempDisposableSync|Utf8Stream)\b/g;
  rmSync(join(folder, 'node_modules/@types/node'));
  cpSync(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'), {
    recursive: true,
  });
  for (const name of ['fs.d.ts', 'fs/promises.d.ts']) {
    const path = join(folder, 'node_modules/@types/node', name);
    writeFileSync(path, readFileSync(path, 'utf8').replace(younger, 'unknown_$&'));
  }
  rmSync(join(folder, 'node-types.ts')); // Which names all that there is.
  const older = await bin(folder, 'typescript', 'tsc', '-p', '.', '--pretty', 'false');
  t.deepEqual([older.stdout, older.code], ['', 0]);
  const project = readFileSync(join(folder, 'index.ts'), 'utf8');
  const index = readFileSync(join(root, 'src/index.ts'), 'utf8');
  const lists = [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].map(([, list]) => list);
  const types = lists.flatMap((list) => list?.match(/\w+(?=\s*(?:,|$))/g) ?? []);
  const names = new Set([...Object.keys(ringcore), ...types]);
  t.true(names.size >= 35);
  for (const name of names) {
    const used = project.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0;
    t.true(used >= 2, `${name} is imported and used in __test__/compat/consumer/index.ts`);
  }
});
