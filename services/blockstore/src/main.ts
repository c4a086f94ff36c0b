/** The block-store service: answers `block_create` and `block_read`, the only commands that move block data, and removes objects. */
import { admissionOf } from '@parsec/shared/bus/admission'
import type { Bus } from '@parsec/shared/bus/bus'
import { serveCommands, serveInternal } from '@parsec/shared/bus/rpc'
import { DateTime } from '@parsec/shared/codec/values'
import { ABORT_MARGIN_MS, STORE_DEADLINE_MS, STORE_PROBE_PAUSE_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { Database } from '@parsec/shared/postgres/database'
import type { NodeFacts } from '@parsec/shared/protocol/replica'
import type { Readiness, Service } from '@parsec/shared/service'
import { blockHandlers } from './commands.ts'
import type { BlockstoreConfig } from './config.ts'
import { busRegister, type Register } from './identity/register.ts'
import { removalRequests } from './removal.ts'
import { DIRECT, type NetworkOptions } from './stores/network.ts'
import { openStore } from './stores/open.ts'
import { type BlockStore, type NodeStatus, StoreError } from './stores/store.ts'

export type BlockstoreDeps = {
  bus: Bus
  log: Log
  config: BlockstoreConfig
  network?: NetworkOptions
  metrics?: Metrics
  /** Shared with the metadata service of the same process; it is not closed here. */
  database?: Database
  /** Where it is written down which storages are the nodes; that of the metadata service unless given, null: nowhere. */
  register?: Register | null
  /** Replace `STORE_DEADLINE_MS` and `STORE_PROBE_PAUSE_MS`. */
  probePauseMs?: number
  storeDeadlineMs?: number
}

/** The service, and how its back ends do, for metrics. */
export type BlockstoreService = Service & { nodes(): readonly NodeStatus[] }

/** Opens the store and serves. Throws `OperatorError` when the store is misconfigured or away (spec 06 §7.3, §7.4). */
export async function startBlockstore(deps: BlockstoreDeps): Promise<BlockstoreService> {
  const {
    bus,
    log,
    config,
    network = DIRECT,
    metrics = noMetrics,
    storeDeadlineMs = STORE_DEADLINE_MS,
    database = null,
    register = busRegister(bus),
    probePauseMs = STORE_PROBE_PAUSE_MS,
  } = deps
  const store = await openStore({ config, log, network, metrics, database, register })
  const stopping = new AbortController()
  const handlers = blockHandlers({ bus, store, stopping: stopping.signal, storeDeadlineMs })
  const admission = admissionOf(1)
  metrics.lanes('blockstore', () => admission.figures())
  metrics.nodes(() => store.nodes().map(status => ({ name: status.name, isUp: stateOf(status) === 'ok' })))
  const service = { bus, service: 'blockstore', log, admission, scope: <C>(call: C) => call } as const
  const serving = await Promise.all([
    serveCommands(service, handlers),
    serveInternal(service, removalRequests({ bus, store, stopping: stopping.signal })),
  ]).catch(async error => {
    await store.close()
    throw error
  })
  let draining = false
  const probing = setInterval(() => void store.probe(), probePauseMs).unref()

  return {
    name: 'blockstore',
    nodes: () => store.nodes(),
    answers: { nodes: () => ({ nodes: store.nodes().map(factsOf), is_readable: store.isReadable() }) },
    readiness: () => readiness(bus.connected && !draining, store),
    /** Commands that the store keeps waiting for too long are answered `timeout`. */
    async drain(deadlineMs) {
      draining = true
      clearInterval(probing)
      const abort = () => stopping.abort(new StoreError('the server stops'))
      const timer = setTimeout(abort, Math.max(deadlineMs - ABORT_MARGIN_MS, 0))
      try {
        await Promise.all(serving.map(subscription => subscription.close()))
      } finally {
        clearTimeout(timer)
      }
    },
    async stop() {
      clearInterval(probing)
      stopping.abort(new StoreError('the server stops'))
      await store.close()
    },
  }
}

const stateOf = ({ isAway, failingSince }: Pick<NodeStatus, 'isAway' | 'failingSince'>): NodeFacts['state'] =>
  isAway ? 'away' : failingSince === null ? 'ok' : 'failing'
const factsOf = ({ isAway, failingSince, ...facts }: NodeStatus): NodeFacts => ({
  ...facts,
  state: stateOf({ isAway, failingSince }),
  failing_since: failingSince === null ? null : new DateTime(failingSince * 1000),
})

/** A node that is away does not make the service unready as long as others serve. */
function readiness(ready: boolean, store: BlockStore): Readiness {
  const isReadable = store.isReadable()
  const detail: { [name: string]: string } = isReadable ? {} : { blockstore: 'no block can be read' }
  for (const [index, status] of store.nodes().entries()) {
    const { name, failingSince, isAway, failures, missing, corrupt } = status
    const troubles = [
      failingSince === null ? '' : `failing since ${new Date(failingSince).toISOString()}, ${failures} failures`,
      isAway ? 'away' : '',
      missing === 0 ? '' : `${missing} reads found nothing`,
      corrupt === 0 ? '' : `${corrupt} reads found no whole block`,
    ].filter(trouble => trouble !== '')
    if (troubles.length > 0) detail[`blockstore node ${index}`] = `${name}: ${troubles.join(', ')}`
  }
  return { ready: ready && isReadable, detail }
}
