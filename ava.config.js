export default {
  files: ['__test__/**/*.spec.ts'],
  extensions: { ts: 'module' },
  // One process per file: a native addon must not share its process with another file's tests,
  // and a crash then names the file it came from.
  workerThreads: false,
  timeout: '2m',
  // Node 22.18 and later strip types by themselves; Node 20 needs a loader for TypeScript.
  nodeArguments: [
    '--expose-gc',
    ...(process.features.typescript ? [] : ['--import=@oxc-node/core/register']),
  ],
};
