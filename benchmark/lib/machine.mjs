// What a measurement has to say about where it was made.

import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { root } from '../../.ci/children.mjs';

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : '';
}

function fileSystem(dir) {
  const { stdout } = spawnSync('stat', ['-f', '-c', '%T', dir], { encoding: 'utf8' });
  return (stdout ?? '').trim();
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
