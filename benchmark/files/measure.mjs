// Runs the rows of a case: fresh processes, in turn, A B C, A B C.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment } from '../../.ci/children.mjs';
import { peerBinary } from '../lib/peers.mjs';

/** No process needs a fifth of it. */
const LIMIT_MS = 60_000;

const running = new Set();

/** Ends what is running; for a signal. */
export function stopAll() {
  for (const child of running) child.kill('SIGKILL');
}

function start(command, args, env, stdio) {
  const child = spawn(command, args, { env: { ...environment, ...env }, stdio });
  running.add(child);
  child.once('close', () => running.delete(child));
  return child;
}

/**
 * Keeps files in memory. Resolves to what it says and a function that lets go; a machine that does
 * not permit it measures with what the page cache keeps by itself.
 */
export async function hold(paths) {
  if (paths.length === 0) return { text: '', release: () => {} };
  const child = start(peerBinary('hold'), paths, {}, ['pipe', 'pipe', 'inherit']);
  const text = await new Promise((resolve) => {
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
      if (said.includes('\n')) resolve(said.trim());
    });
    child.once('error', (error) => resolve(`not locked: ${error.message}`));
    child.once('close', () => resolve(said.trim() || 'not locked: the program ended'));
  });
  // Its end is not waited for: unlocking a gigabyte takes a moment, and nobody is measured then.
  return { text, release: () => child.stdin?.end() };
}

/** One process; what it said, or the reason why not. */
function once(row, args, env) {
  return new Promise((resolve) => {
    const child = start(row.command, args, env, ['ignore', 'pipe', 'pipe']);
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    const chunks = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8');
      child[name].on('data', (text) => {
        chunks[name] += text;
      });
    }
    child.once('error', (error) => resolve({ failed: error.message }));
    child.once('close', (code, signal) => {
      clearTimeout(limit);
      if (code !== 0) return resolve({ failed: reason(code, signal, chunks.stderr) });
      try {
        resolve((row.read ?? JSON.parse)(chunks.stdout));
      } catch (error) {
        resolve({ failed: error.message });
      }
    });
  });
}

/** The line of standard error that says most. */
function reason(code, signal, stderr) {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const said = lines.find((line) => /error|panicked|not /i.test(line)) ?? lines[0] ?? '';
  const more = said.includes('panicked') ? ` ${lines[lines.indexOf(said) + 1] ?? ''}` : '';
  return `ended with ${signal ?? code}: ${said.trim()}${more}`.slice(0, 200);
}

function settingsOf(one, row, { dir, dist, warmMs, runMs }) {
  const settings = { family: one.family, name: one.name, dir, dist, warmMs, runMs, ...one.params };
  if (row.point !== undefined) settings.inFlight = row.point;
  return settings;
}

/** System calls for each operation, the process's beginning included: perf counts them. */
async function countSyscalls(one, row, options) {
  const base = mkdtempSync(join(tmpdir(), 'ringcore-perf-'));
  const file = join(base, 'counts');
  const perf = ['stat', '-x,', '-o', file, '-e', 'raw_syscalls:sys_enter', '--', row.command];
  const args = [...perf, ...row.line(settingsOf(one, row, options))];
  const said = await once({ ...row, command: 'perf' }, args, row.env);
  const count = said.failed ? NaN : Number(/^(\d+),/m.exec(readFileSync(file, 'utf8'))?.[1]);
  rmSync(base, { recursive: true });
  return count / said.all;
}

/** How a row is measured and what it gave, in rounds: null where a process failed. */
export async function measure(one, rows, options) {
  const { rounds, progress, onProcess = () => {} } = options;
  const held = await hold(one.warm.map((name) => join(options.dir, name)));
  if (held.text.startsWith('not')) options.warn(`${one.name}: the files are ${held.text}`);
  const found = rows.map(({ line: _line, read: _read, command: _command, env: _env, ...row }) => ({
    ...row,
    failed: undefined,
  }));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [i, row] of rows.entries()) {
        progress(round, i, row);
        const result = found[i];
        // What fails does so in every round, and may take its full minute each time.
        const said = result.failed
          ? { failed: result.failed }
          : await once(row, row.line(settingsOf(one, row, options)), row.env);
        if (said.failed) result.failed = said.failed;
        note(result, said, ['ns', 'cpu', 'disk', ...extra(one)]);
        onProcess({ case: one.name, row: row.id, round, ...said });
      }
    }
    if (one.syscalls && options.perf) {
      for (const [i, row] of rows.entries()) {
        if (row.who !== 'ringcore' || found[i].failed) continue;
        found[i].syscalls = await countSyscalls(one, row, options);
      }
    }
  } finally {
    held.release();
  }
  return { rows: found, held: held.text };
}

function extra(one) {
  return [...(one.columns ?? []), ...(one.main && one.main.field !== 'ns' ? [one.main.field] : [])];
}

function note(result, said, fields) {
  for (const field of fields) {
    result[field] ??= [];
    result[field].push(said[field] ?? null);
  }
}
