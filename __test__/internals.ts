// What tests in child processes and benchmarks take from inside of the built package: the same
// classes as its entries have. Built to dist/internals.js with them, and left out of the package.

// It reaches all that any entry reaches, so that the chunks are cut as if it were not there.
import '../src/node/fs.ts';
import '../src/index.ts';
import { H_REFERENCED, TURN_ENTER, TURN_PARK } from '../src/cqe.ts';
import * as ops from '../src/sqe.ts';

export { Border } from '../src/border.ts';
export { Kernel } from '../src/kernel.ts';
export { backend } from '../src/node/backend.ts';
export { FieldsOp, same } from '../src/ops/fields.ts';
export { RESOLVED } from '../src/promise.ts';
export { current, existing } from '../src/runtime.ts';
export { checkOptions } from '../src/setup.ts';

export const cqe = { H_REFERENCED, TURN_ENTER, TURN_PARK };
export const sqe = {
  IORING_OP_ACCEPT: ops.IORING_OP_ACCEPT,
  IORING_OP_BIND: ops.IORING_OP_BIND,
  IORING_OP_CONNECT: ops.IORING_OP_CONNECT,
  IORING_OP_LISTEN: ops.IORING_OP_LISTEN,
  IORING_OP_NOP: ops.IORING_OP_NOP,
  IORING_OP_SOCKET: ops.IORING_OP_SOCKET,
  NO_REGION: ops.NO_REGION,
};
