/**
 * The locks of a realm (spec 05 §15). Its row orders everything that changes it, so change indices are contiguous and never
 * appear late. Adding a block changes nothing that another block or a vlob depends on, only its state and roles must stay
 * as they were checked: blocks share a lock beside the row, which changes of state and roles take for themselves. It has
 * a queue, unlike a row that is shared: no flow of blocks keeps such a change waiting.
 *
 * The statement after a lock sees everything that was committed before the lock was had. The row comes first, then the
 * lock beside it.
 */
import type { Uuid } from '@parsec/shared/codec/values'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'

/** Key of the lock beside the row of `realm`: advisory, of a key space that single 64-bit keys do not share. */
const BESIDE = fragment`1380272461, (realm._id % 2147483648)::int`

/** For a change that blocks need not wait for: a vlob, a re-encrypted version. */
export const lockRealm = (tx: Queryable, organization: number, realm_id: Uuid) =>
  tx.run(sql`SELECT FROM realm WHERE organization = ${organization} AND realm_id = ${realm_id} FOR NO KEY UPDATE`)

/** The same by the key of the realm. */
export const lockRealmByKey = (tx: Queryable, realm: number) =>
  tx.run(sql`SELECT FROM realm WHERE _id = ${realm} FOR NO KEY UPDATE`)

/** For a change of the realm's state or of somebody's role. */
export const lockRealmAlone = (tx: Queryable, organization: number, realm_id: Uuid) =>
  tx.run(sql`
    SELECT pg_advisory_xact_lock(${BESIDE}) FROM (
      SELECT _id FROM realm WHERE organization = ${organization} AND realm_id = ${realm_id} FOR NO KEY UPDATE
    ) realm`)

/** For the commit of a block. */
export const shareRealm = (tx: Queryable, organization: number, realm_id: Uuid) =>
  tx.run(sql`
    SELECT pg_advisory_xact_lock_shared(${BESIDE}) FROM realm
    WHERE organization = ${organization} AND realm_id = ${realm_id}`)

/** For commits of blocks: the realms whose lock can be had at once, with no queue before it. */
export function tryToShareRealms(tx: Queryable, wanted: readonly RealmKey[]): Promise<{ realm: number }[]> {
  return wanted.length === 1 ? tryToShareRealm(tx, wanted[0]!) : tryToShareAll(tx, wanted)
}
type RealmKey = { organization: number; realm_id: Uuid }
const tryToShareRealm = (tx: Queryable, { organization, realm_id }: RealmKey) =>
  tx.all<{ realm: number }>(sql`
    SELECT realm._id AS realm FROM realm
    WHERE organization = ${organization} AND realm_id = ${realm_id} AND pg_try_advisory_xact_lock_shared(${BESIDE})`)
const tryToShareAll = (tx: Queryable, wanted: readonly RealmKey[]) =>
  tx.all<{ realm: number }>(sql`
    SELECT realm._id AS realm FROM (
      SELECT DISTINCT (SELECT _id FROM realm WHERE organization = q.organization AND realm_id = q.realm_id) AS _id
      FROM unnest((SELECT ${wanted.map(w => w.organization)}::bigint[]), (SELECT ${wanted.map(w => w.realm_id)}::uuid[]))
        AS q (organization, realm_id)
    ) realm
    WHERE pg_try_advisory_xact_lock_shared(${BESIDE})`)
