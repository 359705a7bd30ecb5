// What a measurement has to say about where it was made.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { root } from '../../.ci/children.mjs';

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '';
}

/** The type of the mount that holds a folder: the longest that its path begins with. */
function fileSystem(dir) {
  let [longest, found] = ['', 'unknown'];
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, place = '', type] = line.split(' ');
    const holds = place === '/' || dir === place || dir.startsWith(`${place}/`);
    if (holds && place.length >= longest.length) [longest, found] = [place, type];
  }
  return found;
}

export function machine(dir) {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release().replace(/-.*/, ''),
    files: fileSystem(dir),
    load: Math.round(loadavg()[0] * 10) / 10,
  };
}

/** The commit, and whether what was measured differs from it. Results are not a difference. */
export function commit() {
  const changed = git('status', '--porcelain', '--', 'src', 'crates', 'Cargo.lock', 'package.json');
  return { id: git('rev-parse', '--short=10', 'HEAD'), dirty: changed !== '' };
}
