/**
 * Short texts, as they come in messages and in rows. Nearly all are names of fields, enumerations and ids that come again
 * and again: what was read before is not made anew.
 */

/** Texts below this length have it in their tag; they are worth a loop in JavaScript instead of a call of Node's. */
export const SHORT = 32

/** Short texts that were read last, each at a place that its bytes tell. A power of two. */
const REMEMBERED_TEXTS = 1024
const remembered: string[] = new Array(REMEMBERED_TEXTS).fill('')

/** The text of less than `SHORT` bytes that are all ASCII, else undefined. */
export function shortText(bytes: Buffer, start: number, end: number): string | undefined {
  let hash = end - start
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    if (byte >= 0x80) return undefined
    hash = (hash * 31 + byte) | 0
  }
  const place = hash & (REMEMBERED_TEXTS - 1)
  const text = remembered[place]!
  if (isText(text, bytes, start, end)) return text
  return (remembered[place] = bytes.toString('latin1', start, end))
}
function isText(text: string, bytes: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false
  return true
}
