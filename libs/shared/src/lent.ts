/**
 * Memory for a long value, such as a block, on its way from the database to a client. It is used again: if each value had
 * memory of its own, the garbage collector would run without end (ADR 29). And it has room in front of the value, so that
 * the beginning of a reply can be put there, instead of the value behind it.
 *
 * The memory belongs to the value until it is encoded as the end of a reply, and to that reply from then on. Whoever has
 * sent the reply may give it back; whatever still refers to it is empty then, and never shows what comes into it next.
 * What is not given back is collected as any other memory.
 */
import { limits } from './limits.ts'

/** In front of what is asked for. */
const ROOM_BYTES = 64
/** Sizes are multiples of it, so that memory fits again; shorter values are not worth it. */
const STEP_BYTES = 64 * 1024

/** Where the value is; null once it belongs to a reply. */
const lent = new WeakMap<ArrayBufferLike, { at: number; length: number } | null>()
/** The last one that was given back comes last. */
const spare = { memories: [] as ArrayBuffer[], bytes: 0 }

/** Memory for `headBytes`, which nobody needs any more once the value is encoded, and a value of `bytes` behind them. */
export function lend(headBytes: number, bytes: number): Buffer {
  const size = Math.ceil((ROOM_BYTES + headBytes + bytes) / STEP_BYTES) * STEP_BYTES
  const memory = takeSpare(size) ?? Buffer.allocUnsafeSlow(size).buffer
  lent.set(memory, { at: ROOM_BYTES + headBytes, length: bytes })
  return Buffer.from(memory, ROOM_BYTES, headBytes + bytes)
}
function takeSpare(size: number): ArrayBuffer | undefined {
  const index = spare.memories.findLastIndex(memory => memory.byteLength === size)
  if (index < 0) return undefined
  spare.bytes -= size
  return spare.memories.splice(index, 1)[0]
}
/** Whether it pays to ask for memory for a value of so many bytes. */
export const isWorthLending = (bytes: number): boolean => bytes > STEP_BYTES

/** Whether `value` is the whole of a value in memory that was lent for it, and belongs to no reply. */
export function isLent(value: Uint8Array): boolean {
  if (!isWorthLending(value.length)) return false
  const place = lent.get(value.buffer)
  return place?.at === value.byteOffset && place.length === value.length
}
/** `head` with `value` behind it, where it is. The memory belongs to the result; undefined when it is not lent. */
export function prepend(head: Uint8Array, value: Uint8Array): Buffer | undefined {
  if (!isLent(value) || head.length > ROOM_BYTES) return undefined
  lent.set(value.buffer, null)
  const whole = Buffer.from(value.buffer, value.byteOffset - head.length, head.length + value.length)
  whole.set(head)
  return whole
}

/** Gives back the memory of a reply, if it is lent. Nobody reads it any more, the operating system included. */
export function giveBack(reply: Buffer): void {
  const { buffer } = reply
  if (lent.get(buffer) !== null || !(buffer instanceof ArrayBuffer)) return
  lent.delete(buffer)
  spare.bytes += buffer.byteLength
  spare.memories.push(buffer.transfer())
  while (spare.bytes > limits.spare_memory.value) spare.bytes -= spare.memories.shift()!.byteLength
}
/** Bytes of memory that was given back and waits for the next value. */
export const spareMemory = (): number => spare.bytes
