/** The metadata service: everything but block data lives here. Stateless: any replica may be killed at any time. */
import type { Budget } from '@parsec/shared/budget'
import { admissionOf, Gate } from '@parsec/shared/bus/admission'
import type { Bus, Subscription } from '@parsec/shared/bus/bus'
import { type Call, type InternalCall, serveCommands, serveInternal } from '@parsec/shared/bus/rpc'
import { DateTime } from '@parsec/shared/codec/values'
import type { MetadataConfig } from '@parsec/shared/config'
import { ABORT_MARGIN_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { Database, Transactional } from '@parsec/shared/postgres/database'
import type { Context } from '@parsec/shared/protocol/context'
import type { Service } from '@parsec/shared/service'
import { figuresSampling } from './administration/figures.ts'
import { Blocks } from './block/gathered-blocks.ts'
import { commandHandlers, internalHandlers } from './handlers.ts'
import { Mailer } from './invite/mail.ts'
import { presenceSweep } from './invite/presence.ts'
import { requireMigrated } from './storage/migrations.ts'
import { Neighbours } from './storage/neighbours.ts'
import { Outbox } from './storage/outbox.ts'
import { Sessions } from './user/sessions.ts'
import { VlobReads } from './vlob/gathered-reads.ts'
import { VlobWrites } from './vlob/gathered-writes.ts'

export type MetadataDeps = {
  bus: Bus
  log: Log
  config: MetadataConfig
  /** Of the whole process; the caller opens and closes it. */
  database: Database
  metrics?: Metrics
}

/**
 * Gives a call what handlers work with. What is the same for all calls stands on a prototype: to copy it into each would
 * cost more than most handlers do.
 */
function scopeOf<Own extends object>(own: Own, database: Database) {
  class Scope {
    readonly db: Transactional
    readonly budget: Budget
    readonly log: Log
    readonly context: Context | undefined
    readonly request_id: string | undefined
    constructor({ budget, log, context, request_id }: InternalCall & Partial<Call>) {
      this.db = database.within(budget)
      this.budget = budget
      this.log = log
      this.context = context
      this.request_id = request_id
    }
  }
  Object.assign(Scope.prototype, own)
  return <C extends InternalCall>(call: C) => new Scope(call) as unknown as C & Own & { db: Transactional }
}

/** Throws `OperatorError` when the schema is not that of this release, or the role may not read all of it. */
export async function startMetadata(deps: MetadataDeps): Promise<Service> {
  const { bus, log, config, database, metrics = noMetrics } = deps
  await requireMigrated(database)
  await Outbox.requireCounter(database)
  const neighbours = await Neighbours.meet(database, bus, log)
  const outbox = new Outbox(database, bus, log)
  const mailer = config.mail && (await Mailer.open(config.mail, config.backendAddr, log))
  const stopping = new AbortController()
  const admission = admissionOf(heavyWidth(config))
  const turns = connectionTurns(config)
  metrics.lanes('metadata', () => ({ ...admission.figures(), transactions: turns.figures() }))
  metrics.pool(() => database.statistics)
  const own = {
    bus,
    outbox,
    turns,
    sessions: new Sessions(database),
    blocks: new Blocks({ db: database, now: DateTime.now }),
    vlobReads: new VlobReads(database),
    vlobWrites: new VlobWrites({ db: database, outbox, now: DateTime.now }),
    config,
    mailer,
    log,
    stopping: stopping.signal,
    now: DateTime.now,
  }
  const stopWork = () => {
    stopping.abort(STOPPING)
    admission.stop(STOPPING)
  }
  const presence = presenceSweep(own, database)
  const sampling = figuresSampling(own, database)
  const service = { bus, service: 'metadata', log, admission, scope: scopeOf(own, database) } as const
  const serving: Subscription[] = []
  try {
    serving.push(await serveInternal(service, internalHandlers), await serveCommands(service, commandHandlers))
  } catch (error) {
    await Promise.allSettled([...serving.map(subscription => subscription.close()), neighbours.leave()])
    throw error
  }
  outbox.start()
  presence.start()
  sampling.start()
  let draining = false
  return {
    name: 'metadata',
    readiness: () => ({
      ready: !draining && bus.connected && database.reachable,
      detail: {
        bus: bus.connected ? 'connected' : 'lost',
        database: database.state,
        ...(neighbours.trouble && { deployment: neighbours.trouble }),
        ...(neighbours.clock && { clock: neighbours.clock }),
      },
    }),
    drain: async deadlineMs => {
      draining = true
      const timer = setTimeout(stopWork, Math.max(deadlineMs - ABORT_MARGIN_MS, 0))
      await Promise.all(serving.map(subscription => subscription.close())).finally(() => clearTimeout(timer))
      await Promise.all([presence.stop(), sampling.stop()])
      await neighbours.leave()
      await outbox.drain()
    },
    stop: async () => stopWork(),
  }
}

const STOPPING = new Unavailable('the server stops')

/** The embedded database has but one. */
const connectionsOf = ({ database }: MetadataConfig): number =>
  database.kind === 'POSTGRESQL' ? database.maxConnections : 1
/** Heavy requests have half of the connections at most. */
const heavyWidth = (config: MetadataConfig): number => Math.max(Math.floor(connectionsOf(config) / 2), 1)
/** … and so have the transactions of one organization. */
const connectionTurns = (config: MetadataConfig): Gate => {
  const width = connectionsOf(config)
  return new Gate({ width, share: Math.ceil(width / 2), queue: MAX_WAITING_TRANSACTIONS })
}
const MAX_WAITING_TRANSACTIONS = 4096
