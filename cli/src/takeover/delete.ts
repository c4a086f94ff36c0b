/** Deletes an organization as the administration API does, without a server: `deletion.ts` of the metadata says how. */
import { removeObjects } from '@parsec/blockstore/removal'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { deleteOrganization, lookAt } from '@parsec/metadata/organization/deletion'
import { BLOCK_COPY_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Database } from '@parsec/shared/postgres/database'
import type { Doomed } from '@parsec/shared/protocol/internal'

export async function requireDoomed(db: Database, organization_id: string): Promise<Doomed> {
  const doomed = await lookAt(db, organization_id)
  if (!doomed) throw new OperatorError(`--organization: there is no organization ${organization_id}`)
  return doomed
}

/** Resolves when nothing of it is left. */
export async function deleteWhole(
  db: Database,
  store: BlockStore,
  { organization_id, code }: { organization_id: string; code: string },
): Promise<void> {
  await requireDoomed(db, organization_id)
  let objectsAreGone = false
  for (;;) {
    const step = await deleteOrganization(db, organization_id, { code, objectsAreGone })
    if (step === 'deleted') return
    if (step === 'bad_code')
      throw new OperatorError(
        `--confirm: the code is not that of ${organization_id} as it is now; without --confirm it is shown`,
      )
    if (step === 'rows_gone')
      objectsAreGone = await removeObjects(store, organization_id, { ms: BLOCK_COPY_MS, signal: null }).catch(error => {
        throw new OperatorError(`--blockstore: ${(error as Error).message}; the same command goes on`, {
          cause: error,
        })
      })
  }
}
