// npm test: sets up, then runs every check and every test, and ends with one line that counts them.
//
//   npm test                     everything
//   npm test -- rust ts checks   only these suites
//   npm test -- --stress         RINGCORE_STRESS=1: tests repeat what is random ten times as often

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { environment, root, run, tool } from './children.mjs';
import { setupOrExplain } from './setup.mjs';
import { tapReader } from './tap.mjs';

const suites = { checks: runChecks, rust: runRust, ts: runTypeScript };

const clippy = [
  'clippy',
  '--workspace',
  '--lib',
  '--bins',
  '--tests',
  '--examples',
  '--',
  '-D',
  'warnings',
];

const checks = [
  ['pairs', () => script('pairs.mjs')],
  ['pairs self-test', () => script('pairs.test.mjs')],
  ['tidy', () => script('tidy.mjs')],
  ['constants fresh', () => script('constants.mjs', '--check')],
  ['index.d.ts fresh', () => script('border.mjs')],
  [
    'format and lint',
    () => tool('@biomejs/biome', 'biome', ['ci', '--colors=off', '--error-on-warnings', '.']),
  ],
  ['cargo fmt', () => run('cargo', ['fmt', '--all', '--', '--check'])],
  ['cargo clippy', () => run('cargo', clippy)],
  ['types of the tests', () => tool('typescript', 'tsc', ['-p', 'tsconfig.test.json'])],
];

const MINUTE = 60_000;

const total = { passed: 0, failed: 0, skipped: 0 };

async function main(args) {
  const stress = args.includes('--stress');
  const wanted = args.filter((arg) => arg !== '--stress');
  const unknown = wanted.filter((name) => !Object.hasOwn(suites, name));
  if (unknown.length > 0) {
    const known = Object.keys(suites).join(', ');
    console.error(`There is no suite ${unknown.join(', ')}. Known: ${known}`);
    return 2;
  }
  if (stress) environment.RINGCORE_STRESS = '1';
  if ((await setupOrExplain()) !== 0) total.failed += 1;
  else {
    for (const [name, suite] of Object.entries(suites)) {
      if (wanted.length === 0 || wanted.includes(name)) await runSuite(name, suite);
    }
  }
  if (total.skipped > 0) console.log(`${total.skipped} skipped, named above`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

async function runSuite(name, suite) {
  const start = performance.now();
  console.log(`== ${name}`);
  const count = { passed: 0, failed: 0, skipped: 0 };
  await suite(count);
  // A suite that finds nothing has lost its tests, which must not look like success.
  if (count.passed + count.failed === 0) {
    console.log('FAILED: no test ran');
    count.failed = 1;
  }
  for (const key of Object.keys(total)) total[key] += count[key];
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
  console.log(
    `-- ${name}: ${count.passed} passed, ${count.failed} failed${skipped} (${seconds} s)`,
  );
}

function script(name, ...args) {
  return run(process.execPath, [join(root, '.ci', name), ...args]);
}

async function runChecks(count) {
  for (const [name, check] of checks) {
    const { code, missing, output } = await check();
    if (code === 0) {
      count.passed += 1;
      console.log(`ok ${name}`);
    } else if (missing || /no such command|is not installed for the toolchain/.test(output)) {
      count.skipped += 1;
      console.log(`SKIPPED ${name}: ${output.trim().split('\n')[0]}`);
    } else {
      count.failed += 1;
      console.log(`FAILED ${name}\n${output.trimEnd()}`);
    }
  }
}

async function runRust(count) {
  const command = ['test', '--workspace', '--no-fail-fast'];
  const { code, signal, output } = await run('cargo', command);
  const results = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const [, passed, failed, ignored] of output.matchAll(results)) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  for (const [, name] of output.matchAll(/^test (.* \.\.\. ignored.*)$/gm)) {
    console.log(`SKIPPED ${name}`);
  }
  // A test program that a signal ended has printed no result line.
  count.failed += (output.match(/process didn't exit successfully.*\(signal: /g) ?? []).length;
  // One that ended well without a result line has not run to its end.
  const begun = (output.match(/^running \d+ tests?$/gm) ?? []).length;
  const ended = (output.match(/^test result: /gm) ?? []).length;
  if (code === 0 && begun === ended) return;
  console.log(output.replace(/^test .* \.\.\. ok\n/gm, '').trimEnd());
  if (count.failed === 0) {
    count.failed = 1;
    console.log(`FAILED: cargo test ended with ${signal ?? code}`);
  }
}

async function runTypeScript(count) {
  const files = new Map();
  const read = tapReader((state, title, lines) => {
    count[state] += 1;
    const file = title.includes(' › ') ? title.slice(0, title.lastIndexOf(' › ')) : '';
    const group = files.get(file) ?? { passed: 0, failed: 0, skipped: 0 };
    group[state] += 1;
    files.set(file, group);
    if (state !== 'passed') console.log([`${state.toUpperCase()} ${title}`, ...lines].join('\n'));
  });
  const { code, signal, output, late } = await tool('ava', 'ava', ['--tap'], {
    onText: read,
    node: [`--import=${pathToFileURL(join(root, '.ci', 'tap-timeout.mjs'))}`],
    // ava's own watch sleeps for ever when it looks while a test has a longer time of its own.
    quiet: environment.RINGCORE_STRESS === '1' ? 60 * MINUTE : 6 * MINUTE,
  });
  read('\n');
  if (late) console.log('FAILED: no test has ended for minutes, ava was killed');
  for (const [file, { passed, failed }] of [...files].sort()) {
    console.log(`${failed > 0 ? 'FAILED' : 'ok'} ${file || 'tests'}: ${passed} passed`);
  }
  if (late) count.failed += 1;
  if (code === 0 || count.failed > 0) return;
  count.failed = 1;
  console.log(`${output.trimEnd()}\nFAILED: ava ended with ${signal ?? code}`);
}

process.exitCode = await main(process.argv.slice(2));
