// Libraries that take an `fs`, given ringcore/fs: the result is right, and the ring did the work.

import { execFileSync } from 'node:child_process';
import nodeFs from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import serially, { type ExecutionContext } from 'ava';
import glob from 'fast-glob';
import git from 'isomorphic-git';
import fs from '../../src/node/fs.ts';
import { current } from '../../src/runtime.ts';
import { child, folder, many, taken, until } from '../support.ts';

// The counts of the ring are of all tests that run.
const test = serially.serial;

serially.before(async () => {
  await current().op.nop();
});

/** How many operations the ring got meanwhile, and looks in their place. */
async function submitted(work: () => Promise<unknown>): Promise<number> {
  await until(() => current().stats().inFlight === 0);
  const before = taken(current());
  await work();
  return taken(current()) - before;
}

/** Files by their paths. */
function write(root: string, files: Record<string, string | Uint8Array>): void {
  for (const [name, content] of Object.entries(files)) {
    nodeFs.mkdirSync(dirname(join(root, name)), { recursive: true });
    nodeFs.writeFileSync(join(root, name), content);
  }
}

test('fast-glob finds what is there, and asks the ring for its metadata', async (t) => {
  const cwd = folder(t);
  const names = Array.from({ length: 60 }, (_, i) => `${i % 7}/deep/${i}.${i % 2 ? 'txt' : 'md'}`);
  write(cwd, Object.fromEntries(names.map((name, i) => [name, 'x'.repeat(i)])));
  nodeFs.symlinkSync('1', join(cwd, 'linked'));
  const options = { cwd, stats: true, followSymbolicLinks: true } as const;
  const show = (entries: { path: string; stats?: nodeFs.Stats }[]) =>
    entries.map(({ path, stats }) => `${path} ${stats?.size} ${stats?.isFile()}`).sort();
  const pattern = ['**/*.txt', '!3/**'];
  const expected = show(await glob(pattern, { ...options, fs: nodeFs }));
  let found: string[] = [];
  const used = await submitted(async () => {
    found = show(await glob(pattern, { ...options, fs }));
  });
  t.deepEqual(found, expected);
  t.true(found.length > 20 && found.includes('linked/deep/1.txt 1 true'), found.join('\n'));
  t.true(used >= found.length, `${used} operations`);
});

const author = { name: 'A', email: 'a@example.org', timestamp: 1_700_000_000, timezoneOffset: 0 };

/** What the git command says of the folder, where it is installed. */
function command(t: ExecutionContext, dir: string, ...args: string[]): string[] | null {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  try {
    const safe = ['-c', `safe.directory=${dir}`, '-c', 'core.quotePath=false'];
    const text = execFileSync('git', [...safe, ...args], { cwd: dir, env, encoding: 'utf8' });
    return text.split('\n').slice(0, -1);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    t.log('there is no git command here to compare with');
    return null;
  }
}

/** Two commits on two branches; what the library says, and what the command says of the same. */
async function repository(t: ExecutionContext, given: object): Promise<void> {
  const dir = folder(t);
  const how = { fs: given as typeof fs, dir };
  await git.init({ ...how, defaultBranch: 'main' });
  const files: Record<string, string | Uint8Array> = {
    'a.txt': 'one\n',
    'src/ü.ts': 'export {};\n',
    'bytes.bin': Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251),
    empty: '',
  };
  write(dir, files);
  const names = Object.keys(files);
  await git.add({ ...how, filepath: names });
  const first = await git.commit({ ...how, author, message: 'first\n' });
  await git.branch({ ...how, ref: 'side', checkout: true });
  write(dir, { 'a.txt': 'two\n', 'src/new.ts': 'new\n' });
  nodeFs.unlinkSync(join(dir, 'empty'));
  // Columns: HEAD, the folder, the index.
  const before = await git.statusMatrix(how);
  t.deepEqual(
    new Map(before.map(([name, ...state]) => [name, state.join()])),
    new Map([
      ['a.txt', '1,2,1'],
      ['bytes.bin', '1,1,1'],
      ['empty', '1,0,1'],
      ['src/new.ts', '0,2,0'],
      ['src/ü.ts', '1,1,1'],
    ]),
  );
  const porcelain = command(t, dir, 'status', '--porcelain', '-uall');
  if (porcelain) t.deepEqual(porcelain.sort(), [' D empty', ' M a.txt', '?? src/new.ts']);
  await git.add({ ...how, filepath: ['a.txt', 'src/new.ts'] });
  await git.remove({ ...how, filepath: 'empty' });
  const second = await git.commit({ ...how, author, message: 'second\n' });
  const log = (await git.log(how)).map(({ oid, commit }) => `${oid} ${commit.message}`);
  t.deepEqual(log, [`${second} second\n`, `${first} first\n`]);
  const lines = command(t, dir, 'log', '--format=%H %s');
  if (lines) t.deepEqual(lines, [`${second} second`, `${first} first`]);

  await git.checkout({ ...how, ref: 'main' });
  for (const [name, content] of Object.entries(files)) {
    t.true(nodeFs.readFileSync(join(dir, name)).equals(Buffer.from(content)), name);
  }
  t.false(nodeFs.existsSync(join(dir, 'src/new.ts')));
  const clean = command(t, dir, 'status', '--porcelain');
  if (clean) t.deepEqual(clean, []);
  command(t, dir, 'fsck', '--strict'); // Throws when it finds something.
}

test('isomorphic-git keeps a repository with the promises', async (t) => {
  const used = await submitted(() => repository(t, fs));
  t.true(used > 200, `${used} operations`);
});

test('isomorphic-git keeps a repository with the callbacks', async (t) => {
  // What it finds without `promises` it takes for functions with a callback.
  const { promises: _, ...callbacks } = fs;
  const used = await submitted(() => repository(t, callbacks));
  t.true(used > 200, `${used} operations`);
});

test('graceful-fs wraps the module, with its functions and its streams', async (t) => {
  const { gracefulify } = createRequire(import.meta.url)('graceful-fs');
  const copy = Object.defineProperties({}, Object.getOwnPropertyDescriptors(fs));
  const graceful = gracefulify(copy) as typeof fs;
  const dir = folder(t);
  const count = many(300);
  const names = Array.from({ length: count }, (_, i) => join(dir, `${i}`));
  const used = await submitted(async () => {
    await Promise.all(names.map((name) => promisify(graceful.writeFile)(name, name)));
    const read = await Promise.all(names.map((name) => promisify(graceful.readFile)(name, 'utf8')));
    t.deepEqual(read, names);
    const chunks: string[] = [];
    const stream = graceful.createReadStream(names[7] as string, 'utf8');
    for await (const chunk of stream) chunks.push(chunk);
    t.deepEqual(chunks, [names[7]]);
    t.true(stream instanceof nodeFs.ReadStream);
    await promisify(graceful.rename)(names[1] as string, join(dir, 'renamed'));
  });
  t.is(nodeFs.readFileSync(join(dir, 'renamed'), 'utf8'), names[1]);
  t.true(used >= 4 * count, `${used} operations`);
});

test('fs-extra works with ringcore/fs in place of the whole module', async (t) => {
  const dir = folder(t);
  const module = JSON.stringify(new URL('../../src/node/fs.ts', import.meta.url).href);
  const runtime = JSON.stringify(new URL('../../src/runtime.ts', import.meta.url).href);
  const source = `
    import fs from ${module};
    import Module, { createRequire } from 'node:module';
    import assert from 'node:assert/strict';
    const load = Module._load;
    Module._load = (name, ...rest) => (/^(node:)?fs$/.test(name) ? fs : load(name, ...rest));
    const extra = createRequire(${JSON.stringify(import.meta.url)})('fs-extra');
    const at = (name) => ${JSON.stringify(dir)} + '/' + name;
    for (let i = 0; i < 20; i++) {
      await extra.outputFile(at('from/' + (i % 4) + '/' + i), 'text ' + i);
    }
    await extra.outputJson(at('from/data.json'), { a: [1, 2] });
    await extra.copy(at('from'), at('to'));
    assert.deepEqual(await extra.readJson(at('to/data.json')), { a: [1, 2] });
    assert.equal(await extra.readFile(at('to/3/7'), 'utf8'), 'text 7');
    await extra.move(at('to'), at('moved'), { overwrite: true });
    assert.equal(await extra.pathExists(at('to')), false);
    await extra.ensureSymlink(at('moved/3'), at('link'));
    assert.deepEqual((await extra.readdir(at('link'))).sort(), ['11', '15', '19', '3', '7']);
    const read = (done) => extra.readFile(at('link/3'), 'utf8', (_, text) => done(text));
    assert.equal(await new Promise(read), 'text 3');
    await extra.emptyDir(at('moved'));
    await extra.remove(at('from'));
    assert.deepEqual((await extra.readdir(at(''))).sort(), ['link', 'moved']);
    const { current } = await import(${runtime});
    const { submitted, looks } = current().stats();
    console.log(submitted + looks);`;
  const { code, stdout, stderr } = await child(source);
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  t.true(Number(stdout) > 100, `${stdout} operations`);
});
