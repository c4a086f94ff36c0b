/** Ceiling of blocks in PostgreSQL: the same bytes put and got with bare `pg`, in the table that the server has. */
import { randomBytes, randomUUID } from 'node:crypto'
import pg from 'pg'
import { Meter } from '../meter.ts'
import { serveTasks } from '../tasks.ts'

export type BlocksTask = {
  databaseUrl: string
  operation: 'put' | 'get'
  concurrency: number
  /** Size of the pool, as of the server that is compared. */
  connections: number
  blockBytes: number
  warmupMs: number
  measureMs: number
}

const ORGANIZATION = 'ceiling'

serveTasks(async (task: BlocksTask) => {
  const pool = new pg.Pool({ connectionString: task.databaseUrl, max: task.connections })
  const block = randomBytes(task.blockBytes)
  const put = async (block_id: string) => {
    await pool.query({
      name: 'put',
      text: 'INSERT INTO block_data (organization_id, block_id, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      values: [ORGANIZATION, block_id, block],
    })
  }
  const get = async (block_id: string) => {
    const { rows } = await pool.query({
      name: 'get',
      text: 'SELECT data FROM block_data WHERE organization_id = $1 AND block_id = $2',
      values: [ORGANIZATION, block_id],
    })
    if (rows[0]?.data.length !== task.blockBytes) throw new Error('block is not there')
  }
  const ids = Array.from({ length: task.concurrency }, () => randomUUID())
  await Promise.all(ids.map(put))

  const meter = new Meter(task.warmupMs, task.measureMs)
  const loop = async (id: string) => {
    for (let startedAt = performance.now(); startedAt < meter.endsAt; startedAt = meter.count(startedAt)) {
      if (task.operation === 'put') await put(randomUUID())
      else await get(id)
    }
  }
  await Promise.all(ids.map(loop))
  await pool.end()
  return meter.result()
})
