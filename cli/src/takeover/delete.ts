/** Deletes an organization with all its rows and blocks, after a first look that tells what goes (two steps). */
import { createHash } from 'node:crypto'
import { blockOfKey, type ObjectStore, objectKey } from '@parsec/blockstore/stores/store'
import { controlEvent } from '@parsec/metadata/storage/outbox'
import { Uuid } from '@parsec/shared/codec/values'
import { BLOCK_COPY_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Target } from '@parsec/shared/postgres/target'
import { ARCHIVED, MADE_ANEW, selection } from './archived.ts'

/** Rows of one transaction, and objects at once. */
const ROWS = 10_000
const OBJECTS = 16

export type Doomed = { key: number; users: number; realms: number; blocks: number; bytes: number; code: string }

/** What would go. The code is another one once people or realms have changed. */
export async function lookAt(session: BulkSession, organization_id: string): Promise<Doomed> {
  const [found] = await session.rows<Omit<Doomed, 'code'>>(
    `SELECT _id AS key, (SELECT count(*) FROM user_ WHERE organization = organization._id)::bigint AS users,
       (SELECT count(*) FROM realm WHERE organization = organization._id)::bigint AS realms,
       (SELECT count(*) FROM block WHERE organization = organization._id)::bigint AS blocks,
       (SELECT coalesce(sum(size), 0) FROM block WHERE organization = organization._id)::bigint AS bytes
     FROM organization WHERE organization_id = $1`,
    [organization_id],
  )
  if (!found) throw new OperatorError(`--organization: there is no organization ${organization_id}`)
  const { key, users, realms } = found
  const code = createHash('sha256').update(`${organization_id} ${key} ${users} ${realms}`).digest('hex').slice(0, 8)
  return { ...found, code }
}

/**
 * Closes the organization and its connections, removes its objects, then its rows in batches, the organization's own row
 * last: whoever is interrupted does the same again.
 */
export async function deleteOrganization(
  { db, stores }: { db: Target; stores: readonly ObjectStore[] },
  organization_id: string,
  code: string,
): Promise<Doomed> {
  const session = await BulkSession.open(db, '--db')
  try {
    const doomed = await lookAt(session, organization_id)
    const [mark] = await session.rows<{ is_begun: boolean }>(
      "SELECT bootstrap_token = '' AS is_begun FROM organization WHERE _id = $1",
      [doomed.key],
    )
    if (doomed.code !== code && !mark!.is_begun)
      throw new OperatorError(
        `--confirm: the code is not that of ${organization_id} as it is now; without --confirm it is shown`,
      )
    await close(session, organization_id, doomed.key)
    await removeObjects(session, stores, organization_id, doomed.key)
    await removeRows(session, organization_id, doomed.key)
    return doomed
  } finally {
    await session.close()
  }
}

async function close(session: BulkSession, organization_id: string, key: number): Promise<void> {
  const { subject, event } = controlEvent(organization_id, { control: 'organization.expired' })
  await session.run('BEGIN')
  await session.run(
    "UPDATE organization SET is_expired = TRUE, expired_on = now(), bootstrap_token = '' WHERE _id = $1",
    [key],
  )
  await session.run('INSERT INTO outbox (subject, event) VALUES ($1, $2)', [subject, event])
  await session.run('COMMIT')
}

async function removeObjects(
  session: BulkSession,
  stores: readonly ObjectStore[],
  organization_id: string,
  key: number,
) {
  if (stores.length === 0) return
  await session.run('BEGIN')
  const query = `SELECT block_id::text FROM block WHERE organization = ${key}`
  for await (const rows of session.pages<{ block_id: string }>(query, OBJECTS))
    await Promise.all(
      rows.flatMap(({ block_id }) => {
        const id = Uuid.parse(block_id)!
        // Releases of the original wrote some without hyphens.
        const keys = [objectKey(organization_id, id), `${organization_id}/${id.hex}`].filter(name => blockOfKey(name))
        return stores.flatMap(store => keys.map(name => store.remove(name, AbortSignal.timeout(BLOCK_COPY_MS))))
      }),
    )
  await session.run('COMMIT')
}

async function removeRows(session: BulkSession, name: string, key: number): Promise<void> {
  await session.run('UPDATE user_ SET shamir_recovery = NULL WHERE organization = $1 AND shamir_recovery IS NOT NULL', [
    key,
  ])
  const tables = [
    ...Object.entries(MADE_ANEW),
    ...ARCHIVED.map(({ table, where }) => [table, where] as const).reverse(),
  ]
  for (const [table, where] of tables) {
    const rows = `SELECT ctid FROM ${table} WHERE ${selection(where, { key, name })} LIMIT ${ROWS}`
    while ((await session.run(`DELETE FROM ${table} WHERE ctid = ANY (ARRAY(${rows}))`)) === ROWS);
  }
}
