// npm run test:node-fs: Node's own tests of fs.promises, with the drop-in in its place.
//
//   npm run test:node-fs -- FOLDER             FOLDER: a checkout of nodejs/node, or its test/
//   npm run test:node-fs -- FOLDER readFile    only the files whose names hold this
//     --fs                 the tests of node:fs, with `ringcore/fs` in its place
//     --node PATH          with this Node; its version should be that of the checkout
//     --exceptions PATH    another list of exceptions than node-fs-exceptions.json
//     --limit SECONDS      for each file, 60 unless told
//     --jobs N             so many at the same time, 2 unless told
//
// One line a file:
//   pass       with the number of operations that went through the ring
//   exception  it fails and is on the list, with the reason
//   without    it fails, and with node's own fs/promises in place it fails as well: the checkout is
//              of another version than this Node, or the machine lacks something
//   skip       it says itself that it does not apply here
//   FAIL       everything else, with its output
// Ends with the counts; the exit code is 1 when a file failed.

import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { onSignal, root, run } from './children.mjs';
import { setupOrExplain } from './setup.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PROMISES = /^test-(fs-.*promise.*|.*file-?handle.*)\.m?js$/;
const CALLBACKS = /^test-fs-(?!.*(promise|file-?handle)).*\.m?js$/;
const OUTPUT_LINES = 30;

/** What `parallel/` holds of the files that are meant, or null where there is no such folder. */
function filesOf(folder, meant) {
  for (const test of [join(folder, 'test'), folder]) {
    try {
      const all = readdirSync(join(test, 'parallel')).sort();
      return { test: realpathSync(test), all, names: all.filter((name) => meant.test(name)) };
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
    }
  }
  return null;
}

/** The options that a file asks for in its line `// Flags: ...`. */
function flagsOf(path) {
  const line = /^\/\/ Flags:(.*)$/m.exec(readFileSync(path, 'utf8'));
  return line === null ? [] : line[1].trim().split(/\s+/);
}

/** Lines of JSON, one or two from each thread of the test. */
function reportsOf(path) {
  try {
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}

/** Runs one file: how it ended, what it said, and what the preload reported. */
async function once(path, context, replace) {
  const work = mkdtempSync(join(context.work, 'file-'));
  const report = join(work, 'report');
  const env = {
    NODE_OPTIONS: '',
    NO_COLOR: '1',
    // Node's tests make their folder here instead of in the checkout.
    NODE_TEST_DIR: work,
    RINGCORE_NODE_FS_DIST: join(root, 'dist'),
    RINGCORE_NODE_FS_REPORT: report,
    RINGCORE_NODE_FS_ALL: context.all ? '1' : '0',
  };
  const preload = replace ? ['--require', join(HERE, 'node-fs-preload.cjs')] : [];
  const args = [...flagsOf(path), ...preload, path];
  const cwd = dirname(context.test);
  const ended = await run(context.node, args, { cwd, env, limit: context.limit });
  const reports = reportsOf(report);
  rmSync(work, { recursive: true, force: true });
  return { ...ended, reports };
}

/** Null when a run went well, otherwise what is wrong with it. */
function problemOf({ code, signal, late }, limit) {
  if (late) return `did not end within ${limit / 1000} s`;
  if (signal !== null) return `ended by ${signal}`;
  return code === 0 ? null : `exit code ${code}`;
}

/** The same of a run with the replacement, which has to prove that it was one. */
function problemOfReplaced(ended, limit) {
  const problem = problemOf(ended, limit);
  if (problem !== null) return problem;
  const replaced = ended.reports.filter((report) => 'replaced' in report);
  if (replaced.length > 0 && replaced.every((report) => report.replaced)) return null;
  return 'fs/promises was not replaced';
}

/** What a file came to: { state, text, output, operations }. */
async function judge(name, context) {
  const path = join(context.test, 'parallel', name);
  const reason = context.exceptions[name];
  const ended = await once(path, context, true);
  const problem = problemOfReplaced(ended, context.limit);
  const operations = ended.reports.reduce((sum, report) => sum + (report.operations ?? 0), 0);
  if (problem === null) {
    const skipped = /^1\.\.0 # Skipped: (.*)$/m.exec(ended.output);
    if (skipped !== null) return { state: 'skip', text: skipped[1], operations };
    const ring = operations === 0 ? 'the ring was not used' : `${operations} operations`;
    const listed = reason === undefined ? '' : '; it is on the list of exceptions';
    return { state: 'pass', text: ring + listed, operations, needless: reason !== undefined };
  }
  const control = problemOf(await once(path, context, false), context.limit);
  if (control !== null)
    return { state: 'without', text: `${control} without ringcore`, operations };
  if (reason !== undefined) return { state: 'exception', text: reason, operations };
  return { state: 'FAIL', text: problem, output: ended.output, operations };
}

function print(name, { state, text, output }) {
  console.log(`${state.padEnd(10)} ${name}: ${text}`);
  if (output === undefined || output.trim() === '') return;
  const lines = output.trimEnd().split('\n');
  if (lines.length > OUTPUT_LINES) lines.splice(0, lines.length - OUTPUT_LINES, '...');
  for (const line of lines) console.log(`    ${line}`);
}

async function runAll(names, context, jobs) {
  const total = { pass: 0, exception: 0, without: 0, skip: 0, FAIL: 0 };
  const seen = { operations: 0, idle: 0, needless: 0 };
  const queue = [...names];
  const worker = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const found = await judge(name, context);
      total[found.state] += 1;
      seen.operations += found.operations;
      if (found.state === 'pass' && found.operations === 0) seen.idle += 1;
      if (found.needless) seen.needless += 1;
      print(name, found);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return { total, seen };
}

function summary({ total, seen }, version) {
  const counts = [
    `${total.pass} passed`,
    `${total.FAIL} failed`,
    `${total.exception} exceptions`,
    `${total.without} fail on this Node (${version}) without ringcore`,
    `${total.skip} skipped`,
  ];
  console.log(counts.join(', '));
  console.log(`${seen.operations} operations went through the ring`);
  if (seen.idle > 0) console.log(`${seen.idle} of the passed files never used it`);
  if (seen.needless > 0) console.log(`${seen.needless} passed files are on the list of exceptions`);
}

function usage(text) {
  console.error(`${text}\nusage: npm run test:node-fs -- FOLDER [PATTERN] [--node PATH]`);
  return 2;
}

async function main(args) {
  const text = { type: 'string' };
  const all = { type: 'boolean', default: false };
  const options = { fs: all, node: text, exceptions: text, limit: text, jobs: text };
  let parsed;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    return usage(error.message);
  }
  const { values, positionals } = parsed;
  const [folder, pattern = '', ...more] = positionals;
  if (folder === undefined || more.length > 0) return usage('Which folder?');
  const found = filesOf(resolve(folder), values.fs ? CALLBACKS : PROMISES);
  if (found === null) return usage(`${folder} holds no test/parallel`);
  const names = found.names.filter((name) => name.includes(pattern));
  if (names.length === 0) return usage(`no file of ${found.test}/parallel is meant`);
  if ((await setupOrExplain()) !== 0) return 1;
  const node = values.node ?? process.execPath;
  const version = (await run(node, ['--version'])).output.trim();
  const list = values.exceptions ?? join(HERE, 'node-fs-exceptions.json');
  const exceptions = JSON.parse(readFileSync(list, 'utf8'));
  const work = mkdtempSync(join(tmpdir(), 'ringcore-node-fs-'));
  const clean = () => rmSync(work, { recursive: true, force: true });
  const forget = onSignal(clean);
  const limit = Number(values.limit ?? 60) * 1000;
  const context = { test: found.test, all: values.fs, node, exceptions, work, limit };
  try {
    const result = await runAll(names, context, Math.max(1, Number(values.jobs ?? 2)));
    for (const name of Object.keys(exceptions)) {
      if (!found.all.includes(name)) console.log(`${name} is on the list and not in the folder`);
    }
    summary(result, version);
    return result.total.FAIL > 0 || result.total.pass === 0 ? 1 : 0;
  } finally {
    forget();
    clean();
  }
}

process.exitCode = await main(process.argv.slice(2));
