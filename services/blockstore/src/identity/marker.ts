/**
 * The object by which a node knows who it is. Its key is that of no block (no organization id starts with a dot), and
 * whoever looks at the storage can read it.
 */
import { Uuid } from '@parsec/shared/codec/values'
import type { BlockstoreNode } from '@parsec/shared/protocol/internal'

export const MARKER_KEY = '.parsec-node'

export type Marker = Omit<BlockstoreNode, 'is_marked'>

const WHAT = 'node of a Parsec block store; do not move, copy or delete'

export const encodeMarker = ({ array_id, kind, nodes, index, node_id }: Marker, now: Date): Buffer =>
  Buffer.from(
    `${JSON.stringify({ what: WHAT, array: array_id.hyphenated, kind, nodes, index, node: node_id.hyphenated, created: now.toISOString() }, null, 2)}\n`,
  )

/** Null for what is no marker. */
export function decodeMarker(bytes: Buffer): Marker | null {
  try {
    const { array, kind, nodes, index, node } = JSON.parse(bytes.toString())
    const [array_id, node_id] = [Uuid.parse(array), Uuid.parse(node)]
    const isWhole = typeof kind === 'string' && Number.isInteger(nodes) && Number.isInteger(index)
    return array_id && node_id && isWhole ? { array_id, kind, nodes, index, node_id } : null
  } catch {
    return null
  }
}
