// Trees in a child process: as a user who may not read or write them, or with few descriptors.
// Argument: user or few, then the folder to work in.

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import own from '../../dist/node/fs-promises.js';
import { answer, descriptors, until } from './common.mjs';

const node = process.getBuiltinModule('node:fs/promises');
const [kind, root] = process.argv.slice(2);

const whole = { recursive: true };

/** Trees that their owner has closed in some places. */
function fill(at) {
  mkdirSync(join(at, 'readable/a'), whole);
  writeFileSync(join(at, 'readable/a/f'), 'f', { mode: 0o664 });
  writeFileSync(join(at, 'readable/run'), 'run');
  chmodSync(join(at, 'readable/run'), 0o6755);
  writeFileSync(join(at, 'readable/closed'), 'x', { mode: 0o400 });
  mkdirSync(join(at, 'readable/fixed/in'), whole);
  writeFileSync(join(at, 'readable/fixed/f'), 'f');
  symlinkSync('f', join(at, 'readable/fixed/l'));
  chmodSync(join(at, 'readable/fixed/in'), 0o500);
  chmodSync(join(at, 'readable/fixed'), 0o555);
  for (const name of ['file', 'folder', 'entry']) {
    mkdirSync(join(at, name, 'a/b'), whole);
    writeFileSync(join(at, name, 'a/one'), '1');
    writeFileSync(join(at, name, 'a/b/two'), '2');
    symlinkSync('one', join(at, name, 'a/l'));
  }
  // A copy is given up when this folder of it is complete.
  mkdirSync(join(at, 'file/0'));
  writeFileSync(join(at, 'file/0/f'), 'f');
  chmodSync(join(at, 'file/0'), 0o555);
  chmodSync(join(at, 'file/a/b/two'), 0);
  chmodSync(join(at, 'folder/a/b'), 0);
  chmodSync(join(at, 'entry/a/b'), 0o444);
  mkdirSync(join(at, 'target'));
  chmodSync(join(at, 'target'), 0o555);
}

function tree(path) {
  const stats = lstatSync(path);
  const all = [`${path.slice(root.length)} ${stats.mode.toString(8)}`];
  if (stats.isFile() && (stats.mode & 0o400) !== 0) all[0] += readFileSync(path, 'latin1');
  if (!stats.isDirectory()) return all;
  try {
    for (const name of readdirSync(path).sort()) all.push(...tree(join(path, name)));
  } catch {
    all.push('closed');
  }
  return all;
}

async function outcome(call, at) {
  const plain = (text) => text?.replaceAll(at, 'ROOT');
  const left = () => tree(at).map((line) => line.replaceAll(at.slice(root.length), 'ROOT'));
  try {
    const value = await call();
    const entries = value?.map((each) => (typeof each === 'string' ? each : each.name));
    return { value: entries ?? typeof value, left: left() };
  } catch (error) {
    const { code, errno, syscall, path, dest, message } = error;
    const words = { path: plain(path), dest: plain(dest), message: plain(message) };
    return { code, errno, syscall, ...words, left: left() };
  }
}

const asks = [
  (fs, at) => fs.cp(join(at, 'readable'), join(at, 'copy'), whole),
  (fs, at) => fs.cp(join(at, 'file'), join(at, 'copy-file'), whole),
  (fs, at) => fs.cp(join(at, 'folder'), join(at, 'copy-folder'), whole),
  (fs, at) => fs.cp(join(at, 'entry'), join(at, 'copy-entry'), whole),
  (fs, at) => fs.cp(join(at, 'readable'), join(at, 'target/copy'), whole),
  (fs, at) => fs.cp(join(at, 'readable'), join(at, 'copy'), whole),
  (fs, at) => fs.readdir(join(at, 'folder'), whole),
  (fs, at) => fs.readdir(join(at, 'entry'), { ...whole, withFileTypes: true }),
  (fs, at) => fs.readdir(join(at, 'readable'), whole),
];

/** What they leave, and which of several entries is refused first, is a race of Node's own. */
const removals = [
  (fs, at) => fs.rm(join(at, 'folder'), whole),
  (fs, at) => fs.rm(join(at, 'entry'), { ...whole, force: true }),
  (fs, at) => fs.rm(join(at, 'readable/fixed'), { ...whole, force: true }),
  (fs, at) => fs.chmod(join(at, 'file/0'), 0o755),
  (fs, at) => fs.rm(join(at, 'file'), whole),
  (fs, at) => fs.rm(join(at, 'target/none'), { force: true }),
  (fs) => fs.rm('/etc/passwd'),
];

const kinds = {
  async user() {
    const found = {};
    for (const [name, fs] of Object.entries({ node, ours: own })) {
      const at = join(root, name);
      fill(at);
      found[name] = [];
      for (const ask of asks) found[name].push(await outcome(() => ask(fs, at), at));
      for (const ask of removals) {
        const { code } = await outcome(() => ask(fs, at), at);
        found[name].push({ code: code ?? 'done' });
      }
    }
    answer({ uid: process.getuid(), ...found });
  },

  async few() {
    const tree = join(root, 'tree');
    for (let i = 0; i < 30; i++) {
      mkdirSync(join(tree, `d${i}`), whole);
      for (let j = 0; j < 10; j++) writeFileSync(join(tree, `d${i}/${j}`), 'x');
    }
    await own.cp(join(tree, 'd0'), join(root, 'first'), whole);
    await own.rm(join(root, 'first'), whole);
    const before = descriptors().size;
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, descriptors().size);
    }, 1);
    const copies = Array.from({ length: 40 }, (_, i) => join(root, `copy${i}`));
    const all = (start) => Promise.allSettled(copies.map(start));
    const copied = await all((to) => own.cp(tree, to, whole));
    const listed = await all((at) => own.readdir(at, whole));
    const removed = await all((at) => own.rm(at, whole));
    clearInterval(watch);
    await until(() => descriptors().size <= before); // Threads of the lane have their own.
    const ends = [copied, listed, removed].flat();
    const words = ends.map(({ status, reason }) => reason?.code ?? status);
    answer({ ends: words, most, before, after: descriptors().size });
  },
};

await kinds[kind]();
