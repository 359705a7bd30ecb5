// Brings a checkout to a state in which it runs: packages, native module, TypeScript. Every step
// runs only when what it reads has changed, and everything is said on standard error, because the
// standard output of `npm start` belongs to the program that is started.

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onSignal, root, run, tool } from './children.mjs';
import { takeLock } from './lock.mjs';

class SetupError extends Error {
  constructor(message, code = 1) {
    super(message);
    this.code = code;
  }
}

/** What tests and benchmarks take from inside of the bundle; in no package. */
const INTERNALS = '__test__/internals.ts';

const steps = [
  {
    text: 'installing packages (npm)',
    stamp: 'node_modules/.ringcore-packages',
    outputs: () => existsSync(join(root, 'node_modules')),
    inputs: () => ['package.json', 'package-lock.json', '.npmrc'],
    parts: { 'package.json': dependenciesOnly },
    work: installPackages,
  },
  {
    text: 'building the native module (cargo; the first time takes a minute)',
    stamp: 'target/setup/native',
    when: () => process.platform === 'linux' && existsSync(join(root, 'src/lib.rs')),
    outputs: () => existsSync(join(root, 'index.d.ts')) && nativeModules().length > 0,
    inputs: rustSources,
    parts: { 'package.json': nativeOnly },
    work: buildNative,
  },
  {
    text: 'building TypeScript (src)',
    stamp: 'dist/.ringcore-src',
    when: () => sources('src', '.ts').length > 0,
    outputs: () => existsSync(join(root, 'dist/index.js')),
    inputs: () => [
      'tsconfig.json',
      'index.d.ts',
      'package-lock.json',
      INTERNALS,
      ...sources('src', '.ts'),
    ],
    work: async () => {
      await declare();
      await bundle();
    },
  },
  {
    text: 'building TypeScript (examples)',
    stamp: 'dist/examples/.ringcore-examples',
    when: () => sources('examples', '.ts').length > 0,
    outputs: () => existsSync(join(root, 'dist/examples')),
    // The sources stand for the types in dist, which are made from them.
    inputs: () => [
      'tsconfig.json',
      'tsconfig.examples.json',
      'package-lock.json',
      ...sources('src', '.ts'),
      ...sources('examples', '.ts'),
    ],
    work: buildExamples,
  },
];

/** Does what is needed; throws a SetupError, whose message is for people, when that fails. */
export async function setup() {
  checkNode();
  if (steps.every(isFresh)) return;
  const unlock = await takeLock(join(root, 'target/setup/lock'), (pid) =>
    say(`waiting for another set-up (process ${pid})`),
  );
  const forget = onSignal(unlock);
  try {
    for (const step of steps) if (!isFresh(step)) await perform(step);
  } finally {
    forget();
    unlock();
  }
}

/** setup() for a script's first line: says what went wrong and returns the exit code. */
export async function setupOrExplain() {
  try {
    await setup();
    return 0;
  } catch (error) {
    say(error instanceof SetupError ? error.message : error.stack);
    return error.code > 0 ? error.code : 1;
  }
}

function say(text) {
  process.stderr.write(`ringcore set-up: ${text}\n`);
}

function isFresh(step) {
  if (step.when && !step.when()) return true;
  if (!step.outputs()) return false;
  try {
    return readFileSync(join(root, step.stamp), 'utf8') === hash(step);
  } catch {
    return false;
  }
}

async function perform(step) {
  say(step.text);
  const stamp = join(root, step.stamp);
  rmSync(stamp, { force: true });
  // Hashed before the work: an edit made meanwhile is then seen next time. A lock file is what the
  // work itself may write, so it alone is hashed afterwards.
  const before = fingerprint(step, isLockFile, false);
  await step.work();
  mkdirSync(join(stamp, '..'), { recursive: true });
  writeFileSync(stamp, before + fingerprint(step, isLockFile, true));
}

function hash(step) {
  return fingerprint(step, isLockFile, false) + fingerprint(step, isLockFile, true);
}

function isLockFile(file) {
  return file === 'Cargo.lock' || file === 'package-lock.json' || file === 'index.d.ts';
}

function fingerprint(step, filter, wanted) {
  const digest = createHash('sha256');
  digest.update(`${process.platform} ${process.arch}\0`);
  for (const file of step.inputs()) {
    if (filter(file) !== wanted) continue;
    let bytes = '';
    try {
      bytes = readFileSync(join(root, file));
    } catch {
      // A file that is not there counts as empty: making it changes the hash.
    }
    digest.update(`${file}\0`);
    digest.update(step.parts?.[file] ? step.parts[file](bytes) : bytes);
    digest.update('\0');
  }
  return `${digest.digest('hex')}\n`;
}

function sources(folder, ending) {
  const found = [];
  const walk = (path) => {
    for (const entry of list(path)) {
      if (entry.isDirectory() && entry.name !== 'node_modules') walk(`${path}/${entry.name}`);
      else if (entry.name.endsWith(ending)) found.push(`${path}/${entry.name}`);
    }
  };
  walk(folder);
  return found.sort();
}

function list(path) {
  try {
    return readdirSync(join(root, path), { withFileTypes: true });
  } catch {
    return [];
  }
}

// The tests and examples of the crates are not part of the native module.
function rustSources() {
  const files = ['Cargo.toml', 'Cargo.lock', 'build.rs', '.cargo/config.toml', 'package.json'];
  files.push('rust-toolchain.toml', ...sources('src', '.rs'));
  for (const { name } of list('crates')) {
    files.push(`crates/${name}/Cargo.toml`, `crates/${name}/build.rs`);
    files.push(...sources(`crates/${name}/src`, '.rs'));
  }
  return files.sort();
}

function dependenciesOnly(text) {
  const { dependencies, devDependencies, optionalDependencies, overrides } = JSON.parse(text);
  return JSON.stringify([dependencies, devDependencies, optionalDependencies, overrides]);
}

function nativeOnly(text) {
  const { napi, devDependencies } = JSON.parse(text);
  return JSON.stringify([napi, devDependencies?.['@napi-rs/cli']]);
}

function nativeModules() {
  if (!existsSync(join(root, 'index.cjs'))) return [];
  return list('.').filter(({ name }) => name.endsWith('.node'));
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  const need = 'ringcore needs Node.js 20.19 or newer';
  throw new SetupError(`${need}, this is ${process.versions.node}. See https://nodejs.org/`);
}

async function installPackages() {
  let result = { code: 1, output: 'EUSAGE' };
  if (existsSync(join(root, 'package-lock.json'))) result = await npm('ci');
  // A registry that lacks an optional package of some other platform makes npm write a lock file
  // that `npm ci` refuses; what is locked is still installed exactly.
  if (result.code !== 0 && /EUSAGE/.test(result.output)) result = await npm('install', '--no-save');
  if (result.missing) {
    throw new SetupError('npm was not found on the PATH. It comes with Node.js.', 127);
  }
  failOn(result, 'npm could not install the packages; its output is above.');
}

function npm(...command) {
  const args = [...command, '--include=dev', '--no-fund', '--no-audit', '--loglevel=error'];
  // The npm that runs us is preferred to whichever comes first on the PATH.
  const cli = process.env.npm_execpath ?? '';
  if (/npm-cli\.[cm]?js$/.test(basename(cli))) return run(process.execPath, [cli, ...args]);
  return run('npm', args);
}

async function buildNative() {
  const cargo = await run('cargo', ['--version']);
  if (cargo.missing) {
    throw new SetupError(
      'cargo was not found. The native module is built from source: install Rust 1.88 or newer ' +
        'from https://rustup.rs/ (or your system packages), then run the same command again.',
      127,
    );
  }
  failOn(cargo, 'cargo does not run; its output is above.');
  // Without the cache of type definitions, index.d.ts can never be older than the code, even when
  // a plain `cargo build --release` has compiled the crate in between.
  const outputs = ['--js', 'index.cjs', '--dts', 'index.d.ts', '--no-dts-cache'];
  const args = ['build', '--platform', '--release', ...outputs];
  const result = await tool('@napi-rs/cli', 'napi', args);
  let hint = 'the native module could not be built; the output is above.';
  if (/linker `[^`]*` not found|could not exec the linker/.test(result.output)) {
    hint =
      'Rust found no C linker. Install one (Debian and Ubuntu: apt install build-essential; ' +
      'Fedora: dnf install gcc; Alpine: apk add build-base), then run the same command again.';
  } else if (/requires rustc|is not supported by the following package/.test(result.output)) {
    hint = 'this Rust is too old. ringcore needs 1.88 or newer: rustup update stable.';
  }
  failOn(result, hint);
}

/** Types of every source file, and what the compiler has to say. */
async function declare() {
  await typescript('tsconfig.json', 'src', ['--emitDeclarationOnly']);
  const stems = sources('src', '.ts').map((file) => `dist/${file.slice(4, -'.ts'.length)}`);
  sweep('dist', ['.d.ts', '.d.ts.map'], (stem) => stems.includes(stem));
}

/**
 * The JavaScript: few files, since an import takes a third of a millisecond a file. What several of
 * the entries need is in chunks that they share, so that there is one of each class.
 */
async function bundle() {
  // esbuild only takes the types off: its own bundles rename classes, which all may see.
  const [{ rollup }, { transform }] = await Promise.all([import('rollup'), import('esbuild')]);
  const tsconfigRaw = readFileSync(join(root, 'tsconfig.json'), 'utf8');
  const options = { loader: 'ts', format: 'esm', sourcemap: true, tsconfigRaw };
  const strip = (code, id) => transform(code, { ...options, sourcefile: id });
  const input = {
    index: 'src/index.ts',
    'node/fs': 'src/node/fs.ts',
    'node/fs-promises': 'src/node/fs-promises.ts',
    cli: 'src/cli.ts',
    internals: INTERNALS,
  };
  const made = await rollup({
    input: Object.fromEntries(
      Object.entries(input).map(([name, file]) => [name, join(root, file)]),
    ),
    external: /^node:/,
    plugins: [{ name: 'types', transform: strip }],
  });
  const { output } = await made.write({
    dir: join(root, 'dist'),
    chunkFileNames: 'chunk-[hash].js',
    sourcemap: true,
    sourcemapExcludeSources: true,
    hoistTransitiveImports: false,
    minifyInternalExports: false,
  });
  await made.close();
  // What was deleted or renamed in the source must not live on in the package.
  const files = output.map(({ fileName }) => `dist/${fileName.replace(/\.js(\.map)?$/, '')}`);
  sweep('dist', ['.js', '.js.map'], (stem) => files.includes(stem));
}

async function buildExamples() {
  await typescript('tsconfig.examples.json', 'examples', []);
  const stems = sources('examples', '.ts').map((file) => `dist/${file.slice(0, -'.ts'.length)}`);
  sweep('dist/examples', ['.js', '.js.map'], (stem) => stems.includes(stem));
}

async function typescript(project, from, options) {
  const args = ['-p', project, '--pretty', 'false', ...options];
  const result = await tool('typescript', 'tsc', args);
  failOn(result, `TypeScript found errors in ${from}/; they are above.`);
}

/** Removes the files with these endings whose stems are not to be kept. */
function sweep(folder, endings, keeps) {
  for (const ending of endings) {
    for (const file of sources(folder, ending)) {
      if (folder === 'dist' && file.startsWith('dist/examples/')) continue;
      if (!keeps(file.slice(0, -ending.length))) rmSync(join(root, file));
    }
  }
}

function failOn({ code, signal, output }, message) {
  if (code === 0) return;
  process.stderr.write(output.endsWith('\n') || output === '' ? output : `${output}\n`);
  throw new SetupError(signal ? `${message} (${signal})` : message, code ?? 1);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await setupOrExplain();
}
