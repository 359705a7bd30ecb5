// What cp, rm and readdir of folder trees have in common.
//
// What is plain goes this way. Whatever is odd stops it, and node's own function does the whole
// call again, over what is there: it succeeds, or fails with its own error.

/**
 * Since then node copies and lists a tree in one native request. It lists in another order, and
 * keeps a slash at the end of a link.
 */
export const NATIVE: boolean = Number.parseInt(process.versions.node, 10) >= 25;

/** What is not for the ring: node's own function is to do the call. */
export class HandOver extends Error {}

/** Something that only node's own function has an answer to. */
export function odd(): HandOver {
  return new HandOver('this is for node:fs');
}

export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null)?.code;

/**
 * What a tree does not do: its failure is the caller's only when the runtime was closed. Anything
 * else is for node to do once more.
 */
export async function orHandOver<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ERR_RINGCORE_CLOSED') throw error;
    throw odd();
  }
}

/** Whether a path has its `..` at the beginning: node's joins then mean what the kernel means. */
export function isStraight(path: string): boolean {
  let named = path.startsWith('/');
  for (const part of path.split('/')) {
    if (part === '..' && named) return false;
    if (part !== '..' && part !== '.' && part !== '') named = true;
  }
  return true;
}
