// The border: descriptors out, completions in, through shared memory.
// Pair: crates/ringcore/src/border.rs
//
// Words are read and written as int32, which the engine keeps as small integers; Rust reads the
// same bits unsigned. I6: this memory is touched by the ring's own thread only.

import * as C from './cqe.ts';
import { isDirect, slotOf } from './direct.ts';
import type { Driver } from './driver.ts';
import * as S from './sqe.ts';

const DESCRIPTORS = C.BORDER_DESCRIPTORS >> 2;
const COMPLETIONS = C.BORDER_COMPLETIONS >> 2;
const KEPT = C.BORDER_KEPT >> 2;
/** One that is longer goes the way of all bytes. */
const LONGEST_TEXT = 1024;

/** The low word of a 64-bit offset; -1 is the file position, or a stream. */
export function low(offset: number | bigint): number {
  if (typeof offset === 'bigint') return Number(BigInt.asIntN(32, offset));
  return offset === -1 ? -1 : offset | 0;
}

/** Its high word. */
export function high(offset: number | bigint): number {
  if (typeof offset === 'bigint') return Number(BigInt.asIntN(32, offset >> 32n));
  return offset === -1 ? -1 : Math.floor(offset / 0x100000000) | 0;
}

/** Whoever takes a completion; answers how many bytes it copied. */
export type Take = (ticket: number, res: number, flags: number, opened: boolean) => number;

// PAIR: Border
/** The shared memory of one ring. */
export class Border {
  readonly words: Int32Array;
  private readonly inputs: Uint8Array;
  private inputsUsed = 0;
  /** What the last look at a file has read. */
  readonly cached: Buffer;
  /** Bytes of what went last into the inputs area. */
  inputBytes = 0;
  /** Places of kept descriptors: those below were used, and which of them are free. */
  private kept = 0;
  private readonly places: number[] = [];
  /** Descriptors written since the last turn. */
  count = 0;
  /** Those of them that wait for company: no turn is for them alone. */
  idle = 0;
  private readonly driver: Driver;

  constructor(driver: Driver) {
    this.driver = driver;
    this.words = new Int32Array(driver.memory);
    this.inputs = new Uint8Array(driver.memory, C.BORDER_INPUTS, C.INPUTS_BYTES);
    this.cached = Buffer.from(driver.memory, C.BORDER_CACHED, C.CACHED_BYTES);
  }

  // PAIR: Border.turn
  /** Hands the descriptors over; `mode` says what else happens. Inputs are free afterwards. */
  turn(mode: number): void {
    const { driver } = this;
    driver.push(this.count);
    this.count = 0;
    this.idle = 0;
    driver.submit(mode);
    this.inputsUsed = 0;
  }

  // PAIR: Border.start
  /**
   * Writes one descriptor, over the last turn's. The words of `extra` are 0: Rust sets them back.
   */
  start(
    opcode: number,
    ticket: number,
    fd: number,
    region: number,
    regionOffset: number,
    length: number,
    offsetLo: number,
    offsetHi: number,
    word0: number,
    word1: number,
    sqeFlags: number,
  ): void {
    const { words } = this;
    const at = DESCRIPTORS + this.count * S.DESCRIPTOR_WORDS;
    const direct = isDirect(fd);
    this.count++;
    words[at + S.D_OPCODE] = opcode;
    words[at + S.D_FD] = direct ? slotOf(fd) : fd;
    words[at + S.D_REGION] = region;
    words[at + S.D_REGION_OFFSET] = regionOffset;
    words[at + S.D_LENGTH] = length;
    words[at + S.D_OFFSET_LO] = offsetLo;
    words[at + S.D_OFFSET_HI] = offsetHi;
    words[at + S.D_WORD0] = word0;
    words[at + S.D_WORD1] = word1;
    words[at + S.D_SQE_FLAGS] = direct ? sqeFlags | S.IOSQE_FIXED_FILE : sqeFlags;
    words[at + S.D_TICKET] = ticket;
  }

  /** Words that few operations have, of the descriptor written last. */
  extra(
    ioprio: number,
    addrHigh: number,
    input: number,
    inputLength: number,
    fileIndex: number,
  ): void {
    const { words } = this;
    const at = DESCRIPTORS + (this.count - 1) * S.DESCRIPTOR_WORDS;
    words[at + S.D_IOPRIO] = ioprio;
    words[at + S.D_WORD2] = addrHigh;
    words[at + S.D_INPUT] = input;
    words[at + S.D_INPUT_LENGTH] = inputLength;
    words[at + S.D_FILE_INDEX] = fileIndex;
  }

  /** Links the descriptor written last to the next one. */
  link(flag: number): void {
    const at = DESCRIPTORS + (this.count - 1) * S.DESCRIPTOR_WORDS + S.D_SQE_FLAGS;
    this.words[at] = (this.words[at] as number) | flag;
  }

  /** Takes back everything from the descriptor with this index on. */
  rollback(count: number): void {
    const from = DESCRIPTORS + count * S.DESCRIPTOR_WORDS;
    this.words.fill(0, from, DESCRIPTORS + this.count * S.DESCRIPTOR_WORDS);
    this.count = count;
  }

  /** Copies bytes into the inputs area; where they start. -1: no room this turn. */
  input(bytes: Uint8Array): number {
    const from = this.inputsUsed;
    const end = from + bytes.length;
    if (end > C.INPUTS_BYTES) return -1;
    this.inputs.set(bytes, from);
    this.inputBytes = bytes.length;
    // Structs of 8-byte words among them stay aligned.
    this.inputsUsed = (end + 7) & ~7;
    return from;
  }

  /** The same for a text of ASCII with a NUL behind it. -1: it has other characters as well. */
  text(text: string): number {
    const { inputs } = this;
    const from = this.inputsUsed;
    const { length } = text;
    if (length > LONGEST_TEXT || from + length >= C.INPUTS_BYTES) return -1;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 127) return -1;
      inputs[from + i] = code;
    }
    inputs[from + length] = 0;
    this.inputBytes = length + 1;
    this.inputsUsed = (from + length + 8) & ~7;
    return from;
  }

  /** A look at the file whose path was put last into the inputs area, which is free again. */
  look(from: number): number {
    const { words } = this;
    words[C.H_CACHED] = from;
    words[C.H_CACHED_PATH] = this.inputBytes;
    this.inputsUsed = from;
    this.driver.look();
    return words[C.H_CACHED] as number;
  }

  /** Reads what the last look has left open; how many bytes. */
  fill(bytes: Uint8Array): number {
    const { words } = this;
    words[C.H_CACHED] = 0;
    this.driver.fill(bytes);
    return words[C.H_CACHED] as number;
  }

  /**
   * A look at the metadata of such a path; `kind`: STAT_*. 0: it begins at `BORDER_CACHED`; or a
   * negative errno.
   */
  stat(from: number, kind: number): number {
    this.inputsUsed = from;
    return this.asked(from, this.inputBytes, kind);
  }

  /** The same of a descriptor. */
  fstat(fd: number): number {
    return this.asked(fd, 0, C.STAT_FILE);
  }

  private asked(at: number, bytes: number, kind: number): number {
    const { words } = this;
    words[C.H_STAT] = at;
    words[C.H_STAT_PATH] = bytes;
    words[C.H_STAT_KIND] = kind;
    this.driver.stat();
    return words[C.H_STAT] as number;
  }

  /**
   * A descriptor waits in a stream: if this thread ends first, teardown closes it (I3). Its place,
   * or -1 when there is no more room.
   */
  keep(fd: number): number {
    const place = this.places.pop() ?? this.kept;
    if (place === C.MAX_KEPT) return -1;
    if (place === this.kept) this.kept++;
    this.words[KEPT + place] = fd + 1;
    return place;
  }

  /** Somebody has taken it. */
  unkeep(place: number): void {
    if (place < 0) return;
    this.words[KEPT + place] = 0;
    this.places.push(place);
  }

  /** Whether the inputs area has room for so many bytes. */
  affords(bytes: number): boolean {
    return this.inputsUsed + bytes <= C.INPUTS_BYTES;
  }

  // PAIR: Border.deliver
  /**
   * Takes completions, also those that come while it does, until 1 MiB has been copied out: the
   * rest waits for the next turn, and timers run in between (I8). How many.
   */
  deliver(take: Take): number {
    const { words } = this;
    const first = words[C.H_TAKEN] as number;
    let index = first;
    let copied = 0;
    while (index < (words[C.H_COMPLETIONS] as number) && copied < C.ENTER_BYTES) {
      const at = COMPLETIONS + index * C.COMPLETION_WORDS;
      index++;
      // I3: from here on a descriptor in it is ours to close, not the teardown's.
      words[C.H_TAKEN] = index;
      copied += take(
        words[at + C.C_TICKET] as number,
        words[at + C.C_RES] as number,
        words[at + C.C_FLAGS] as number,
        words[at + C.C_AUX] === 1,
      );
    }
    if (index === words[C.H_COMPLETIONS]) {
      words[C.H_COMPLETIONS] = 0;
      words[C.H_TAKEN] = 0;
    }
    return index - first;
  }

  // PAIR: Border.close
  /** The last completions are in the list; false: memory was leaked on purpose (I7). */
  close(): boolean {
    this.driver.push(this.count);
    this.count = 0;
    return this.driver.close();
  }
}
