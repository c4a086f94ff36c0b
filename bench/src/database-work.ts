/** What PostgreSQL has read in a database: the same whenever it is measured, other than time. */
import { query } from './backing.ts'

/** Rows and index entries; blocks of tables, of what is too long for them, and of indexes, wherever they were found. */
export type DatabaseWork = { rows: number; blocks: number }

/** Since the database was made. PostgreSQL adds a session's up when it ends, so all are ended. */
export async function databaseWork(databaseUrl: string): Promise<DatabaseWork> {
  const ended = await query(
    databaseUrl,
    `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
  )
  const pids = ended.map(row => row['pid'])
  const alive = 'SELECT FROM pg_stat_activity WHERE pid = ANY($1::int[])'
  while ((await query(databaseUrl, alive, [pids])).length > 0);
  // The outbox is swept as time passes.
  const [counted] = await query(
    databaseUrl,
    `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname <> 'outbox')
       + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname <> 'outbox') AS rows,
     (SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0)
         + coalesce(toast_blks_hit + toast_blks_read + tidx_blks_hit + tidx_blks_read, 0))
       FROM pg_statio_user_tables WHERE relname <> 'outbox') AS blocks`,
  )
  return { rows: Number(counted!['rows']), blocks: Number(counted!['blocks']) }
}

/** What `times` runs of something cost, each. */
export async function workEach(databaseUrl: string, times: number, run: () => Promise<unknown>): Promise<DatabaseWork> {
  const before = await databaseWork(databaseUrl)
  for (let n = 0; n < times; n++) await run()
  const after = await databaseWork(databaseUrl)
  return { rows: (after.rows - before.rows) / times, blocks: (after.blocks - before.blocks) / times }
}
