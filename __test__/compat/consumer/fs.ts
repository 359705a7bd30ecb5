// ringcore/fs has the types of node:fs, as a whole and name for name.

import * as nodeFs from 'node:fs';
import * as names from 'ringcore/fs';
import fs, {
  createReadStream,
  type Dirent,
  type PathLike,
  promises,
  ReadStream,
  readFile,
  Stats,
  stat,
} from 'ringcore/fs';

export const whole: typeof nodeFs = fs;
export const named: typeof nodeFs = names;
export const back: typeof fs = nodeFs;

export function overloads(path: PathLike): void {
  readFile(path, 'utf8', (_error, text: string) => text);
  readFile(path, (_error, bytes: Buffer) => bytes);
  stat(path, { bigint: true }, (_error, { size, mtimeNs }) => [size, mtimeNs] satisfies bigint[]);
  stat(path, (_error, stats: Stats) => stats.size satisfies number);
  // @ts-expect-error: there is no such encoding.
  readFile(path, 'utf-9', () => {});
}

export async function classes(path: string): Promise<unknown[]> {
  const stream: ReadStream = createReadStream(path, { start: 1 });
  const entries: Dirent[] = await promises.readdir(path, { withFileTypes: true });
  const text: string = await promises.readFile(path, 'utf8');
  return [stream instanceof ReadStream, stream instanceof nodeFs.ReadStream, entries, text, Stats];
}
