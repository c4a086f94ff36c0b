/** What a handler is given beside its request: who calls, and what this replica works with. */
import type { Bus } from '@parsec/shared/bus/bus'
import type { Call } from '@parsec/shared/bus/rpc'
import type { DateTime } from '@parsec/shared/codec/values'
import type { MetadataConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import type { CallerOf, CommandName, Reply, Request } from '@parsec/shared/protocol/registry'
import type { Mailer } from './invite/mail.ts'
import type { Outbox } from './storage/outbox.ts'

export type Deps = {
  bus: Bus
  db: Database
  outbox: Outbox
  config: MetadataConfig
  /** Null: mails cannot be sent. */
  mailer: Mailer | null
  log: Log
  /** Aborted when the service ends and what waits for others must not wait any longer. */
  stopping: AbortSignal
  /** The server's clock, microseconds. */
  now: () => DateTime
}

export type Ctx<N extends CommandName> = Deps & Call<CallerOf<N>>
export type Handler<N extends CommandName> = (ctx: Ctx<N>, request: Request<N>) => Promise<Reply<N>>
export type Handlers<N extends CommandName> = { readonly [K in N]: Handler<K> }
