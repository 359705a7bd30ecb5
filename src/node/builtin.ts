// Node's own modules, for what the ring cannot do and where there is none.
//
// They come from process.getBuiltinModule: a bundler that puts ringcore in place of
// `node:fs/promises` must not make ringcore import itself. They are copies of this moment: whoever
// puts our functions into node's own module later gets no circle either.

type Fs = typeof import('node:fs');
type Promises = typeof import('node:fs/promises');

function builtin<T>(name: string): T {
  return process.getBuiltinModule(name) as T;
}

/** node:fs. */
export const nodeFs: Fs = { ...builtin<Fs>('node:fs') };

/** node:fs/promises. */
export const nodePromises: Promises = { ...builtin<Promises>('node:fs/promises') };
