// PAIR: only-typescript compat.spec.ts -- runtimes, their policies and bundlers are JavaScript's.

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import * as esbuild from 'esbuild';
import { rollup } from 'rollup';
import { child, except, type How, report } from './lifecycle/child.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const ONLY_NODE = { bun: 'an option of Node', deno: 'an option of Node' };
const all = except({});

/** An empty folder that is gone after the test. */
function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'ringcore-compat-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** What a program that uses a ring says: its result, or the typed error. */
interface Said {
  used: number | null;
  code?: string;
  reason?: string;
  advice?: string;
  probed?: string | null;
}

const PROGRAM = `
const answer = (value) => console.log(JSON.stringify(value));
new Runtime().op.nop({ result: 3 }).then(
  (used) => answer({ used, probed: probe().reason }),
  ({ code, reason, advice }) => {
    answer({ used: null, code, reason, advice, probed: probe().reason });
  },
);
`;

/** The program as a module or as CommonJS, importing ringcore from \`from\`. */
function write(path: string, from: string, commonJs = path.endsWith('.cjs')): string {
  const head = commonJs
    ? `const { Runtime, probe } = require(${JSON.stringify(from)});`
    : `import { Runtime, probe } from ${JSON.stringify(from)};`;
  writeFileSync(path, head + PROGRAM);
  return path;
}

/** Runs it under options of the runtime; it must end well, and silently. */
function use(t: ExecutionContext, file: string, node: string[] = [], how: How = {}): Promise<Said> {
  return report<Said>(t, file, [], { ...how, node });
}

function refused(t: ExecutionContext, said: Said, reason: RegExp, advice: RegExp) {
  t.is(said.used, null);
  t.is(said.code, 'ERR_RINGCORE_UNAVAILABLE');
  t.regex(said.reason ?? '', reason);
  t.regex(said.advice ?? '', advice);
  t.is(said.probed as string, said.reason as string);
}

const works: Said = { used: 3, probed: null };
const INDEX = `${ROOT}/dist/index.js`;

// --- policies -----------------------------------------------------------------------------------

all('import and require() give a ring that works', async (t) => {
  const path = folder(t);
  // Node before 22.13 says that require() of a module is an experiment.
  const quiet = ['--no-warnings'];
  t.deepEqual(await use(t, write(`${path}/a.mjs`, INDEX)), works);
  t.deepEqual(await use(t, write(`${path}/a.cjs`, INDEX), quiet), works);
});

for (const flag of ['--disable-proto=delete', '--disable-proto=throw', '--frozen-intrinsics']) {
  except(ONLY_NODE)(`it works under ${flag}`, async (t) => {
    const file = write(`${folder(t)}/a.mjs`, INDEX);
    t.deepEqual(await use(t, file, ['--no-warnings', flag]), works);
  });
}

except({ deno: 'an option of Node and Bun' })('--no-addons is named', async (t) => {
  const file = write(`${folder(t)}/a.mjs`, INDEX);
  refused(t, await use(t, file, ['--no-addons']), /addons are disabled/, /without --no-addons/);
});

/** The permission model has another name before Node 23.5. */
async function permission(): Promise<string> {
  const { stdout } = await child('/dev/null', [], { node: ['--version'] });
  const [major, minor] = stdout.slice(1).split('.').map(Number) as [number, number];
  const young = major > 23 || (major === 23 && minor >= 5) || (major === 22 && minor >= 13);
  return young ? '--permission' : '--experimental-permission';
}

except(ONLY_NODE)('a permission model needs --allow-addons, and then works', async (t) => {
  const file = write(`${folder(t)}/a.mjs`, INDEX);
  const node = ['--no-warnings', await permission(), '--allow-fs-read=*'];
  refused(t, await use(t, file, node), /addons are disabled/, /Add --allow-addons/);
  // The ring itself works; the drop-ins leave it alone, since it knows nothing of permissions.
  const probed = 'the permission model of Node is on, which a ring would pass by';
  t.deepEqual(await use(t, file, [...node, '--allow-addons']), { ...works, probed });
});

const DENO = { node: "a permission of Deno's", bun: "a permission of Deno's" };
except(DENO)('each permission of Deno that is missing is named, all of them suffice', async (t) => {
  const file = write(`${folder(t)}/a.mjs`, INDEX);
  const given = ['--no-prompt'];
  for (const name of ['read', 'env', 'ffi']) {
    refused(t, await use(t, file, given), /Deno did not permit/, new RegExp(`--allow-${name}$`));
    given.push(`--allow-${name}`);
  }
  t.deepEqual(await use(t, file, [...given, '--allow-sys']), works);
});

for (const [name, value, reason] of [
  ['platform', 'darwin', /io_uring is Linux's, this is darwin/],
  ['platform', 'win32', /io_uring is Linux's, this is win32/],
  ['arch', 'mips', /linux-mips/],
] as const) {
  all(`the ${name} ${value} is named at first use, not at import`, async (t) => {
    const path = folder(t);
    const fake = `Object.defineProperty(process, '${name}', { value: '${value}' });`;
    writeFileSync(`${path}/fake.mjs`, fake);
    const file = write(`${path}/a.mjs`, INDEX);
    writeFileSync(file, `import './fake.mjs';\n${readFileSync(file, 'utf8')}`);
    refused(t, await use(t, file), reason, /^/);
  });
}

all('a runtime that forbids external buffers refuses the ring with a typed error', async (t) => {
  // As Electron does: the call that asks for the ring's memory is led to a function that says no. A
  // copy of the native module asks for another name, which a library loaded before it answers.
  const path = folder(t);
  const [name, other] = ['napi_create_external_arraybuffer', 'fake_create_external_arraybuffer'];
  const [binary] = readdirSync(ROOT).filter((entry) => entry.endsWith('.node'));
  for (const entry of ['dist', 'package.json', 'index.cjs', binary as string]) {
    cpSync(join(ROOT, entry), join(path, entry), { recursive: true });
  }
  const bytes = readFileSync(join(path, binary as string), 'latin1');
  t.true(bytes.includes(`${name}\0`));
  const changed = bytes.replaceAll(`${name}\0`, `${other}\0`);
  writeFileSync(join(path, binary as string), changed, 'latin1');
  const library = `${path}/${other}.so`;
  writeFileSync(`${path}/${other}.c`, `int ${other}(void) { return 22; }\n`);
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, `${path}/${other}.c`]);
  const file = write(`${path}/a.mjs`, `${path}/dist/index.js`);
  const said = await use(t, file, [], { under: ['env', `LD_PRELOAD=${library}`] });
  // And probe() says the same, which asks for such a buffer by itself.
  refused(t, said, /forbids external ArrayBuffers/, /memory cage/);
});

// --- bundlers -----------------------------------------------------------------------------------

/** A project with ringcore installed, and what a bundler makes of its program. */
function project(t: ExecutionContext, from: string): { path: string; entry: string } {
  const path = folder(t);
  mkdirSync(`${path}/node_modules`);
  symlinkSync(ROOT, `${path}/node_modules/ringcore`);
  writeFileSync(`${path}/package.json`, '{ "name": "consumer", "private": true }');
  // What a bundle must not take for ringcore's own.
  writeFileSync(`${path}/index.cjs`, "throw new Error('a file of the project was run');");
  mkdirSync(`${path}/out`);
  return { path, entry: write(`${path}/entry.mjs`, from) };
}

type Format = 'esm' | 'cjs';
type Bundle = (entry: string, file: string, format: Format, external: boolean) => Promise<void>;

const bundlers: Record<string, Bundle> = {
  esbuild: async (entry, file, format, external) => {
    const outside = external ? { external: ['ringcore'] } : {};
    // The warning that import.meta is empty in CommonJS is what the typed error is about.
    const logLevel = 'error';
    await esbuild.build({
      entryPoints: [entry],
      outfile: file,
      bundle: true,
      platform: 'node',
      format,
      logLevel,
      ...outside,
    });
  },
  rollup: async (entry, file, format, external) => {
    const outside = external ? [/^ringcore$/, /^node:/] : [/^node:/];
    const bundle = await rollup({ input: entry, external: outside, logLevel: 'silent' });
    await bundle.write({ file, format });
    await bundle.close();
  },
};

for (const [name, bundle] of Object.entries(bundlers)) {
  for (const format of ['esm', 'cjs'] as const) {
    const ending = format === 'esm' ? 'mjs' : 'cjs';
    all(`a bundle of ${name} as ${format} works with ringcore external`, async (t) => {
      const { path, entry } = project(t, 'ringcore');
      const file = `${path}/out/bundle.${ending}`;
      await bundle(entry, file, format, true);
      t.regex(readFileSync(file, 'utf8'), /(from |require\()['"]ringcore['"]/);
      t.deepEqual(await use(t, file, ['--no-warnings']), works);
    });

    all(`a bundle of ${name} as ${format} with ringcore in it says what to do`, async (t) => {
      // By its path: rollup follows no package names without a plugin.
      const { path, entry } = project(t, INDEX);
      const file = `${path}/out/bundle.${ending}`;
      await bundle(entry, file, format, false);
      t.notRegex(readFileSync(file, 'utf8'), /(from |require\()['"]ringcore['"]/);
      const said = await use(t, file, ['--no-warnings']);
      // Rollup gives CommonJS an import.meta.url of its own; what lies there is still not ringcore.
      refused(t, said, /bundled away/, /[Mm]ark ringcore as external/);
    });
  }
}

// --- the smoke set ------------------------------------------------------------------------------

all('the smoke set passes', async (t) => {
  t.timeout(5 * 60_000);
  const { code, stdout, stderr } = await child(`${ROOT}/__test__/compat/smoke.mjs`, [], {
    limit: 4 * 60_000,
  });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Result);
  t.deepEqual(
    lines.filter(({ state }) => state === 'failed'),
    [],
  );
  t.true(lines.length >= 40, `${lines.length} cases`);
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' });
});

interface Result {
  test: string;
  state: 'passed' | 'failed' | 'skipped';
}
