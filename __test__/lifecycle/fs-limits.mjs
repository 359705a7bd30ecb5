// The drop-in where something is scarce or forbidden; the same questions are asked of node's own
// module first. Argument: emfile, readonly, enospc or threadless, then the folder to work in.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { op as ring } from '../../dist/index.js';
import callbacks from '../../dist/node/fs.js';
import own from '../../dist/node/fs-promises.js';
import { answer, descriptors, until } from './common.mjs';

const node = process.getBuiltinModule('node:fs/promises');
const [kind, root] = process.argv.slice(2);

/** How it ended, without what differs between the sides. */
async function outcome(call, at) {
  try {
    const value = await call();
    return { value: value === undefined || typeof value !== 'object' ? value : 'an object' };
  } catch (error) {
    const { code, errno, syscall, path, dest, message } = error;
    const plain = (text) => text?.replaceAll(at, 'ROOT');
    return { code, errno, syscall, path: plain(path), dest: plain(dest), message: plain(message) };
  }
}

/** Every answer of both modules, each in a folder of its own that `fill` has made. */
async function both(asks, fill) {
  const found = { node: [], ours: [] };
  for (const [name, fs] of Object.entries({ node, ours: own })) {
    const at = join(root, name);
    if (fill !== undefined) fill(at);
    for (const ask of asks) found[name].push(await outcome(() => ask(fs, at), at));
  }
  return found;
}

const closing = (handle, use) => use(handle).finally(() => handle.close());

const kinds = {
  /** As a user who may not write there. */
  async readonly() {
    const asks = [
      (fs, at) => fs.writeFile(join(at, 'new'), 'x'),
      (fs, at) => fs.writeFile(join(at, 'file'), 'x'),
      (fs, at) => fs.appendFile(join(at, 'file'), 'x'),
      (fs, at) => fs.readFile(join(at, 'file'), 'utf8'),
      (fs, at) => fs.readFile(join(at, 'secret'), 'utf8'),
      (fs, at) => fs.readFile(join(at, 'closed/file')),
      (fs, at) => fs.open(join(at, 'file'), 'r+'),
      (fs, at) => fs.stat(join(at, 'closed/file')),
      (fs, at) => fs.lstat(join(at, 'closed')),
      (fs, at) => fs.mkdir(join(at, 'folder')),
      (fs, at) => fs.rmdir(join(at, 'closed')),
      (fs, at) => fs.unlink(join(at, 'file')),
      (fs, at) => fs.rename(join(at, 'file'), join(at, 'moved')),
      (fs, at) => fs.link(join(at, 'file'), join(at, 'linked')),
      (fs, at) => fs.symlink('file', join(at, 'symbolic')),
      (fs, at) => fs.truncate(join(at, 'file'), 1),
      (fs, at) => fs.chmod(join(at, 'file'), 0o666),
      (fs, at) => fs.utimes(join(at, 'file'), 1, 1),
      (fs, at) => fs.rm(join(at, 'file')),
      (fs, at) => fs.copyFile(join(at, 'file'), join(at, 'copied')),
      (fs, at) => fs.copyFile(join(at, 'file'), join(at, 'secret')),
      (fs, at) => fs.copyFile(join(at, 'file'), join(at, 'file')),
      (fs, at) => fs.copyFile(join(at, 'secret'), join(at, 'copied')),
      (fs, at) => fs.copyFile(join(at, 'closed/file'), join(at, 'copied')),
      (fs, at) => fs.copyFile(join(at, 'file'), join(at, 'closed/copied')),
      // Somebody else's, which everybody may write to: not its permissions.
      (fs, at) => fs.copyFile(join(at, 'file'), join(at, 'open')),
      (fs, at) => fs.readFile(join(at, 'open'), 'utf8'),
    ];
    answer({ uid: process.getuid(), ...(await both(asks)) });
  },

  /** On a filesystem of 1 MiB. */
  async enospc() {
    const bytes = Buffer.alloc(3 << 20, 'x');
    const use = (fs, at, flags, act) => fs.open(at, flags).then((handle) => closing(handle, act));
    const asks = [
      (fs, at) => fs.writeFile(join(at, 'f'), bytes),
      (fs, at) => fs.writeFile(join(at, 'f'), bytes.toString()),
      (fs, at) => fs.unlink(join(at, 'f')),
      (fs, at) => fs.appendFile(join(at, 'f'), bytes),
      (fs, at) => use(fs, join(at, 'f'), 'r+', (handle) => handle.writeFile(bytes)),
      (fs, at) => use(fs, join(at, 'f'), 'a', (handle) => handle.write('more')),
      (fs, at) => fs.unlink(join(at, 'f')),
      (fs, at) => use(fs, join(at, 'f'), 'w', (handle) => handle.write(Buffer.alloc(100))),
      (fs, at) => fs.readFile(join(at, 'f'), 'latin1'),
      (fs, at) => fs.unlink(join(at, 'f')),
      (fs, at) => fs.copyFile(process.execPath, join(at, 'f')),
      (fs, at) => fs.stat(join(at, 'f')),
      (fs, at) => fs.writeFile(join(at, 'f'), 'before'),
      (fs, at) => fs.copyFile(process.execPath, join(at, 'f')),
      (fs, at) => fs.readdir(at).then(String),
    ];
    answer(await both(asks, (at) => mkdirSync(at)));
  },

  /** As a user who may have no more threads: the lane has none, and node has all of its own. */
  async threadless() {
    const [from, to] = [join(root, 'from'), join(root, 'to')];
    await Promise.all(Array.from({ length: 8 }, () => node.stat(from)));
    await ring.nop();
    await own.readFile(from);
    execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=1']);
    const raw = await outcome(() => ring.copyFile(from, to), root);
    const made = await outcome(() => own.copyFile(from, to), root);
    const none = await outcome(() => own.copyFile(join(root, 'none'), to), root);
    const called = await new Promise((done) => callbacks.copyFile(from, `${to}2`, done));
    answer({
      raw,
      made,
      none,
      called,
      texts: [to, `${to}2`].map((path) => readFileSync(path, 'utf8')),
    });
  },

  /** With few descriptors: what can be opened is whole, what cannot says EMFILE. */
  async emfile() {
    const names = Array.from({ length: 200 }, (_, i) => join(root, `file${i}`));
    for (const name of names) writeFileSync(name, name);
    // The ring, its eventfd and whatever else stays open.
    await own.readFile(names[0]);
    await node.readFile(names[0]);
    const before = [...descriptors().keys()].length;
    const found = {};
    for (const [name, fs] of Object.entries({ node, ours: own })) {
      // Handles that are kept take descriptors away from everybody else.
      const kept = [];
      const refused = await failureOf(async () => {
        for (;;) kept.push(await fs.open(names[0], 'r'));
      });
      const none = await outcome(() => fs.readFile(names[1]), root);
      const made = await outcome(() => fs.writeFile(join(root, 'new'), 'x'), root);
      for (const handle of kept.splice(0, 8)) await handle.close();
      let next = 0;
      const counts = { whole: 0, EMFILE: 0, wrong: 0 };
      const worker = async () => {
        while (next < names.length) {
          const path = names[next++];
          const end = await outcome(() => fs.readFile(path, 'utf8'), root);
          if (end.value === path) counts.whole++;
          else if (end.code === 'EMFILE' && end.syscall === 'open') counts.EMFILE++;
          else counts.wrong++;
        }
      };
      await Promise.all(Array.from({ length: 64 }, worker));
      for (const handle of kept) await handle.close();
      const after = await outcome(() => fs.readFile(names[2], 'utf8'), root);
      await until(() => descriptors().size === before);
      found[name] = { refused, none, made, counts, after: after.value === names[2] };
    }
    answer({ found, before, after: descriptors().size });
  },
};

async function failureOf(call) {
  return (await outcome(call, root)).code;
}

await kinds[kind]();
