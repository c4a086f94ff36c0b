/** Keeps a block from being created while a scrub removes what an abandoned create of it has left behind. */

import { Unavailable } from '@parsec/shared/errors'
import { blockClaimKey } from '@parsec/shared/postgres/block-claim'
import { sql } from '@parsec/shared/postgres/sql'
import type { InternalHandlers } from '../context.ts'

type Handlers = Pick<InternalHandlers<'block_check'>, 'block_check'>

/**
 * `handlers` with a check that rejects with `Unavailable` while the block is claimed. A create that was checked before
 * the claim ends, or fails, before the remover goes on.
 */
export function refusingClaimed<H extends Handlers>(handlers: H): H {
  const refuseClaimed: (...args: Parameters<Handlers['block_check']>) => Promise<void> = async (
    { db },
    { context, block_id },
  ) => {
    const key = blockClaimKey(context.organization_id, block_id)
    const row = await db.one<{ free: boolean }>(sql`SELECT pg_try_advisory_xact_lock_shared(${key}::bigint) AS free`)
    if (!row?.free) throw new Unavailable('the block is being removed')
  }
  return {
    ...handlers,
    block_check: async (ctx, request) =>
      (await Promise.all([handlers.block_check(ctx, request), refuseClaimed(ctx, request)]))[0],
  }
}
