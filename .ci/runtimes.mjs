// npm run test:runtimes: the smoke set and the lifecycle set on every runtime, with one binary.
//
//   npm run test:runtimes -- setup          fetches the runtimes into the cache
//   npm run test:runtimes                   all of them
//   npm run test:runtimes -- bun node-26    only those whose names begin like this
//   npm run test:runtimes -- --jobs=4       so many at the same time; one by itself
//
// Ends with a table (test x runtime), every reason for a skip, every failure, and the counts.

import { join } from 'node:path';
import { root, run, tool } from './children.mjs';
import { binaryOf, fetchAll, runtimes, wrong } from './fetch.mjs';
import { setupOrExplain } from './setup.mjs';
import { tapReader } from './tap.mjs';

const MARK = { passed: 'ok', failed: 'FAIL', skipped: 'skip' };
const LIFECYCLE = ['lifecycle', 'refused', 'compat'].map((name) => `__test__/${name}.spec.ts`);

/** Test → runtime → { state, reason }. */
const table = new Map();

function note(runtime, test, state, reason = '') {
  if (!table.has(test)) table.set(test, new Map());
  table.get(test).set(runtime.name, { state, reason });
}

async function smoke(runtime) {
  const file = join(root, '__test__/compat/smoke.mjs');
  const kind = runtime.name.startsWith('deno') ? ['run', '--allow-all', '--quiet'] : [];
  let seen = 0;
  const { code, signal, output } = await run(binaryOf(runtime), [...kind, file], {
    env: { NODE_OPTIONS: '', NO_COLOR: '1' },
  });
  for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
    const { test, state, reason } = JSON.parse(line);
    note(runtime, `smoke: ${test}`, state, reason);
    seen++;
  }
  // Its own end is a result as well: a smoke set that stopped half-way must not look like a pass.
  if (seen === 0 || (code !== 0 && code !== 1)) {
    note(runtime, 'smoke: ran to its end', 'failed', `${signal ?? code}\n${output}`);
  }
}

async function lifecycle(runtime) {
  let seen = 0;
  const read = tapReader((state, title, lines) => {
    seen++;
    // Why it is skipped is in the title: (runtime: reason).
    const [, name, reason] = /^(.*?)(?: \((?:node|bun|deno): (.*)\))?$/.exec(title);
    note(runtime, name.replace(' › ', ': '), state, state === 'failed' ? lines.join('\n') : reason);
  });
  const match = runtime.match === undefined ? [] : ['--match', runtime.match];
  const env = { RINGCORE_NODE: binaryOf(runtime) };
  // The smoke set has been run; ava's copy of it is for `npm test`.
  const args = ['--tap', ...match, '--match', '!the smoke set*', ...LIFECYCLE];
  const { code, output } = await tool('ava', 'ava', args, { env, onText: read });
  read('\n');
  if (seen === 0 || (code !== 0 && code !== 1)) {
    note(runtime, 'lifecycle: ran to its end', 'failed', `exit code ${code}\n${output}`);
  }
}

function print(chosen) {
  const wide = Math.max(...chosen.map(({ name }) => name.length)) + 1;
  const first = 68;
  const header = chosen.map(({ name }) => name.padStart(wide)).join('');
  console.log(`${'test'.padEnd(first)}${header}`);
  for (const [test, row] of table) {
    const cells = chosen.map(({ name }) => (MARK[row.get(name)?.state] ?? '-').padStart(wide));
    console.log(`${test.slice(0, first - 2).padEnd(first)}${cells.join('')}`);
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  const cells = { passed: [], failed: [], skipped: [] };
  for (const { name } of chosen) {
    for (const state of Object.keys(total)) {
      const count = [...table.values()].filter((row) => row.get(name)?.state === state).length;
      total[state] += count;
      cells[state].push(String(count).padStart(wide));
    }
  }
  for (const state of Object.keys(total)) {
    console.log(`${state.padEnd(first)}${cells[state].join('')}`);
  }
  return total;
}

/** Every skip and every failure, with its reason. */
function explain(state, heading) {
  for (const [test, row] of table) {
    for (const [name, found] of row) {
      if (found.state === state) console.log(`${heading} ${name}, ${test}: ${found.reason}`);
    }
  }
}

async function test(runtime) {
  const start = performance.now();
  const problem = wrong(runtime);
  if (problem !== null) note(runtime, 'the runtime', 'failed', problem);
  else {
    await smoke(runtime);
    await lifecycle(runtime);
  }
  const seconds = Math.round((performance.now() - start) / 1000);
  console.error(`${runtime.name}: ${problem ?? `${seconds} s`}`);
}

async function main(args) {
  if (args[0] === 'setup') return fetchAll();
  const jobs = Number(/^--jobs=(\d+)$/.exec(args.find((arg) => arg.startsWith('--')))?.[1] ?? 1);
  const names = args.filter((arg) => !arg.startsWith('--'));
  const chosen = runtimes.filter(
    ({ name }) => names.length === 0 || names.some((start) => name.startsWith(start)),
  );
  if (chosen.length === 0) {
    console.error(`No such runtime. Known: ${runtimes.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  if ((await setupOrExplain()) !== 0) return 1;
  const queue = [...chosen];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await test(next);
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, worker));
  const total = print(chosen);
  explain('skipped', 'SKIPPED');
  explain('failed', 'FAILED');
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
