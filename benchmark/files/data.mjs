// The files that cases work on. Each set is made once, in a folder of the benchmark, and filled:
// the kernel reads holes differently, and every byte says where it belongs.

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

const MIB = 1 << 20;

/** A mebibyte of 256 blocks of 4 KiB, each filled with its number. */
function blocks() {
  const bytes = Buffer.alloc(MIB);
  for (let block = 0; block < 256; block++) bytes.fill(block, block * 4096, (block + 1) * 4096);
  return bytes;
}

function large(path, mebibytes) {
  const bytes = blocks();
  const fd = openSync(path, 'w');
  for (let i = 0; i < mebibytes; i++) {
    for (let done = 0; done < MIB; ) done += writeSync(fd, bytes, done, MIB - done);
  }
  closeSync(fd);
}

/** 10 000 files; file i is filled with the byte i % 251. */
function small(path, size) {
  mkdirSync(path);
  for (let i = 0; i < 10_000; i++) writeFileSync(join(path, `${i}`), Buffer.alloc(size, i % 251));
}

function tree(path) {
  for (let folder = 0; folder < 50; folder++) {
    const inside = join(path, `folder-${folder}`);
    mkdirSync(inside, { recursive: true });
    for (let file = 0; file < 20; file++) {
      writeFileSync(join(inside, `${file}.txt`), Buffer.alloc(4096, folder));
    }
  }
}

const sets = {
  'small-1024': (path) => small(path, 1024),
  'small-65536': (path) => small(path, 65_536),
  blocks: (path) => large(path, 256),
  big: (path) => large(path, 100),
  source: (path) => large(path, 16),
  target: (path) => large(path, 64),
  tree,
  copies: (path) => mkdirSync(path),
  large: (path) => {
    mkdirSync(path);
    for (let i = 0; i < 4; i++) writeFileSync(join(path, `${i}`), Buffer.alloc(16 * MIB, i + 1));
  },
};

/** Makes the sets that are not there. A mark says that a set was finished. */
export function makeData(dir, names, progress = () => {}) {
  mkdirSync(dir, { recursive: true });
  let made = false;
  for (const name of names) {
    const [path, mark] = [join(dir, name), join(dir, `.${name}`)];
    if (existsSync(mark)) continue;
    progress(`writing the files of ${name}`);
    rmSync(path, { recursive: true, force: true });
    sets[name](path);
    writeFileSync(mark, '');
    made = true;
  }
  // What is written back later would be measured with the cases.
  if (made) spawnSync('sync', ['-f', dir]);
}

/** Removes all, or with `keep` only what grows with each run. */
export function removeData(dir, keep) {
  const path = keep ? join(dir, 'copies') : dir;
  rmSync(path, { recursive: true, force: true });
  if (keep) rmSync(join(dir, '.copies'), { force: true });
}
