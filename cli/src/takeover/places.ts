/**
 * Where the rows of an organization lie in tables of the source that have no index by it. Each table is read once for many
 * organizations, in the order in which they come, instead of several times for each.
 */
import type { BulkSession } from '@parsec/shared/postgres/bulk'

/** Organizations at once. */
const AT_ONCE = 256
/** Rows of an organization whose keys are kept; one that has more reads the table. */
const MOST_KEYS = 2_000

/** What stands in a FROM in the place of the table. */
export type Places = { readonly roles: string; readonly messages: string }

const ROLES = `SELECT realm.organization, entry._id FROM realm_user_role entry JOIN realm ON realm._id = entry.realm
  WHERE realm.organization = ANY($1)`
const MESSAGES = 'SELECT organization, _id FROM message WHERE organization = ANY($1)'

type Keys = ReadonlyMap<number, string | null>

export class PlaceFinder {
  readonly #rows: BulkSession['rows']
  readonly #organizations: readonly number[]
  readonly #group = new Map<number, number>()
  /** Those of the last groups. */
  readonly #found = new Map<number, Promise<[roles: Keys, messages: Keys]>>()

  constructor(rows: BulkSession['rows'], organizations: readonly { readonly key: number }[]) {
    this.#rows = rows
    this.#organizations = organizations.map(({ key }) => key)
    for (const [i, key] of this.#organizations.entries()) this.#group.set(key, Math.floor(i / AT_ONCE))
  }

  async of(organization: number): Promise<Places> {
    const group = this.#group.get(organization)!
    if (!this.#found.has(group)) {
      // Those who are still at work on the group before need no more than that.
      for (const known of this.#found.keys()) if (known < group - 1) this.#found.delete(known)
      this.#found.set(group, this.#find(group))
    }
    const [roles, messages] = await this.#found.get(group)!
    return {
      roles: narrowed('realm_user_role', roles.get(organization)),
      messages: narrowed('message', messages.get(organization)),
    }
  }

  async #find(group: number): Promise<[Keys, Keys]> {
    const organizations = this.#organizations.slice(group * AT_ONCE, (group + 1) * AT_ONCE)
    return [await this.#keys(ROLES, organizations), await this.#keys(MESSAGES, organizations)]
  }
  async #keys(query: string, organizations: readonly number[]): Promise<Keys> {
    const rows = await this.#rows<{ organization: number; keys: string | null }>(
      `SELECT organization, CASE WHEN count(*) <= ${MOST_KEYS} THEN array_agg(_id)::text END AS keys
       FROM (${query}) own GROUP BY organization`,
      [organizations],
    )
    return new Map(rows.map(({ organization, keys }) => [organization, keys]))
  }
}

const narrowed = (table: string, keys: string | null = '{}'): string =>
  keys === null ? table : `(SELECT * FROM ${table} WHERE _id = ANY('${keys}'::int4[]))`
