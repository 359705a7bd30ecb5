// A failure with the frames of those who wait.
//
// A promise that is settled at a completion has no caller on the stack: the engine finds those who
// wait by the chain of promises, but only from inside of an async function. So a promise is not
// rejected but resolved to that of such a function, which throws when the two are connected.

import { withFrames } from './backend.ts';

/** For `resolve` of a promise that fails. */
export async function raise(error: unknown): Promise<never> {
  await null;
  await null; // The engine calls `then` of this promise in between.
  throw withFrames(error, raise);
}
