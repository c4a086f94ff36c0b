/**
 * The deletion of an organization, in two steps: whoever has looked at what would go gets a code, and with it the
 * organization is closed, then its rows go in batches, then its objects, its own row last. What was interrupted goes on
 * when the same is asked again. There is no way back.
 */
import { createHash } from 'node:crypto'
import { DELETION_WORK_MS } from '@parsec/shared/deadlines'
import type { Transactional } from '@parsec/shared/postgres/database'
import { type Queryable, type Sql, sql } from '@parsec/shared/postgres/sql'
import type { DeletionStep, Doomed } from '@parsec/shared/protocol/internal'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { BELONGINGS, MADE_ANEW, selection } from '../storage/belongings.ts'
import { controlEvent, Outbox } from '../storage/outbox.ts'

/** Rows of one statement. */
const ROWS = 5_000
/** Vlobs of which the versions are removed together. */
const VLOBS = 1_000
const CODE_LENGTH = 8

/** What would go; null: there is no such organization. The code is another one once people or realms have changed. */
export async function lookAt(db: Queryable, organization_id: OrganizationID): Promise<Doomed | null> {
  const found = await find(db, organization_id)
  if (!found) return null
  const { key, deletion_code, ...doomed } = found
  return { ...doomed, code: deletion_code ?? codeOf(organization_id, found), is_begun: deletion_code !== null }
}

type Found = Omit<Doomed, 'code' | 'is_begun'> & { key: number; deletion_code: string | null }
const find = (db: Queryable, organization_id: OrganizationID) =>
  db.one<Found>(sql`
    SELECT _id AS key, deletion_code, (SELECT count(*) FROM user_ WHERE organization = organization._id) AS users,
      (SELECT count(*) FROM realm WHERE organization = organization._id) AS realms,
      (SELECT coalesce(sum(size), 0)::bigint FROM realm_blocks WHERE organization = organization._id) AS data_size
    FROM organization WHERE organization_id = ${organization_id}`)

const codeOf = (organization_id: OrganizationID, { key, users, realms }: Found): string =>
  createHash('sha256').update(`${organization_id} ${key} ${users} ${realms}`).digest('hex').slice(0, CODE_LENGTH)

/**
 * One step of the deletion, as far as it comes within `DELETION_WORK_MS`. Whoever has `rows_gone` as the answer removes the
 * objects, and says so with `objectsAreGone`.
 */
export async function deleteOrganization(
  db: Transactional,
  organization_id: OrganizationID,
  { code, objectsAreGone }: { code: string; objectsAreGone: boolean },
): Promise<DeletionStep> {
  const found = await find(db, organization_id)
  if (!found) return 'not_found'
  if (code !== (found.deletion_code ?? codeOf(organization_id, found))) return 'bad_code'
  if (found.deletion_code === null) await begin(db, organization_id, { key: found.key, code })
  const place = { key: found.key, name: organization_id }
  const until = performance.now() + DELETION_WORK_MS
  if (!(await removeRows(db, place, () => performance.now() >= until))) return 'going_on'
  if (!objectsAreGone) return 'rows_gone'
  await removeLast(db, place)
  return 'deleted'
}

/** Whether the objects of the organization may be removed. */
export async function isDoomed(db: Queryable, organization_id: OrganizationID): Promise<boolean> {
  const doomed = await db.one(sql`
    SELECT FROM organization WHERE organization_id = ${organization_id} AND deletion_code IS NOT NULL`)
  return doomed !== undefined
}

/** Nobody enters any more, and who is in is thrown out. */
const begin = (db: Transactional, organization_id: OrganizationID, { key, code }: { key: number; code: string }) =>
  db.transaction(async tx => {
    await tx.run(sql`
      UPDATE organization SET deletion_code = ${code}, is_expired = TRUE, expired_on = coalesce(expired_on, now())
      WHERE _id = ${key}`)
    await Outbox.insert(tx, [controlEvent(organization_id, { control: 'organization.expired' })])
  })

type Place = { key: number; name: OrganizationID }
type Selection = readonly [table: string, where: string]
/** In an order that respects references. */
const TABLES: readonly Selection[] = [
  ...Object.entries(MADE_ANEW),
  ...BELONGINGS.map(({ table, where }) => [table, where] as const)
    .filter(([table]) => table !== 'organization')
    .reverse(),
]
const REFERRED_TO = new Set(['invitation', 'shamir_recovery', 'vlob', 'realm', 'device', 'user_', 'human'])

/** False when it was over before all were gone. */
async function removeRows(db: Transactional, place: Place, isOver: () => boolean): Promise<boolean> {
  await db.run(sql`
    UPDATE user_ SET shamir_recovery = NULL WHERE organization = ${place.key} AND shamir_recovery IS NOT NULL`)
  if (!(await removeVlobs(db, place.key, isOver))) return false
  for (const [i, table] of TABLES.entries()) {
    const remove = REFERRED_TO.has(table[0])
      ? () => removeAlone(db, place, TABLES.slice(0, i), table)
      : () => db.run(deletion(table, place, ROWS))
    if (!(await repeat(remove, isOver))) return false
  }
  return true
}

/** Vlobs go with their versions: to look for those that still have some would take longer each time. */
async function removeVlobs(db: Transactional, organization: number, isOver: () => boolean): Promise<boolean> {
  for (;;) {
    const vlobs = await db.all<{ _id: number }>(
      sql`SELECT _id FROM vlob WHERE organization = ${organization} ORDER BY vlob_id LIMIT ${VLOBS}`,
    )
    if (vlobs.length === 0) return true
    const keys = vlobs.map(({ _id }) => _id)
    const versions = () =>
      db.run(sql`
        DELETE FROM vlob_atom WHERE ctid = ANY (ARRAY(
          SELECT ctid FROM vlob_atom WHERE vlob = ANY (${keys}::bigint[]) LIMIT ${ROWS}))`)
    if (!(await repeat(versions, isOver))) return false
    await removeVlobsAlone(db, keys)
  }
}

/** Nothing leads to a version whose vlob is gone: what somebody adds who has the lock of its realm is waited for. */
const removeVlobsAlone = (db: Transactional, keys: readonly number[]) =>
  db.transaction(async tx => {
    void tx.run(sql`
      SELECT FROM realm WHERE _id IN (SELECT realm FROM vlob WHERE _id = ANY (${keys}::bigint[])) ORDER BY _id FOR UPDATE`)
    void tx.run(sql`DELETE FROM vlob_atom WHERE vlob = ANY (${keys}::bigint[])`)
    return tx.run(sql`DELETE FROM vlob WHERE _id = ANY (${keys}::bigint[])`)
  })

async function repeat(remove: () => Promise<number>, isOver: () => boolean): Promise<boolean> {
  for (;;) {
    if (isOver()) return false
    if ((await remove()) < ROWS) return true
  }
}

/**
 * What others may refer to goes while nobody writes: whoever was writing when the organization was closed has ended by now,
 * or is waited for with its row, or with the rows that it refers to. What they have left is `before`. Locks are taken in
 * the order of the commands, of which only those on realms come to the organization's row last.
 */
const removeAlone = (db: Transactional, place: Place, before: readonly Selection[], table: Selection) =>
  db.transaction(async tx => {
    const rows = firstRows(table, place)
    const locks = [
      sql`SELECT FROM organization WHERE _id = ${place.key} FOR UPDATE`,
      plain(`SELECT FROM ${rows} ORDER BY _id FOR UPDATE`),
    ]
    for (const lock of table[0] === 'realm' ? locks.toReversed() : locks) void tx.run(lock)
    for (const left of before) void tx.run(deletion(left, place))
    return tx.run(plain(`DELETE FROM ${rows}`))
  })
const removeLast = (db: Transactional, place: Place) =>
  removeAlone(db, place, TABLES, ['organization', '_id = $organization'])

const firstRows = ([table, where]: Selection, place: Place): string =>
  `${table} WHERE _id = ANY (ARRAY(SELECT _id FROM ${table} WHERE ${selection(where, place)} ORDER BY _id LIMIT ${ROWS}))`

function deletion([table, where]: Selection, place: Place, limit?: number): Sql {
  const rows = selection(where, place)
  if (limit === undefined) return plain(`DELETE FROM ${table} WHERE ${rows}`)
  return plain(`DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${table} WHERE ${rows} LIMIT ${limit}))`)
}
const plain = (text: string): Sql => ({ name: '', text, values: [] })
