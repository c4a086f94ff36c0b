/** Figures over time: a sample for each hour, told hour by hour for a week and day by day beyond. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { history, takeSample } from '@parsec/metadata/administration/figures'
import { DateTime } from '@parsec/shared/codec/values'
import type { Log } from '@parsec/shared/log'
import { openPostgres } from '@parsec/shared/postgres/open'
import { sql } from '@parsec/shared/postgres/sql'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { createDatabase } from '../harness/backing.ts'
import { migrate } from '../harness/launch.ts'

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }
const own = await createDatabase()
await migrate(own.url, { PATH: process.env.PATH })
const pool = { kind: 'POSTGRESQL', minConnections: 0, maxConnections: 2, maxAttempts: 1, retryPauseSeconds: 0 } as const
const db = await openPostgres({ ...pool, target: readDatabaseUrl(own.url, {}) }, log)
after(async () => {
  await db.close()
  await own.drop()
})

test('each hour has one sample, however many processes take it; days are told by their last', async () => {
  const now = DateTime.now()
  const HOUR = 3600
  for (let hours = 0; hours < 20 * 24; hours++) {
    if (hours === 30)
      await db.run(sql`
        INSERT INTO organization (organization_id, bootstrap_token, user_profile_outsider_allowed, created_on)
        VALUES ('Org', '', TRUE, now())`)
    const at = now.plus((hours - 20 * 24) * HOUR)
    await Promise.all([takeSample(db, at), takeSample(db, at)])
  }
  const week = await history(db, 7)
  assert.ok(Math.abs(week.length - 7 * 24) <= 1, `${week.length} hours`)
  const month = await history(db, 30)
  assert.ok(Math.abs(month.length - 20) <= 1, `${month.length} days`)
  assert.deepEqual([month[0]!.organizations, month.at(-1)!.organizations], [0, 1])
  for (const list of [week, month])
    assert.deepEqual(
      list,
      list.toSorted((a, b) => a.at.us - b.at.us),
    )
})
