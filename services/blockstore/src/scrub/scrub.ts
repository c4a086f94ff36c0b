/**
 * Goes through every block and every object, compares, and mends what redundancy can mend. Safe beside running servers:
 * blocks that were acknowledged a minute ago never change, younger ones are left alone, and what is removed is claimed
 * in the database first.
 */

import { SCRUB_YOUNG_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { registeredNodes, replaceNodes } from '@parsec/shared/postgres/blockstore-nodes'
import type { Database } from '@parsec/shared/postgres/database'
import type { BlockstoreNode } from '@parsec/shared/protocol/internal'
import type { BlockstoreConfig } from '../config.ts'
import { Identity } from '../identity/identity.ts'
import { databaseRegister } from '../identity/register.ts'
import { nodeOf } from '../raid/raid0.ts'
import { RAID5_MIN_NODES } from '../raid/raid5.ts'
import type { NetworkOptions } from '../stores/network.ts'
import { makeObjectStore } from '../stores/open.ts'
import { nodesOf, type StoreConfig, usesMemory } from '../stores/registry.ts'
import { objectKey } from '../stores/store.ts'
import { type KnownBlock, Ledger } from './ledger.ts'
import { ScrubNode } from './node.ts'
import { findOrphans } from './orphans.ts'
import { pacer } from './pace.ts'
import type { ScrubEvent, ScrubState } from './state.ts'
import { judgeChunks, judgeCopies, type Verdict } from './verdict.ts'

/** Blocks that are compared at once; of each, all pieces are in memory. */
const CONCURRENCY = 8
/** Blocks between two records of the progress. */
const PAGE = 200

export type ScrubOptions = {
  config: BlockstoreConfig
  /** Of the metadata; not closed here. */
  database: Database
  log: Log
  network: NetworkOptions
  /** Write what is missing or corrupt. */
  repair: boolean
  /** Make the storages at hand the nodes of the array, whatever they were before. */
  adopt: boolean
  /** Compare and repair this node only, and believe the others; null: all. */
  node: number | null
  /** Only blocks that a node missed when they were uploaded, and no objects. */
  isDegraded: boolean
  /** Remove orphans older than so many milliseconds; null: only report them. */
  removeOlderThanMs: number | null
  maxBytesPerSecond: number | null
  /** Changed as the work goes on; continuing with it later continues the work. */
  state: ScrubState
  /** Called when `state` is worth keeping. */
  onProgress(): Promise<void>
  report(event: ScrubEvent): void
  /** Aborts with a reason, which `scrub` rejects with. */
  signal: AbortSignal
  /** Replace `SCRUB_YOUNG_MS` and `SCRUB_CLAIM_MS`. */
  youngMs?: number
  claimMs?: number
}

/** Resolves when all is done; the result is in `state`. Throws `OperatorError` when the stores cannot be used. */
export async function scrub(options: ScrubOptions): Promise<void> {
  const { config, log, signal, state } = options
  const nodes = await openNodes(options, pacer(options.maxBytesPerSecond, signal))
  try {
    const ledger = new Ledger(options.database)
    if (state.phase === 'blocks') await compareBlocks({ ...options, nodes, ledger })
    const chosen = [...nodes.entries()].filter(([index]) => options.node === null || index === options.node)
    if (state.phase === 'objects') {
      for (const [index, node] of chosen) {
        if (index < state.node) continue
        if (index > state.node) Object.assign(state, { node: index, after: '' })
        await findOrphans({ ...options, index, node, ledger })
      }
      state.phase = 'done'
      await options.onProgress()
    }
  } finally {
    await Promise.allSettled(nodes.map(node => node.close()))
    log.info('Scrub ended', { phase: state.phase, blocks: state.blocks, store: config.store.type })
  }
}

type Work = ScrubOptions & { nodes: readonly ScrubNode[]; ledger: Ledger }

/** How many nodes may be away for a block to be had still. */
const tolerance = ({ type }: StoreConfig, nodes: number): number =>
  type === 'RAID1' ? nodes - 1 : type === 'RAID5' ? 1 : 0

async function openNodes(options: ScrubOptions, pace: (bytes: number) => Promise<void>): Promise<ScrubNode[]> {
  const { config, log, network, database, node: chosen } = options
  const { store } = config
  const configs = nodesOf(store)
  if (usesMemory(store))
    throw new OperatorError('--blockstore=MOCKED is memory of the server process: there is nothing to scrub')
  if (store.type === 'RAID5' && configs.length < RAID5_MIN_NODES)
    throw new OperatorError(`--blockstore: RAID5 needs at least ${RAID5_MIN_NODES} nodes, not ${configs.length}`)
  if (chosen !== null && !(Number.isInteger(chosen) && chosen >= 0 && chosen < configs.length))
    throw new OperatorError(
      `--node must be between 0 and ${configs.length - 1}, the nodes of --blockstore, not ${chosen}`,
    )
  const nodes: ScrubNode[] = []
  try {
    for (const node of configs) {
      nodes.push(new ScrubNode(await makeObjectStore(node, { config, log, network, database }), log, pace))
    }
    await Promise.all(nodes.map(node => node.open()))
    const away = nodes.filter(node => !node.answers)
    if (away.length > tolerance(store, nodes.length) || (chosen !== null && !nodes[chosen]!.answers))
      throw new OperatorError(
        `--blockstore: ${away.map(({ name }) => name).join(' and ')} cannot be reached; check the network, then start again`,
      )
    await identify(options, nodes)
    return nodes
  } catch (error) {
    await Promise.allSettled(nodes.map(node => node.close()))
    throw error
  }
}

/** Where no node is registered yet, no server has run with this release: the first one will adopt them. */
async function identify({ config, database, log, adopt, node, signal }: ScrubOptions, nodes: readonly ScrubNode[]) {
  const registered = () => registeredNodes(database)
  const away = new Set([...nodes.keys()].filter(index => !nodes[index]!.answers))
  const identity = new Identity(config.store.type, nodes, databaseRegister(database), log)
  if (adopt) {
    const replace = (rows: readonly BlockstoreNode[]) => replaceNodes(database, rows)
    for (const index of await identity.adopt({ registered, replace }, node, away, signal))
      log.warning('Block store node adopted', { node: index, name: nodes[index]!.name })
  } else if ((await registered()).length > 0) await identity.check(away, signal)
}

async function compareBlocks(work: Work): Promise<void> {
  const { ledger, state, report, signal, isDegraded, youngMs = SCRUB_YOUNG_MS } = work
  const choice = { youngMs, isDegraded }
  if (state.last === null) {
    const { last, count, young } = await ledger.extent(choice)
    Object.assign(state, { last, total: count, young })
  }
  for (;;) {
    const page = await ledger.page(state.position, state.last!, choice, PAGE)
    if (page.length === 0) break
    const queue = page.values()
    const worker = async () => {
      for (const block of queue) {
        signal.throwIfAborted()
        await compareBlock(work, block)
        state.blocks++
        report({ kind: 'progress', phase: 'blocks', done: state.blocks, total: state.total })
      }
    }
    const counted = { ...state.counts, blocks: state.blocks }
    try {
      await Promise.all(Array.from({ length: CONCURRENCY }, worker))
    } catch (error) {
      // The page is done anew the next time.
      const { blocks, ...counts } = counted
      Object.assign(state, { counts, blocks })
      throw error
    }
    state.position = page.at(-1)!.position
    await work.onProgress()
  }
  state.phase = isDegraded ? 'done' : 'objects'
  await work.onProgress()
}

async function compareBlock(work: Work, block: KnownBlock): Promise<void> {
  const { config, nodes, ledger, node: chosen, repair, state, report, signal } = work
  const { store } = config
  const only = store.type === 'RAID0' ? nodeOf(block.block_id, nodes.length) : null
  if (only !== null && chosen !== null && only !== chosen) return
  const holders = only === null ? nodes : [nodes[only]!]
  const pieces = await Promise.all(holders.map(node => node.read(block, signal)))
  const judge = store.type === 'RAID5' ? judgeChunks : judgeCopies
  // What is known to have missed the upload tells more than what the operator suspects.
  const missed = block.missedNodes.filter(node => node < nodes.length)
  const suspects = only !== null ? [] : missed.length > 0 ? missed : chosen !== null ? [chosen] : []
  const verdict = judge({ size: block.size, pieces, suspects })
  const key = objectKey(block.organization_id, block.block_id)
  const unreadable = [...verdict.problems.values()].includes('unreadable')
  if (verdict.isDamaged && (chosen === null || verdict.problems.has(chosen))) {
    state.counts[unreadable ? 'unchecked' : 'damaged']++
    report({ kind: unreadable ? 'unchecked' : 'damaged', key })
  }
  const lacking = new Set(verdict.problems.keys())
  for (const [index, problem] of verdict.problems) {
    const node = only ?? index
    if (chosen !== null && node !== chosen) continue
    state.counts[problem]++
    const isWritten = repair && (problem !== 'unreadable' || suspects.includes(node))
    const isRepaired = isWritten && (await write(work, verdict, index, block))
    if (isRepaired) {
      state.counts.repaired++
      lacking.delete(node)
    }
    report({ kind: problem, node, name: nodes[node]!.name, key, repaired: isRepaired })
  }
  const stillMissed = missed.filter(node => lacking.has(node))
  if (repair && stillMissed.length < block.missedNodes.length) await ledger.setMissed(block, stillMissed)
}

async function write({ nodes, signal }: Work, verdict: Verdict, node: number, block: KnownBlock): Promise<boolean> {
  const data = verdict.repairs.get(node)
  return data !== undefined && (await nodes[node]!.replace(block, data, signal))
}
