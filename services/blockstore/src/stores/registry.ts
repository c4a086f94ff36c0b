/** Every kind of back end: a new one is a file beside these, and its name in this list. */
import { FILE } from './file.ts'
import type { StoreKind } from './kind.ts'
import { MOCKED } from './mocked.ts'
import { POSTGRESQL } from './postgresql.ts'
import { S3 } from './s3.ts'
import { SWIFT } from './swift.ts'

const kinds = [S3, SWIFT, FILE, POSTGRESQL, MOCKED] as const

type ConfigOf<K> = K extends StoreKind<infer Config> ? Config : never
export type NodeConfig = ConfigOf<(typeof kinds)[number]>
export type Kind = StoreKind<NodeConfig>
export const STORE_KINDS: readonly Kind[] = kinds

/** A block store, or a RAID of them (spec 06 §4). */
export type StoreConfig = NodeConfig | { type: 'RAID0' | 'RAID1' | 'RAID5'; nodes: readonly NodeConfig[] }

export const nodesOf = (store: StoreConfig): readonly NodeConfig[] => ('nodes' in store ? store.nodes : [store])

export function kindOf({ type }: { type: string }, kinds: readonly Kind[] = STORE_KINDS): Kind {
  const kind = kinds.find(kind => kind.type === type)
  if (!kind) throw new Error(`no kind of block store is ${type}`)
  return kind
}

/** Equal for stores that have the same objects, whatever their credentials. */
export const keySpacesOf = (store: StoreConfig): string =>
  JSON.stringify([store.type, ...nodesOf(store).map(node => [node.type, kindOf(node).keySpace(node)])])

/** What must be in no report. */
export const secretsOfStore = (store: StoreConfig, kinds?: readonly Kind[]): string[] =>
  nodesOf(store).flatMap(node => kindOf(node, kinds).secrets(node))

/** Whether blocks are in the metadata's database, or may be lost with the process. */
export const usesDatabase = (store: StoreConfig): boolean => nodesOf(store).some(node => kindOf(node).isDatabase)
export const usesMemory = (store: StoreConfig): boolean => nodesOf(store).some(node => kindOf(node).isMemory)
