/**
 * The data folder of a PGlite with the schema of this release, made once beside the package (`make-pglite-template.ts`):
 * starting from a copy takes an eighth of the time and half of the memory of making a new one.
 */
import { constants, cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { schemaDigest } from './migrations.ts'

export const TEMPLATE = fileURLToPath(new URL('../../pglite-template', import.meta.url))

/** Folders of PostgreSQL that are empty at first; an npm package holds no empty folder. */
const EMPTY_FOLDERS = [
  'pg_commit_ts',
  'pg_dynshmem',
  'pg_logical/mappings',
  'pg_logical/snapshots',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat',
  'pg_stat_tmp',
  'pg_tblspc',
  'pg_twophase',
  'pg_wal/archive_status',
  'pg_wal/summaries',
]

/** In a template, the digest of its migrations. */
export const DIGEST_FILE = 'parsec-schema.sha256'

/**
 * Fills `folder` from the template; false when there is none of this release to be read, and PGlite will initialise the
 * folder itself.
 */
export function copyTemplate(folder: string, template = TEMPLATE): boolean {
  if (digestOf(template) !== schemaDigest()) return false
  try {
    cpSync(template, folder, { recursive: true, mode: constants.COPYFILE_FICLONE })
  } catch {
    // It is another user's who keeps it to himself.
    rmSync(folder, { recursive: true, force: true })
    return false
  }
  for (const name of EMPTY_FOLDERS) mkdirSync(join(folder, name), { recursive: true })
  return true
}

/** Undefined when there is no template, or one that was not made to its end. */
export function digestOf(template: string): string | undefined {
  try {
    return readFileSync(join(template, DIGEST_FILE), 'utf8')
  } catch {
    return undefined
  }
}
