// backup without ringcore, without bar and --verify: each step is awaited from the thread pool.

import * as fs from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';

const AT_ONCE = 32;
const TEMPORARY = '.backup-tmp';
const failures = [];
let [copied, all, serial] = [0, 0, 0];

const permissions = (stat) => stat.mode & 0o7777;
const sameTime = (one, other) => Math.abs(one.mtimeMs - other.mtimeMs) <= 0.002;
const look = (path) => fs.lstat(path).catch(() => undefined);
// A name that is no UTF-8 survives as latin1, where every byte is a character.
const raw = (path) => Buffer.from(path, 'latin1');

async function guard(path, work) {
  try {
    return await work();
  } catch (error) {
    failures.push(`'${raw(path)}': ${error.message}`);
  }
}

async function each(items, work) {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function walk(root) {
  const entries = [{ path: '', stat: await fs.lstat(raw(root)) }];
  for (const { path, stat } of entries) {
    if (!stat.isDirectory()) continue;
    const read = () => fs.readdir(raw(join(root, path)), { encoding: 'latin1' });
    const names = (await guard(join(root, path), read)) ?? [];
    await each(names, async (name) => {
      const entry = { path: join(path, name) };
      entry.stat = await guard(entry.path, () => fs.lstat(raw(join(root, entry.path))));
      if (entry.stat !== undefined) entries.push(entry);
    });
  }
  return entries;
}

async function keep(path, stat) {
  if (process.geteuid() === 0) await fs.chown(path, stat.uid, stat.gid);
  await fs.utimes(path, stat.mtimeMs / 1000, stat.mtimeMs / 1000);
  await fs.chmod(path, permissions(stat));
}

async function sync(path) {
  const file = await fs.open(path);
  await file.sync();
  await file.close();
}

async function copy(src, dst, { path, stat }) {
  const [from, to] = [join(src, path), join(dst, path)].map(raw);
  const there = await look(to);
  if (stat.isSymbolicLink()) {
    const target = await fs.readlink(from, 'buffer');
    if (there?.isSymbolicLink() && target.equals(await fs.readlink(to, 'buffer'))) return;
    const temporary = raw(join(dst, TEMPORARY, String(serial++)));
    await fs.symlink(target, temporary);
    await fs.rename(temporary, to);
  } else {
    if (there?.mode === stat.mode && there.size === stat.size && sameTime(there, stat)) return;
    const temporary = raw(join(dst, TEMPORARY, String(serial++)));
    await fs.copyFile(from, temporary);
    const after = await fs.lstat(from);
    if (after.size !== stat.size || !sameTime(after, stat)) {
      throw new Error('it changed while it was being copied');
    }
    await keep(temporary, stat);
    await sync(temporary);
    await fs.rename(temporary, to);
  }
  copied++;
}

async function link(dst, first, entry) {
  const [from, to] = [raw(join(dst, first.path)), raw(join(dst, entry.path))];
  if ((await fs.lstat(from)).ino === (await look(to))?.ino) return;
  const temporary = raw(join(dst, TEMPORARY, String(serial++)));
  await fs.link(from, temporary);
  await fs.rename(temporary, to);
  copied++;
}

async function backup(src, dst) {
  const entries = await walk(src);
  const isNew = (await look(raw(dst))) === undefined;
  const folders = entries.filter(({ stat }) => stat.isDirectory());
  for (const { path } of folders) {
    const to = raw(join(dst, path));
    await guard(path, async () => {
      if ((await look(to)) === undefined) await fs.mkdir(to, 0o700);
      else await fs.chmod(to, 0o700);
    });
  }
  const temporary = raw(join(dst, TEMPORARY));
  await fs.rm(temporary, { recursive: true, force: true });
  await fs.mkdir(temporary);
  const files = entries.filter(({ stat }) => stat.isFile() || stat.isSymbolicLink());
  all = files.length;
  const firsts = new Map(); // By device and inode; links are made when the files are there.
  for (const entry of files.toReversed()) firsts.set(`${entry.stat.dev}:${entry.stat.ino}`, entry);
  const first = ({ stat }) => firsts.get(`${stat.dev}:${stat.ino}`);
  const own = files.filter((entry) => first(entry) === entry);
  await each(own, (entry) => guard(entry.path, () => copy(src, dst, entry)));
  for (const entry of files) {
    if (first(entry) !== entry) await guard(entry.path, () => link(dst, first(entry), entry));
  }
  await fs.rm(temporary, { recursive: true });
  for (const { path, stat } of folders.toReversed()) {
    const to = raw(join(dst, path));
    await guard(path, async () => {
      await sync(to);
      await keep(to, stat);
    });
  }
  if (isNew) await sync(raw(dirname(dst)));
}

const [src, dst, ...more] = process.argv.slice(2).map((path) => resolve(path));
const folder = async (path) => (await look(path))?.isDirectory();
if (dst === undefined || more.length > 0 || !(await folder(src))) {
  console.error('usage: backup SRC DST, two folders');
  process.exit(2);
}
const real = join(await fs.realpath(dirname(dst)), basename(dst));
if (`${real}${sep}`.startsWith(`${await fs.realpath(src)}${sep}`)) {
  console.error('backup: DST is inside of SRC');
  process.exit(2);
}
await backup(Buffer.from(src).toString('latin1'), Buffer.from(dst).toString('latin1'));
console.log(`${copied} of ${all} files copied`);
for (const failure of failures) console.error(`backup: ${failure}`);
process.exitCode = failures.length > 0 ? 1 : 0;
