/**
 * Copies every block of a database from one block store to another, and reads each back. Blocks never change, so it runs
 * beside a server; what was created meanwhile is copied by running it again.
 */
import { createHash } from 'node:crypto'
import { SCRUB_OPERATION_MS, SCRUB_YOUNG_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { noMetrics } from '@parsec/shared/metrics'
import type { Database } from '@parsec/shared/postgres/database'
import type { BlockstoreConfig } from '../config.ts'
import { databaseRegister } from '../identity/register.ts'
import { type KnownBlock, Ledger } from '../scrub/ledger.ts'
import { pacer } from '../scrub/pace.ts'
import { orAborted, pause, withDeadline } from '../stores/deadline.ts'
import type { NetworkOptions } from '../stores/network.ts'
import { openStore } from '../stores/open.ts'
import { usesMemory } from '../stores/registry.ts'
import { type BlockStore, objectKey } from '../stores/store.ts'

/** Blocks that are copied at once, each of which is in memory twice. */
const CONCURRENCY = 8
/** Blocks between two records of the progress. */
const PAGE = 200
/** With more failures than this, something else is wrong than blocks. */
const MAX_FAILURES = 1_000
/** So many in a row mean that a store is away. */
const PATIENCE = 20

export type CopyState = {
  /** The last block that was copied. */
  position: number
  /** Blocks up to it that could not be copied: tried again by the next run. */
  failed: number[]
  blocks: number
  bytes: number
}
export const newCopy = (): CopyState => ({ position: 0, failed: [], blocks: 0, bytes: 0 })

export type CopyEvent =
  | { kind: 'failed'; key: string; cause: string }
  | { kind: 'waiting'; seconds: number }
  | { kind: 'progress'; blocks: number; bytes: number; totalBlocks: number; totalBytes: number }

export type CopyOptions = {
  from: BlockstoreConfig
  to: BlockstoreConfig
  /** Of the metadata; not closed here. */
  database: Database
  log: Log
  network: NetworkOptions
  maxBytesPerSecond: number | null
  /** Changed as the work goes on; continuing with it later continues the work. */
  state: CopyState
  /** Called when `state` is worth keeping. */
  onProgress(): Promise<void>
  report(event: CopyEvent): void
  /** Aborts with a reason, which `copy` rejects with. */
  signal: AbortSignal
  /** Replaces `SCRUB_YOUNG_MS`. */
  youngMs?: number
}

type Work = CopyOptions & {
  source: BlockStore
  target: BlockStore
  ledger: Ledger
  pace(bytes: number): Promise<void>
  goal: { totalBlocks: number; totalBytes: number }
  failuresInRow: number
}

/** Resolves when all blocks that existed at its start are copied, apart from those of `state.failed`. Throws `OperatorError`. */
export async function copyBlocks(options: CopyOptions): Promise<void> {
  const { from, to, database, log, network, state, signal, report, youngMs = SCRUB_YOUNG_MS } = options
  for (const { store } of [from, to])
    if (usesMemory(store)) throw new OperatorError('MOCKED is memory of the server process: nothing can be copied')
  const common = { log, network, metrics: noMetrics, database }
  const source = await openStore({ ...common, config: from, register: databaseRegister(database) })
  try {
    const target = await openStore({ ...common, config: to, register: null })
    try {
      const ledger = new Ledger(database)
      const startedAt = performance.now()
      const { last, count, bytes } = await ledger.behind(state.position)
      const goal = { totalBlocks: state.blocks + count, totalBytes: state.bytes + bytes }
      const pace = pacer(options.maxBytesPerSecond, signal)
      const work = { ...options, source, target, ledger, pace, goal, failuresInRow: 0 }
      await again(work)
      await copyUpTo(work, last, youngMs)
      if (state.position < last) {
        // A block may become visible after younger ones: all that were being created at the start have their place then.
        const rest = Math.max(startedAt + youngMs - performance.now(), 0)
        report({ kind: 'waiting', seconds: Math.ceil(rest / 1000) })
        await pause(rest, signal)
        await copyUpTo(work, last, 0)
      }
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
    log.info('Copy of blocks ended', { blocks: state.blocks, failed: state.failed.length })
  }
}

/** Blocks that an earlier run could not copy. */
async function again(work: Work): Promise<void> {
  const { state, ledger } = work
  const positions = state.failed
  if (positions.length === 0) return
  const blocks = await ledger.at(positions)
  state.failed = []
  await copyAll(work, blocks)
  await work.onProgress()
}

async function copyUpTo(work: Work, last: number, youngMs: number): Promise<void> {
  const { state, ledger } = work
  for (;;) {
    const page = await ledger.page(state.position, last, { youngMs, isDegraded: false }, PAGE)
    if (page.length === 0) return
    await copyAll(work, page)
    state.position = page.at(-1)!.position
    await work.onProgress()
  }
}

/** After an interruption all of them are copied again. */
async function copyAll(work: Work, blocks: readonly KnownBlock[]): Promise<void> {
  const { state, signal, report, goal } = work
  const kept = { ...state, failed: [...state.failed] }
  const queue = blocks.values()
  const worker = async (): Promise<void> => {
    for (const block of queue) {
      signal.throwIfAborted()
      await copyOne(work, block)
      report({ kind: 'progress', blocks: state.blocks, bytes: state.bytes, ...goal })
    }
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  } catch (error) {
    Object.assign(state, kept)
    throw error
  }
}

async function copyOne(work: Work, block: KnownBlock): Promise<void> {
  const { source, target, state, signal, report } = work
  const { organization_id, block_id, size, position } = block
  try {
    await within(signal, async inTime => {
      const data = await source.read(organization_id, block_id, block, inTime)
      await target.create(organization_id, block_id, data, inTime)
      const copied = await target.read(organization_id, block_id, { size, missedNodes: [] }, inTime)
      if (!digest(copied).equals(digest(data))) throw new Error('the target has other bytes under this name')
    })
    state.blocks++
    state.bytes += size
    work.failuresInRow = 0
  } catch (error) {
    if (signal.aborted) throw signal.reason
    state.failed.push(position)
    report({ kind: 'failed', key: objectKey(organization_id, block_id), cause: (error as Error).message })
    if (++work.failuresInRow >= PATIENCE || state.failed.length > MAX_FAILURES)
      throw new OperatorError(
        `too many blocks cannot be copied, the last one because: ${(error as Error).message}; check both stores, then start again`,
        { cause: error },
      )
  }
  await work.pace(2 * size)
}

/** A disk that hangs does not listen to signals. */
const within = (signal: AbortSignal, body: (inTime: AbortSignal) => Promise<void>): Promise<void> =>
  withDeadline(signal, SCRUB_OPERATION_MS, inTime => orAborted(body(inTime), inTime))

const digest = (data: Buffer): Buffer => createHash('sha256').update(data).digest()
