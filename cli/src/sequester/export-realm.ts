/** Copies a realm from the server's database and block store into an export file (spec 05 §14.5). */

import { withDeadline } from '@parsec/blockstore/stores/deadline'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { EXPORT_READ_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Database } from '@parsec/shared/postgres/database'
import { describe } from '../command-line/output.ts'
import type { ExportFile } from './export-file.ts'
import {
  countBlocks,
  type ExportedBlock,
  type ExportScope,
  exportedBlocks,
  exportedDevices,
  exportedRoles,
  exportedUsers,
  exportedVlobs,
  newestChange,
} from './export-source.ts'

const VLOBS_PER_PAGE = 1000
const BLOCKS_PER_PAGE = 100
/** Blocks of a page that are read at once. */
const READS_AT_ONCE = 4
/** So many blocks in a row that cannot be read: the store is away, not a block lost. */
const PATIENCE = 10

export type Export = {
  database: Database
  store: BlockStore
  organization_id: string
  scope: ExportScope
  file: ExportFile
  /** Takes a line about the progress. */
  tell: (line: string) => void
}

/** Adds what the file does not have yet; returns how many blocks could not be read. */
export async function exportRealm({ database, scope, file, tell, ...rest }: Export): Promise<number> {
  // What is there now has authors that are there now: the people are read after the bound, and before the data.
  const newest = await newestChange(database, scope)
  const blocks = await countBlocks(database, scope)
  const [users, devices, roles] = await Promise.all([
    exportedUsers(database, scope),
    exportedDevices(database, scope),
    exportedRoles(database, scope),
  ])
  file.addUsers(users)
  file.addDevices(devices)
  file.addRoles(roles)
  tell(`Users: ${users.length}, devices: ${devices.length}, role certificates: ${roles.length}`)
  for (let after = file.newestChange(); after < newest; after += VLOBS_PER_PAGE) {
    const count = Math.min(VLOBS_PER_PAGE, newest - after)
    file.addVlobs(await exportedVlobs(database, scope, after, count))
    tell(`Changes: ${after + count} of ${newest}`)
  }
  return exportBlocks({ database, scope, file, tell, ...rest }, blocks)
}

/** Every block is looked for in the file: one of a lower key may have been committed after the former run. */
async function exportBlocks(
  { database, store, organization_id, scope, file, tell }: Export,
  total: number,
): Promise<number> {
  let done = 0
  let lost = 0
  let failuresInARow = 0
  const read = async (block: ExportedBlock): Promise<(ExportedBlock & { data: Buffer })[]> => {
    try {
      const data = await withDeadline(null, EXPORT_READ_MS, signal =>
        store.read(organization_id, block.block_id, block, signal),
      )
      failuresInARow = 0
      return [{ ...block, data }]
    } catch (error) {
      tell(`Block ${block.block_id} ✘: ${describe(error)}`)
      lost++
      if (++failuresInARow < PATIENCE) return []
      throw new OperatorError('the block store does not work; run the command again to continue', { cause: error })
    }
  }
  for (let page = await exportedBlocks(database, scope, 0, BLOCKS_PER_PAGE); page.length > 0; ) {
    const missing = page.filter(block => !file.hasBlock(block))
    for (let start = 0; start < missing.length; start += READS_AT_ONCE) {
      const part = await Promise.all(missing.slice(start, start + READS_AT_ONCE).map(read))
      file.addBlocks(part.flat())
    }
    done += page.length
    tell(`Blocks: ${done} of ${Math.max(total, done)}`)
    page = await exportedBlocks(database, scope, page.at(-1)!._id, BLOCKS_PER_PAGE)
  }
  return lost
}
