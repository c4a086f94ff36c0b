/**
 * Who removes an object that belongs to no block claims the block first, so that nobody creates it meanwhile: an advisory
 * lock of PostgreSQL, exclusive for the remover, shared and tried only by the check before a create.
 */
import { createHash } from 'node:crypto'
import type { Uuid } from '../codec/values.ts'
import type { OrganizationID } from '../protocol/types.ts'

/** Key of the lock, as the text of a 64-bit integer. Blocks that share a key by chance are claimed together. */
export const blockClaimKey = (organization_id: OrganizationID, block_id: Uuid): string =>
  createHash('sha256').update(`${organization_id}/${block_id.hex}`).digest().readBigInt64BE().toString()
