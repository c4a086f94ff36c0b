/**
 * How RAID5 cuts a block (spec 06 §7.9): 4 bytes of big-endian length, the block, zeros up to equal chunks for the data
 * nodes, and the XOR of these chunks for the last node. The length may straddle chunks.
 */

const LENGTH_BYTES = 4

/** Bytes of each chunk of a block of `length` bytes on `dataNodes` data nodes. */
export const chunkLength = (length: number, dataNodes: number): number => Math.ceil((length + LENGTH_BYTES) / dataNodes)

/** The chunks for `dataNodes` data nodes, followed by their checksum. Copies the block once. */
export function split(block: Buffer, dataNodes: number): Buffer[] {
  const length = chunkLength(block.length, dataNodes)
  const header = Buffer.alloc(LENGTH_BYTES)
  header.writeUInt32BE(block.length)
  const chunks = Array.from({ length: dataNodes }, (_, i) => payloadPart(header, block, i * length, length))
  return [...chunks, xor(chunks)]
}

/** `length` bytes of the payload from `from` on. Each part has memory of its own, aligned for `xor`. */
function payloadPart(header: Buffer, block: Buffer, from: number, length: number): Buffer {
  const part = Buffer.alloc(length)
  const at = header.copy(part, 0, Math.min(from, LENGTH_BYTES))
  block.copy(part, at, Math.min(Math.max(from - LENGTH_BYTES, 0), block.length))
  return part
}

/**
 * The block of `size` bytes of `chunks` (those of the data nodes, then the checksum; undefined: not at hand), all of the
 * length that such a block's have, of which one may be absent. Where all are at hand and state another length than
 * `size`, the one of those that hold it is taken for damaged whose replacement makes sense: `bad`. Undefined when too
 * little is at hand, or no length makes sense.
 */
export function assemble(
  chunks: readonly (Buffer | undefined)[],
  size: number,
): { block: Buffer; bad: number | null } | undefined {
  const checksum = chunks.length - 1
  const absent = [...chunks.keys()].filter(index => !chunks[index])
  const [missing] = absent
  if (absent.length > 1) return undefined
  const block = join(missing === undefined || missing === checksum ? chunks : rebuilt(chunks, missing), size)
  if (block) return { block, bad: null }
  if (missing !== undefined) return undefined
  const holders = Math.ceil(LENGTH_BYTES / chunks[0]!.length)
  for (let bad = 0; bad < Math.min(holders, checksum); bad++) {
    const repaired = join(rebuilt(chunks, bad), size)
    if (repaired) return { block: repaired, bad }
  }
  return undefined
}

const rebuilt = (chunks: readonly (Buffer | undefined)[], missing: number): (Buffer | undefined)[] =>
  chunks.with(missing, xor(chunks.toSpliced(missing, 1) as Buffer[]))

/** The block of the data chunks (the checksum at the end is left out), or undefined when they state another length. */
function join(chunks: readonly (Buffer | undefined)[], size: number): Buffer | undefined {
  const payload = Buffer.concat(chunks.slice(0, -1) as Buffer[])
  return payload.readUInt32BE() === size ? payload.subarray(LENGTH_BYTES, LENGTH_BYTES + size) : undefined
}

/** Byte-wise XOR of chunks of equal length: the checksum of all data chunks, or the one chunk that is not among them. */
export function xor(sources: readonly Buffer[]): Buffer {
  const target = Buffer.alloc(sources[0]!.length)
  for (const source of sources) xorInto(target, source)
  return target
}

/** By 8 bytes where the memory is aligned: ten times as fast. */
function xorInto(target: Buffer, source: Buffer): void {
  let at = 0
  if (source.byteOffset % 8 === 0 && target.byteOffset % 8 === 0) {
    const words = Math.floor(target.length / 8)
    const to = new BigUint64Array(target.buffer, target.byteOffset, words)
    const from = new BigUint64Array(source.buffer, source.byteOffset, words)
    for (let i = 0; i < words; i++) to[i]! ^= from[i]!
    at = words * 8
  }
  for (; at < target.length; at++) target[at]! ^= source[at]!
}
