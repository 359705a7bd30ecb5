// Random folder trees for the tests of cp, rm and readdir.

import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../src/mock.ts';
import { pattern } from './fs-sides.ts';

const pick = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)] as T;

const SIZES = [0, 0, 1, 100, 4096, 4097, 70_000];
const MODES = [0o644, 0o600, 0o755, 0o444, 0o666, 0o777, 0o4755, 0o2644];
const FOLDER_MODES = [0o755, 0o700, 0o777, 0o775, 0o1777, 0o2755, 0o555];
const TARGETS = [
  'a0',
  './a0',
  '../a1',
  'nowhere',
  'self',
  '.',
  '..',
  '../',
  'd0',
  'd0/',
  '../d0/.',
  '/etc/passwd',
  '/nowhere//at/all',
  'x/../a0',
];

/** What else may be in a tree. */
export interface Kinds {
  /** Names that are no UTF-8. */
  broken?: boolean;
  /** A FIFO. */
  fifo?: boolean;
  /** No links: node's cp into a tree that has them fails. */
  plain?: boolean;
}

/** A tree at `root`: files of all sizes and modes, links, hard links, empty and deep folders. */
export function grow(random: Random, root: string, kinds: Kinds = {}, depth = 0): void {
  mkdirSync(root);
  const files = random.below(depth === 0 ? 12 : 6);
  for (let i = 0; i < files; i++) {
    const name = random.chance(5) ? `a${i}${'x'.repeat(253)}` : `a${i}`;
    const path = join(root, name.slice(0, 255));
    writeFileSync(path, pattern(pick(random, SIZES), i));
    chmodSync(path, pick(random, MODES));
    if (random.chance(10)) linkSync(path, join(root, `hard${i}`));
  }
  if (random.chance(20)) writeFileSync(join(root, 'ünï cödé\n%'), 'x');
  const links = kinds.plain === true ? 0 : random.below(4);
  for (let i = 0; i < links; i++) symlinkSync(pick(random, TARGETS), join(root, `l${i}`));
  if (links > 0 && random.chance(20)) symlinkSync('self', join(root, 'self'));
  const folders = depth > 3 ? 0 : random.below(4);
  for (let i = 0; i < folders; i++) grow(random, join(root, `d${i}`), kinds, depth + 1);
  if (kinds.broken === true && depth === 1) {
    writeFileSync(Buffer.from(`${root}/\xff\xfe`, 'latin1'), 'x');
  }
  if (kinds.fifo === true && depth === 1) execFileSync('mkfifo', [join(root, 'fifo')]);
  if (random.chance(30)) chmodSync(root, pick(random, FOLDER_MODES));
}

/** Folders with files in them: so many, all alike. */
export function rows(root: string, folders: number, files: number): void {
  for (let i = 0; i < folders; i++) {
    mkdirSync(join(root, `d${i}`), { recursive: true });
    for (let j = 0; j < files; j++) writeFileSync(join(root, `d${i}/f${j}`), `${i} ${j}`);
  }
}
