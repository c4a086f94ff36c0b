/**
 * Nodes that know who they are: a storage is used only as the node that its marker and the database say it is. Swapped,
 * foreign, outdated and empty storages are refused, with the remedy. Storages without marker are adopted when the
 * database has no nodes yet: at the first start with an empty store, or with one of a release that knew no markers.
 */
import { Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { BlockstoreNode, SampleBlock } from '@parsec/shared/protocol/internal'
import { nodeOf } from '../raid/raid0.ts'
import type { StoreConfig } from '../stores/registry.ts'
import { type ObjectStore, StoreError } from '../stores/store.ts'
import { decodeMarker, encodeMarker, type Marker } from './marker.ts'
import type { Register } from './register.ts'

export type Member = { name: string; store: ObjectStore }

/** How the register is rewritten. */
export type Adopting = {
  registered(): Promise<readonly BlockstoreNode[]>
  replace(nodes: readonly BlockstoreNode[]): Promise<void>
}

/** The storage is not the node that it should be. */
class WrongNode extends OperatorError {}

export class Identity {
  readonly #kind: string
  readonly #members: readonly Member[]
  readonly #register: Register
  readonly #log: Log

  constructor(type: StoreConfig['type'], members: readonly Member[], register: Register, log: Log) {
    this.#kind = type.startsWith('RAID') ? type : 'single'
    this.#members = members
    this.#register = register
    this.#log = log
  }

  /**
   * Checks all nodes together, those apart that are away. Throws `WrongNode`; rejects with `Unavailable` when the
   * database cannot be asked, and then nothing has been written.
   */
  async check(away: ReadonlySet<number>, signal: AbortSignal): Promise<void> {
    const present = [...this.#members.keys()].filter(index => !away.has(index) && this.#members[index]!.store.marker)
    if (present.length === 0) return
    const markers = new Map(
      await Promise.all(present.map(async index => [index, await this.#read(index, signal)] as const)),
    )
    const { nodes, samples } = await this.#register.nodes(this.#proposal([...markers.values()]))
    this.#refuseOtherArray(nodes)
    for (const [index, marker] of markers) await this.#judge(nodes[index]!, marker, nodes, samples, signal)
  }

  /** Checks one node that was away. Rejects with `StoreError` when it is the wrong one. */
  async checkOne(index: number, signal: AbortSignal): Promise<void> {
    const others = new Set(this.#members.keys())
    others.delete(index)
    try {
      await this.check(others, signal)
    } catch (error) {
      if (!(error instanceof WrongNode)) throw error
      this.#log.error('Block store node refused', { node: index, reason: error.message })
      throw new StoreError(error.message, { cause: error })
    }
  }

  /**
   * Makes the storages at hand the nodes of the array, `chosen` or all of them; returns which were not before. Throws
   * `WrongNode` for storages that are swapped: nothing but their order is wrong.
   */
  async adopt(db: Adopting, chosen: number | null, away: ReadonlySet<number>, signal: AbortSignal): Promise<number[]> {
    const registered = await db.registered()
    const isSame = registered[0]?.kind === this.#kind && registered.length === this.#members.length
    const array_id = isSame ? registered[0]!.array_id : Uuid.random()
    const adopted: number[] = []
    const nodes: BlockstoreNode[] = []
    for (const [index, { store }] of this.#members.entries()) {
      const known = isSame ? registered[index] : undefined
      const marker = away.has(index) || !store.marker ? null : await this.#markerOf(index, signal)
      if (marker && marker.array_id.hex === array_id.hex && marker.index !== index)
        throw new WrongNode(
          `node ${index} (${this.#members[index]!.name}) is node ${marker.index} of this array: put the nodes of --blockstore in order`,
        )
      const isKnown = marker && known && marker.node_id.hex === known.node_id.hex
      const keeps = known && (isKnown || away.has(index) || !store.marker || (chosen !== null && chosen !== index))
      if (!keeps && store.marker && !away.has(index)) adopted.push(index)
      const fresh = { index, array_id, kind: this.#kind, nodes: this.#members.length, node_id: Uuid.random() }
      nodes.push(keeps ? known : { ...fresh, is_marked: false })
    }
    await db.replace(nodes)
    for (const index of adopted) {
      await this.#members[index]!.store.marker!.write(encodeMarker(nodes[index]!, new Date()), signal)
      await this.#register.marked(nodes[index]!)
    }
    return adopted
  }
  async #markerOf(index: number, signal: AbortSignal): Promise<Marker | null> {
    const bytes = await this.#members[index]!.store.marker!.read(signal)
    return bytes && decodeMarker(bytes)
  }

  /** Undefined: it cannot be told now. */
  async #read(index: number, signal: AbortSignal): Promise<Marker | null | undefined> {
    const { name, store } = this.#members[index]!
    try {
      const bytes = await store.marker!.read(signal)
      const marker = bytes && decodeMarker(bytes)
      if (bytes && !marker)
        throw new WrongNode(`node ${index} (${name}): the object .parsec-node is no marker; ${ADOPT}`)
      return marker
    } catch (error) {
      if (error instanceof WrongNode) throw error
      this.#log.warning('Block store node not checked', { node: index, name, cause: (error as Error).message })
      return undefined
    }
  }

  /** What the database may write down when it knows no nodes: those of the markers, or new ones. */
  #proposal(markers: readonly (Marker | null | undefined)[]): BlockstoreNode[] {
    const found = markers.filter(marker => !!marker)
    const array_id = found[0]?.array_id ?? Uuid.random()
    return [...this.#members.keys()].map(index => {
      const own = found.find(marker => marker.index === index && marker.array_id.hex === array_id.hex)
      return {
        index,
        array_id,
        kind: this.#kind,
        nodes: this.#members.length,
        node_id: own?.node_id ?? Uuid.random(),
        is_marked: own !== undefined,
      }
    })
  }

  #refuseOtherArray([first]: readonly BlockstoreNode[]): void {
    const own = describe(this.#kind, this.#members.length)
    const known = first && describe(first.kind, first.nodes)
    if (known !== own)
      throw new WrongNode(
        `the blocks of this database are on ${known}, but --blockstore names ${own}; name the nodes as they were, or ${ADOPT}`,
      )
  }

  async #judge(
    node: BlockstoreNode,
    marker: Marker | null | undefined,
    nodes: readonly BlockstoreNode[],
    samples: readonly SampleBlock[],
    signal: AbortSignal,
  ): Promise<void> {
    const { index } = node
    const who = `node ${index} (${this.#members[index]!.name})`
    if (marker === undefined) return
    if (marker === null) {
      // Another replica that starts at the same time may have marked it since it was read.
      const again = node.is_marked ? await this.#read(index, signal) : null
      if (again !== null) return this.#judge(node, again, nodes, samples, signal)
      if (node.is_marked)
        throw new WrongNode(
          `${who} has lost its marker: it is empty or another storage; mount the right one, or ${ADOPT}`,
        )
      if (!nodes.some(other => other.is_marked) || (await this.#hasSome(index, samples, signal)))
        return this.#mark(node, samples, signal)
      throw new WrongNode(
        `${who} has none of the newest blocks: it is empty or another storage; mount the right one, or ${ADOPT}`,
      )
    }
    if (marker.array_id.hex !== node.array_id.hex || marker.kind !== node.kind || marker.nodes !== node.nodes)
      throw new WrongNode(
        `${who} belongs to another block store (${describe(marker.kind, marker.nodes)}, array ${marker.array_id.hyphenated}); name the right storage, or ${ADOPT}`,
      )
    if (marker.index !== index)
      throw new WrongNode(
        `${who} is node ${marker.index} of this array: the nodes of --blockstore are swapped; put them in order`,
      )
    if (marker.node_id.hex !== node.node_id.hex)
      throw new WrongNode(
        `${who} was replaced by another storage: its blocks are out of date; mount the one that replaced it, or ${ADOPT}`,
      )
    if (!node.is_marked) await this.#register.marked(node)
  }

  /** Adopts a storage; one that lacks the newest blocks is adopted where others can stand in for it. */
  async #mark(node: BlockstoreNode, samples: readonly SampleBlock[], signal: AbortSignal): Promise<void> {
    const { index } = node
    const { name, store } = this.#members[index]!
    if (!(await this.#hasSome(index, samples, signal))) {
      if (this.#kind === 'single' || this.#kind === 'RAID0')
        throw new WrongNode(
          `node ${index} (${name}) has none of the newest blocks of the database: it is empty or another storage; name the right one, or ${ADOPT}`,
        )
      this.#log.warning('Block store node lacks blocks: run `parsec backend scrub --repair`', { node: index, name })
    }
    try {
      await store.marker!.write(encodeMarker(node, new Date()), signal)
    } catch (error) {
      this.#log.warning('Block store node not marked', { node: index, name, cause: (error as Error).message })
      return
    }
    await this.#register.marked(node)
    this.#log.info('Block store node marked', { node: index, name })
  }

  /** Whether it has one of the blocks that it should have, or cannot tell; true where there are none. */
  async #hasSome(index: number, samples: readonly SampleBlock[], signal: AbortSignal): Promise<boolean> {
    const { length } = this.#members
    const own = samples.filter(({ block_id }) => this.#kind !== 'RAID0' || nodeOf(block_id, length) === index)
    for (const { organization_id, block_id } of own) {
      try {
        await this.#members[index]!.store.read(organization_id, block_id, signal)
        return true
      } catch (error) {
        if (!(error instanceof StoreError && error.missing)) return true
      }
    }
    return own.length === 0
  }
}

const ADOPT = 'have it adopted by `parsec backend scrub --adopt`'

const describe = (kind: string, nodes: number): string =>
  kind === 'single' ? 'a single store' : `a ${kind} of ${nodes} nodes`
