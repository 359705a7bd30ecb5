// npm run test:asan: AddressSanitizer over the Rust tests and over the lifecycle tests in Node.
//
//   npm run test:asan              both
//   npm run test:asan -- rust      only one of them: rust, node
//
// It sees what our own code, the mock kernel, Node and the C library do to the heap, to stacks and,
// in the Rust tests, to regions that nobody holds (crates/ringcore/src/buffer.rs poisons them). It
// cannot see what the kernel does: a late write into freed heap is found when the sanitizer checks
// the block as it leaves quarantine, or not at all. docs/safety.md names the tests for that.
//
// A nightly Rust has the sanitizer. Node itself is not instrumented: the C compiler's own runtime
// is loaded before it, and takes the place of its allocator.

import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { root, run, tool } from './children.mjs';
import { setupOrExplain } from './setup.mjs';

const folder = join(root, 'target/asan');
const flags = '-Zsanitizer=address -Cforce-frame-pointers=yes';
const reports = join(folder, 'reports');
const suites = { rust: runRust, node: runNode };
const total = { passed: 0, failed: 0, skipped: 0 };

// The sanitizer does not follow loom, which switches stacks under it; and what loom checks is the
// order of accesses, not memory. header.rs only compares numbers.
const left = ['loom', 'header'];

// Tests that start processes, workers and rings, and those that move bytes through regions.
const specs = ['lifecycle', 'ring', 'op', 'border', 'views'];

async function main(args) {
  const unknown = args.filter((name) => !Object.hasOwn(suites, name));
  if (unknown.length > 0) {
    console.error(
      `There is no suite ${unknown.join(', ')}. Known: ${Object.keys(suites).join(', ')}`,
    );
    return 2;
  }
  if ((await setupOrExplain()) !== 0) return count('FAILED set-up');
  const { code, output } = await run('rustc', ['+nightly', '-vV']);
  const host = /^host: (\S+)$/m.exec(output)?.[1];
  if (code !== 0 || !host) {
    console.log(output.trimEnd());
    return count(
      'FAILED: no nightly Rust, which has the sanitizer: rustup toolchain install nightly',
    );
  }
  mkdirSync(folder, { recursive: true });
  for (const [name, suite] of Object.entries(suites)) {
    if (args.length > 0 && !args.includes(name)) continue;
    console.log(`== ${name} under AddressSanitizer`);
    const before = total.passed + total.failed;
    rmSync(reports, { recursive: true, force: true });
    mkdirSync(reports, { recursive: true });
    await suite(host);
    showReports();
    if (total.passed + total.failed === before) count('FAILED: no test ran');
  }
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
  return total.failed > 0 ? 1 : 0;
}

function count(failure) {
  total.failed += 1;
  console.log(failure);
  return 1;
}

/** What the sanitizer wrote, whether a test looked at it or not. */
function showReports() {
  for (const name of readdirSync(reports)) {
    count(`FAILED: the sanitizer reports\n${readFileSync(join(reports, name), 'utf8').trimEnd()}`);
  }
}

const options = (more) => [`log_path=${join(reports, 'report')}`, 'exitcode=99', ...more].join(':');

async function runRust(host) {
  const tests = readdirSync(join(root, 'crates/ringcore/tests'))
    .filter((name) => name.endsWith('.rs') && !left.includes(name.slice(0, -3)))
    .flatMap((name) => ['--test', name.slice(0, -3)]);
  const command = ['+nightly', 'test', '-p', 'ringcore', '--lib', ...tests, '--no-fail-fast'];
  const { code, output } = await run(
    'cargo',
    [...command, '--target', host, '--target-dir', folder],
    {
      env: {
        RUSTFLAGS: `${flags} --cfg ringcore_asan`,
        // Leaks count as well: what is leaked on purpose (I7) says so in the code.
        ASAN_OPTIONS: options(['detect_leaks=1']),
      },
    },
  );
  const results = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const [, passed, failed, ignored] of output.matchAll(results)) {
    total.passed += Number(passed);
    total.failed += Number(failed);
    total.skipped += Number(ignored);
  }
  if (code === 0) return;
  console.log(output.replace(/^test .* \.\.\. ok\n/gm, '').trimEnd());
  count(`FAILED: cargo test ended with ${code}`);
}

async function runNode(host) {
  const runtime = await run('cc', ['-print-file-name=libasan.so']);
  const library = runtime.output.trim();
  if (runtime.code !== 0 || !library.startsWith('/') || !existsSync(library)) {
    count(`FAILED: the C compiler has no libasan.so: apt install gcc (or dnf install libasan)`);
    return;
  }
  const command = ['+nightly', 'build', '-p', 'ringcore-node', '--target', host];
  const target = join(folder, 'node');
  const built = await run('cargo', [...command, '--target-dir', target], {
    env: { RUSTFLAGS: flags },
  });
  if (built.code !== 0) {
    count(`${built.output.trimEnd()}\nFAILED: the native module could not be built`);
    return;
  }
  const copy = copyOfThePackage(join(target, host, 'debug/libringcore_node.so'));
  const files = specs.map((name) => `__test__/${name}.spec.ts`);
  const { code, output } = await tool('ava', 'ava', ['--tap', ...files], {
    cwd: copy,
    env: {
      LD_PRELOAD: realpathSync(library),
      RINGCORE_ASAN: '1',
      // V8 keeps what it took to the end, which is no leak; the quarantine's size bounds how much
      // freed memory the tests that watch the resident size see.
      ASAN_OPTIONS: options(['detect_leaks=0', 'quarantine_size_mb=8']),
    },
  });
  for (const [, not, title, skip] of output.matchAll(/^(not )?ok \d+ - (.*?)( # SKIP.*)?$/gm)) {
    if (skip) total.skipped += 1;
    else if (not) count(`FAILED ${title}`);
    else total.passed += 1;
  }
  if (code !== 0) console.log(output.replace(/^ok .*\n/gm, '').trimEnd());
  if (code !== 0 && total.failed === 0) count(`FAILED: ava ended with ${code}`);
}

/** The package with the instrumented module in the place of its own. The variable by which the
 * loader could be told another path belongs to all of napi-rs's modules, the test runner's too. */
function copyOfThePackage(module) {
  const copy = join(folder, 'package');
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  for (const name of readdirSync(root)) {
    if (/^(src|dist|__test__|index\..*|package\.json|.*config.*\.(js|json))$/.test(name)) {
      cpSync(join(root, name), join(copy, name), { recursive: true });
    }
    if (name.endsWith('.node')) copyFileSync(module, join(copy, name));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

process.exitCode = await main(process.argv.slice(2));
