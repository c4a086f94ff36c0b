/**
 * What clients keep in the vlobs of a realm: a manifest, `signature ‖ zlib(msgpack(map))`. A folder's names its children,
 * a file's its blocks. The server never sees one in clear; who holds the key of a sequester service may.
 */
import { inflateSync } from 'node:zlib'
import { z } from 'zod'
import {
  bytes,
  constant,
  deviceId,
  enumeration,
  int,
  key,
  list,
  mapOf,
  parse,
  struct,
  text,
  uuid,
} from '../codec/fields.ts'
import { decodeMap } from '../codec/msgpack.ts'
import type { Uuid } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { openSigned } from './crypto.ts'

/** Of a file or folder, as clients have it. */
const MAX_ENTRY_NAME_BYTES = 255
/** Children and blocks that an inflated manifest has room for, at the least that each takes. */
const MAX_ENTRIES = limits.manifest.value / 20
const identity = { author: deviceId(), id: uuid(), version: int({ min: 1 }) }
const folder = z.object({
  type: enumeration(['workspace_manifest', 'folder_manifest']),
  ...identity,
  children: mapOf(text({ maxBytes: MAX_ENTRY_NAME_BYTES }), uuid(), { max: MAX_ENTRIES }),
})
const file = z.object({
  type: constant('file_manifest'),
  ...identity,
  size: int({ min: 0 }),
  blocks: list(
    struct({ id: uuid(), key: key(), offset: int({ min: 0 }), size: int({ min: 1 }), digest: bytes({ length: 32 }) }),
    { max: MAX_ENTRIES },
  ),
})
export type FolderManifest = z.infer<typeof folder>
export type FileManifest = z.infer<typeof file>
export type FileBlock = FileManifest['blocks'][number]
export type Manifest = FolderManifest | FileManifest

export const isFile = (manifest: Manifest): manifest is FileManifest => manifest.type === 'file_manifest'

/** The manifest of version `version` of a vlob, by the device that wrote it; undefined when it is not that. */
export function readManifest(
  signed: Buffer,
  author: { device_id: string; verify_key: Buffer },
  { id, version }: { id: Uuid; version: number },
): Manifest | undefined {
  const content = openSigned(author.verify_key, signed)
  if (!content) return undefined
  let fields: ReturnType<typeof decodeMap>
  try {
    fields = decodeMap(inflateSync(content, { maxOutputLength: limits.manifest.value }))
  } catch {
    return undefined
  }
  const parsed = parse<Manifest>(fields.type === 'file_manifest' ? file : folder, fields)
  if (!parsed.ok) return undefined
  const manifest = parsed.value
  return manifest.author === author.device_id && manifest.id.equals(id) && manifest.version === version
    ? manifest
    : undefined
}
