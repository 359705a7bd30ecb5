// Sockets of the event loop beside stats that are awaited in a loop: how many echoes there were by
// the end of so many stats. Argument: how many.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { stat } from '../../dist/node/fs-promises.js';
import { answer, folder } from './common.mjs';

const path = `${folder()}/file`;
writeFileSync(path, 'x');
const server = createServer((peer) => peer.pipe(peer)).listen(0, '127.0.0.1');
await once(server, 'listening');
const socket = connect(server.address().port, '127.0.0.1');
await once(socket, 'connect');
let echoes = 0;
socket.on('data', () => {
  echoes++;
  if (!socket.writableEnded) socket.write('x');
});
await stat(path);
socket.write('x');
const stats = Number(process.argv[2]);
for (let i = 0; i < stats; i++) await stat(path);
answer({ stats, echoes });
socket.end();
server.close();
