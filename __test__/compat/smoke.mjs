// The smoke set: what has to work on every runtime. Runs with Node, Bun and Deno, on what is built.
//
//   RUNTIME smoke.mjs            every case as a child of the same runtime; one line of JSON each
//   RUNTIME smoke.mjs NAME       one case, in this process
//
// A case is a process of its own, so that one which crashes or hangs fails alone.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as callbacks from './callbacks.mjs';
import * as cases from './cases.mjs';
import * as chains from './chains.mjs';
import * as command from './command.mjs';
import * as ends from './ends.mjs';

const all = { ...cases, ...callbacks, ...chains, ...ends, ...command };
const { bun, deno } = process.versions;
const RUNTIME = bun ? 'bun' : deno ? 'deno' : 'node';
const LIMIT = 30_000;

/** Runs a case in a child: how it ended. */
function child(name) {
  const file = fileURLToPath(import.meta.url);
  const args = deno ? ['run', '--allow-all', '--quiet', file, name] : [file, name];
  const env = { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' };
  return new Promise((resolve) => {
    const started = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr, late] = ['', '', false];
    started.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    started.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const watchdog = setTimeout(() => {
      late = true;
      started.kill('SIGKILL');
    }, LIMIT);
    started.on('close', (code, signal) => {
      clearTimeout(watchdog);
      resolve({ code, signal, stdout, stderr, late });
    });
  });
}

/** What is wrong with an end; null when it is the one that was expected. */
function fault(ended, { code = 0, stderr = /^$/, stdout = /^done\n$/ }) {
  const said = `stdout: ${ended.stdout.trim()}\nstderr: ${ended.stderr.trim()}`;
  if (ended.late) return `it did not end within ${LIMIT} ms\n${said}`;
  if (ended.code !== code) return `exit code ${ended.code}, signal ${ended.signal}\n${said}`;
  if (!stdout.test(ended.stdout) || !stderr.test(ended.stderr)) return said;
  return null;
}

const name = process.argv[2];
if (name !== undefined) {
  await all[name].run();
  // Printed at the end of the case, not of the process: an end that hangs is seen by the watchdog.
  process.stdout.write('done\n');
} else {
  let failed = 0;
  for (const [test, { run: _, skip = {}, ...expected }] of Object.entries(all)) {
    const reason = skip[RUNTIME];
    const found = reason === undefined ? fault(await child(test), expected) : null;
    const state = reason !== undefined ? 'skipped' : found === null ? 'passed' : 'failed';
    if (state === 'failed') failed++;
    const line = { test, state, ...((reason ?? found) ? { reason: reason ?? found } : {}) };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  process.exitCode = failed > 0 ? 1 : 0;
}
