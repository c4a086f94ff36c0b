/** Versions of vlobs are read together, see `storage/gather.ts`: one statement finds what several commands ask for. */
import type { Budget } from '@parsec/shared/budget'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import type { Database } from '@parsec/shared/postgres/database'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { DeviceID } from '@parsec/shared/protocol/types'
import { CALLER_BY_KEY, GATES, JOIN_CALLER, type RealmFacts } from '../realm/gates.ts'
import { Gathering, inOrder } from '../storage/gather.ts'

/** `version`, or the newest one, or the newest up to `timestamp`. */
export type VersionKey = {
  vlob_id: Uuid
  encryption_revision: number
  version: number | null
  timestamp: DateTime | null
}
/** `version` null: there is no such one. */
export type FoundVersion = RealmFacts & {
  version: number | null
  blob: Buffer
  created_on: DateTime
  author: DeviceID
  author_last_role_granted_on: DateTime
}
type Item = VersionKey & { context: AuthenticatedContext }

/** Of a batch. A blob is at most 1 MiB. */
const MAX_ITEMS = 32
/** Fewer cost less one by one. */
const FEW = 4
const LANES = 2

export class VlobReads {
  readonly #db: Database
  readonly #gathering: Gathering<Item, FoundVersion | undefined>

  constructor(db: Database) {
    this.#db = db
    this.#gathering = new Gathering({
      alone: (item, budget) => findVersion(db.within(budget), item),
      few: FEW,
      together: async (items, budget) => inOrder(items, await findVersions(db.within(budget), items)),
      maxItems: MAX_ITEMS,
      maxBytes: Infinity,
      lanes: LANES,
    })
  }

  /** The version with what its gates look at; undefined when there is no such vlob. */
  find(
    { context, budget }: { context: AuthenticatedContext; budget: Budget },
    key: VersionKey,
  ): Promise<FoundVersion | undefined> {
    const item = { ...key, context }
    if (key.timestamp !== null) return findVersionAt(this.#db.within(budget), item, key.timestamp)
    return this.#gathering.add(item, { organization: context.organization, budget })
  }
}

/** What a version says, for statements with its `atom`, the `device` of its author, and what the gates look at. */
const VERSION = fragment`${GATES}, atom.version, atom.blob, atom.created_on, device.device_id AS author,
  CASE WHEN device.user_ = caller.user_ THEN caller.certified_on
    ELSE (SELECT certified_on FROM realm_user WHERE realm = vlob.realm AND user_ = device.user_)
  END AS author_last_role_granted_on`

/**
 * A revision that may be read has all versions, so the newest is found by its number. `OFFSET 0`: by key, whatever the
 * planner thinks of the table.
 */
const findVersion = (db: Queryable, q: Item) =>
  db.one<FoundVersion>(sql`
    SELECT ${VERSION}
    FROM vlob JOIN realm ON realm._id = vlob.realm ${JOIN_CALLER} = ${q.context.user}
    LEFT JOIN LATERAL (
      SELECT * FROM vlob_atom one WHERE one.vlob = vlob._id AND one.encryption_revision = ${q.encryption_revision}
        AND one.version = coalesce(${q.version}::bigint, vlob.version)
      OFFSET 0
    ) atom ON TRUE
    LEFT JOIN device ON device._id = atom.author
    WHERE vlob.organization = ${q.context.organization} AND vlob.vlob_id = ${q.vlob_id}`)

/**
 * The one of an instant is found by halves, since timestamps never go back (C2): there may be thousands. Numbers may be
 * missing in what was taken over. A statement of its own: as a case of the other it would be planned for each of its calls.
 */
const findVersionAt = (db: Queryable, q: Item, timestamp: DateTime) =>
  db.one<FoundVersion>(sql`
    SELECT ${VERSION}
    FROM vlob JOIN realm ON realm._id = vlob.realm ${JOIN_CALLER} = ${q.context.user}
    LEFT JOIN LATERAL (
      SELECT * FROM vlob_atom one WHERE one.vlob = vlob._id AND one.encryption_revision = ${q.encryption_revision}
        AND one.version <= (
          WITH RECURSIVE halved (low, high) AS (
            SELECT 0::bigint, vlob.version
            UNION ALL
            SELECT CASE WHEN later IS NULL THEN middle ELSE low END, coalesce(later - 1, high)
            FROM halved CROSS JOIN LATERAL (SELECT (low + high + 1) / 2 AS middle) half
            LEFT JOIN LATERAL (
              SELECT CASE WHEN found.created_on > ${timestamp}::timestamptz THEN found.version END AS later FROM vlob_atom found
              WHERE found.vlob = vlob._id AND found.encryption_revision = ${q.encryption_revision}
                AND found.version > low AND found.version <= middle
              ORDER BY found.version DESC LIMIT 1
            ) probe ON TRUE
            WHERE low < high
          )
          SELECT max(low) FROM halved
        )
      ORDER BY one.version DESC LIMIT 1
    ) atom ON TRUE
    LEFT JOIN device ON device._id = atom.author
    WHERE vlob.organization = ${q.context.organization} AND vlob.vlob_id = ${q.vlob_id}`)

/**
 * Several without an instant: `n` tells which, from 1. `OFFSET 0` and `(SELECT …)`: one plan, by key, for any number of
 * them, whatever the planner thinks of the tables. Joined freely, it reads all members of a realm for one of them, or all
 * devices up to the author's.
 */
const findVersions = (db: Queryable, items: readonly Item[]) =>
  db.all<FoundVersion & { n: number }>(sql`
    SELECT q.n, ${VERSION}
    FROM unnest((SELECT ${items.map(q => q.context.organization)}::bigint[]), (SELECT ${items.map(q => q.vlob_id)}::uuid[]),
      (SELECT ${items.map(q => q.context.user)}::bigint[]), (SELECT ${items.map(q => q.encryption_revision)}::bigint[]),
      (SELECT ${items.map(q => q.version)}::bigint[]))
      WITH ORDINALITY AS q (organization, vlob_id, user_, encryption_revision, version, n)
    CROSS JOIN LATERAL (
      SELECT * FROM vlob WHERE vlob.organization = q.organization AND vlob.vlob_id = q.vlob_id OFFSET 0
    ) vlob
    CROSS JOIN LATERAL (SELECT * FROM realm WHERE realm._id = vlob.realm OFFSET 0) realm
    ${CALLER_BY_KEY}
    LEFT JOIN LATERAL (
      SELECT * FROM vlob_atom one WHERE one.vlob = vlob._id AND one.encryption_revision = q.encryption_revision
        AND one.version = coalesce(q.version, vlob.version)
      OFFSET 0
    ) atom ON TRUE
    LEFT JOIN LATERAL (SELECT * FROM device WHERE device._id = atom.author OFFSET 0) device ON TRUE`)
