/** What a handler is given beside its request: who calls, and what this replica works with. */
import type { Budget } from '@parsec/shared/budget'
import type { Gate } from '@parsec/shared/bus/admission'
import type { Bus } from '@parsec/shared/bus/bus'
import type * as rpc from '@parsec/shared/bus/rpc'
import type { DateTime } from '@parsec/shared/codec/values'
import type { MetadataConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import type { Transactional } from '@parsec/shared/postgres/database'
import type { InternalName } from '@parsec/shared/protocol/internal'
import type { CallerOf, CommandName } from '@parsec/shared/protocol/registry'
import type { Blocks } from './block/gathered-blocks.ts'
import type { Mailer } from './invite/mail.ts'
import type { Outbox } from './storage/outbox.ts'
import type { Sessions } from './user/sessions.ts'
import type { VlobReads } from './vlob/gathered-reads.ts'
import type { VlobWrites } from './vlob/gathered-writes.ts'

export type Deps = {
  budget: Budget
  bus: Bus
  /** Within the budget of the request. */
  db: Transactional
  outbox: Outbox
  /** What commands do together, each in its own budget. */
  sessions: Sessions
  blocks: Blocks
  vlobReads: VlobReads
  vlobWrites: VlobWrites
  /** Who may begin a transaction: no organization takes all connections, though all its writers wait for one lock. */
  turns: Gate
  config: MetadataConfig
  /** Null: mails cannot be sent. */
  mailer: Mailer | null
  log: Log
  /** Aborted when the service ends: for what a caller that gives up must not stop. */
  stopping: AbortSignal
  /** The server's clock, microseconds. */
  now: () => DateTime
}

export type Ctx<N extends CommandName> = Deps & rpc.Call<CallerOf<N>>
export type Handler<N extends CommandName> = rpc.Handler<N, Deps>
export type Handlers<N extends CommandName> = rpc.Handlers<N, Deps>
export type InternalHandlers<N extends InternalName> = rpc.InternalHandlers<N, Deps>
