/** The metadata service: everything but block data lives here. Stateless: any replica may be killed at any time. */
import type { Bus } from '@parsec/shared/bus/bus'
import { serveCommands, serveInternal } from '@parsec/shared/bus/rpc'
import { DateTime } from '@parsec/shared/codec/values'
import type { MetadataConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import type { Service } from '@parsec/shared/service'
import { refusingClaimed } from './block/claimed.ts'
import { blockHandlers } from './block/requests.ts'
import type { Deps } from './context.ts'
import { commandHandlers } from './handlers.ts'
import { conduitHandlers } from './invite/conduit.ts'
import { Mailer } from './invite/mail.ts'
import { PresenceSweep, presenceHandlers } from './invite/presence.ts'
import { legacyInvitationHandlers } from './legacy/invitation.ts'
import { administrationHandlers } from './organization/administration.ts'
import { requireMigrated } from './storage/migrations.ts'
import { Outbox } from './storage/outbox.ts'
import { sessionHandlers } from './user/handshake.ts'

export type MetadataDeps = {
  bus: Bus
  log: Log
  config: MetadataConfig
  /** Of the whole process; the caller opens and closes it. */
  database: Database
}

/** Milliseconds of a drain's deadline that stay for the answers of the commands that it had to abort. */
const ABORT_MARGIN_MS = 500

/** Throws `OperatorError` when the schema is not that of this release. */
export async function startMetadata({ bus, log, config, database }: MetadataDeps): Promise<Service> {
  await requireMigrated(database)
  const outbox = new Outbox(database, bus, log)
  const mailer = config.mail && (await Mailer.open(config.mail, config.backendAddr, log))
  const stopping = new AbortController()
  const deps: Deps = { bus, db: database, outbox, config, mailer, log, stopping: stopping.signal, now: DateTime.now }
  const presenceSweep = new PresenceSweep(deps)
  outbox.start()
  presenceSweep.start()
  const internal = {
    ...sessionHandlers(deps),
    ...administrationHandlers(deps),
    ...refusingClaimed(deps, blockHandlers(deps)),
    ...legacyInvitationHandlers(deps),
    ...conduitHandlers(deps),
    ...presenceHandlers(deps),
  }
  const serving = [
    await serveInternal(bus, 'metadata', internal, log),
    await serveCommands(bus, 'metadata', commandHandlers(deps), log),
  ]
  let draining = false
  return {
    name: 'metadata',
    readiness: () => ({
      ready: !draining && bus.connected && database.reachable,
      detail: { bus: bus.connected ? 'connected' : 'lost', database: database.reachable ? 'connected' : 'lost' },
    }),
    drain: async deadlineMs => {
      draining = true
      const timer = setTimeout(() => stopping.abort(), Math.max(deadlineMs - ABORT_MARGIN_MS, 0))
      await Promise.all(serving.map(subscription => subscription.close())).finally(() => clearTimeout(timer))
      await presenceSweep.drain()
      await outbox.drain()
    },
    stop: async () => stopping.abort(),
  }
}
