// Node's own modules, for what the ring cannot do and where there is none.
//
// They come from process.getBuiltinModule: a bundler that puts ringcore in place of
// `node:fs/promises` must not make ringcore import itself. They are copies of this moment: whoever
// puts our functions into node's own module later gets no circle either.

type Fs = typeof import('node:fs');
type Promises = typeof import('node:fs/promises');

/** Getters stay getters: the streams of node:fs, which are loaded when they are read. */
function copy<T extends object>(module: T): T {
  const names = Object.getOwnPropertyDescriptors(module);
  return Object.create(Object.getPrototypeOf(module), names) as T;
}

/** node:fs. */
export const nodeFs: Fs = copy(process.getBuiltinModule('node:fs'));

/** node:fs/promises. */
export const nodePromises: Promises = copy(process.getBuiltinModule('node:fs/promises'));
