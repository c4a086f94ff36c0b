/**
 * Two PostgreSQL servers with synchronous replication, both named in the URL: the primary is killed under load, the
 * standby promoted. Every acknowledged write is there, and the same server processes write again within seconds.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { TestDatabase } from '../harness/backing.ts'
import { type Cluster, migrate } from '../harness/launch.ts'
import { OwnPostgres } from '../harness/own-postgres.ts'
import { randomizedRun } from './random/run.ts'

const SECONDS = 8
const BEFORE_MS = 3_000
/** Until something more is written: far longer than it takes. */
const RECOVERY_MS = 30_000

const primary = await OwnPostgres.start()
const standby = await primary.standby()
after(async () => {
  await standby.stop()
  await primary.stop()
})
const url = `postgresql://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres?target_session_attrs=read-write`
const made = { serving: primary }
const database: TestDatabase = { url, query: (...statement) => made.serving.query(...statement), drop: async () => {} }

test('the primary is killed and the standby promoted under load: what was acknowledged is there', async t => {
  await migrate(url, { PATH: process.env.PATH })
  await primary.awaitStandby()
  const report = await randomizedRun({
    seconds: SECONDS,
    seed: 1,
    launch: { topology: 'twins', database },
    befall: async cluster => {
      const pids = pidsOf(cluster)
      await pause(BEFORE_MS)
      // Before, since clients of the run ask the database, too.
      made.serving = standby
      await primary.down('SIGKILL')
      await standby.query('SELECT pg_promote()')
      const promoted = performance.now()
      const written = await changes()
      while ((await changes()) <= written) {
        assert.ok(performance.now() - promoted < RECOVERY_MS, `nothing is written any more\n${cluster.output}`)
        await pause(50)
      }
      t.diagnostic(`written again ${Math.round(performance.now() - promoted)} ms after the promotion`)
      for (const { name } of cluster.processes.values())
        while (!(await cluster.process(name).isReady())) await pause(50)
      assert.deepEqual(pidsOf(cluster), pids, 'no process was restarted')
      return ['failover']
    },
  })
  t.diagnostic(JSON.stringify(report.outcomes))
  assert.deepEqual(report.violations, [])
})

const pidsOf = (cluster: Cluster): number[] => [...cluster.processes.values()].map(({ pid }) => pid)
const changes = async (): Promise<number> =>
  Number((await made.serving.query<{ count: string }>('SELECT count(*) FROM realm_change'))[0]!.count)
