// Child processes of the scripts in this folder: their output, their end, and how signals reach
// them.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

// rustup adds itself to the shell's profile, which a shell that was open before has not read: its
// folder comes last on the PATH here.
const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
export const environment = {
  ...process.env,
  PATH: `${process.env.PATH ?? ''}${delimiter}${join(cargoHome, 'bin')}`,
};

const children = new Set();
const cleanups = new Set();

/**
 * Runs a command to its end and returns { code, signal, output, missing, late }. Never rejects. The
 * child reads nothing, so that the terminal and pipes of the user stay untouched. After `limit`
 * milliseconds, or `quiet` milliseconds without output, it is killed with everything that it has
 * started, and `late` is true.
 */
export function run(command, args, { cwd = root, env = {}, onText, limit = 0, quiet = 0 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...environment, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks = [];
    children.add(child);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => chunks.push(text));
    }
    if (onText) child.stdout.on('data', onText);
    let late = false;
    const kill = () => {
      late = true;
      endTree(child.pid, 'SIGKILL');
    };
    const timer = limit > 0 ? setTimeout(kill, limit) : undefined;
    const silence = quiet > 0 ? setTimeout(kill, quiet) : undefined;
    child.stdout.on('data', () => silence?.refresh());
    const end = (result) => {
      clearTimeout(timer);
      clearTimeout(silence);
      children.delete(child);
      const output = chunks.join('');
      resolve({ code: null, signal: null, missing: false, late, output, ...result });
    };
    child.on('error', (error) =>
      end({ code: 127, missing: error.code === 'ENOENT', output: String(error) }),
    );
    child.on('close', (code, signal) => end({ code, signal }));
  });
}

/**
 * Runs the command line tool of an installed package with the Node.js that runs this script; `node`
 * are arguments for that.
 */
export function tool(packageName, bin, args, { node = [], ...options } = {}) {
  const folder = join(root, 'node_modules', packageName);
  const { bin: bins } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return run(process.execPath, [...node, join(folder, bins[bin]), ...args], options);
}

/** Calls `cleanup` should a signal end this process. Returns a function that takes it back. */
export function onSignal(cleanup) {
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

// A terminal sends Ctrl-C to the whole group; `kill` and most supervisors reach this process only.
// The whole tree below is told, because cargo and npm do not pass SIGTERM on.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const child of children) endTree(child.pid, signal);
    for (const cleanup of cleanups) cleanup();
    process.kill(process.pid, signal);
  });
}

function endTree(top, signal) {
  for (const pid of [...descendants(top), top]) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended in the meantime.
    }
  }
}

function descendants(pid) {
  const parents = new Map();
  try {
    for (const name of readdirSync('/proc')) {
      if (/^\d+$/.test(name)) parents.set(Number(name), parentOf(name));
    }
  } catch {
    // No /proc on this system: only the direct child is told.
  }
  const found = new Set([pid]);
  for (let before = 0; before !== found.size; ) {
    before = found.size;
    for (const [child, parent] of parents) if (found.has(parent)) found.add(child);
  }
  found.delete(pid);
  return found;
}

function parentOf(pid) {
  try {
    // The command name in parentheses may hold spaces; the parent is the second field after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}
