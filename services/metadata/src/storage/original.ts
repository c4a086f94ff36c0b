/** Databases of the original server (v1.14 to v2.17), told from ours and from those of anybody else (spec 07 §2). */

/** Names that its table `migration` has at each level, from level 2 on. */
const LEVELS = [
  'add_migration_table',
  'human_handle',
  'invite',
  'redacted_certificates',
  'outsider_enabled',
  'users_limit',
  'apvi1_removal',
  'add_realm_user_change_table',
  'add_pki_certificate_table',
  'add_sequester_tables',
  'add_sequester_webhook',
  'add_shamir_recovery',
  'add_realm_archiving',
  'frozen_users',
] as const
const FIRST_LEVEL = 2
/** Levels that can be taken over. */
export const OLDEST_LEVEL = 5
export const NEWEST_LEVEL = FIRST_LEVEL + LEVELS.length - 1

/** Of a database with a table `migration`. `level`: also one that this release does not know. */
export type Original = { readonly level: number } | undefined

/** What the rows of a table `migration` say; undefined when they are not the original's. */
export function originalOf(rows: readonly { _id: number; name: string }[]): Original {
  const known = rows.filter(row => row._id <= NEWEST_LEVEL)
  if (known.length === 0 || known.some(row => LEVELS[row._id - FIRST_LEVEL] !== row.name)) return undefined
  return { level: Math.max(...rows.map(row => row._id)) }
}
