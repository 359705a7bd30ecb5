// One set-up at a time: a folder that says which process has it.

import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Waits for the lock and returns the function that gives it back. */
export async function takeLock(folder, onWait) {
  for (let told = false; ; ) {
    mkdirSync(dirname(folder), { recursive: true });
    try {
      mkdirSync(folder);
      writeFileSync(join(folder, 'owner'), me());
      return () => rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isStale(folder)) {
      steal(folder);
      continue;
    }
    if (!told) onWait(ownerOf(folder).split(' ')[0]);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function isStale(folder) {
  const owner = ownerOf(folder);
  if (owner !== '') return owner !== identity(owner.split(' ')[0]);
  // Between mkdir and the owner's name there is a moment; a process that died in it leaves this.
  try {
    return Date.now() - statSync(folder).mtimeMs > 10_000;
  } catch {
    return false;
  }
}

// Two waiters may both find the lock stale. Renaming takes it away from exactly one of them, and
// who took away a live lock after all (the other was quicker) puts it back.
function steal(folder) {
  const grave = `${folder}-stale-${process.pid}`;
  try {
    rmSync(grave, { recursive: true, force: true });
    renameSync(folder, grave);
  } catch {
    return;
  }
  if (!isStale(grave)) {
    try {
      renameSync(grave, folder);
      return;
    } catch {
      // A third one has made the lock anew; the builds below tolerate each other in that case.
    }
  }
  rmSync(grave, { recursive: true, force: true });
}

function ownerOf(folder) {
  try {
    return readFileSync(join(folder, 'owner'), 'utf8');
  } catch {
    return '';
  }
}

function me() {
  return identity(process.pid);
}

// A process number alone is used again; with its start time (field 22) it is not.
function identity(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    // The process is gone, or this system has no /proc.
  }
  try {
    process.kill(Number(pid), 0);
    return `${pid} `;
  } catch {
    return `${pid} gone`;
  }
}
