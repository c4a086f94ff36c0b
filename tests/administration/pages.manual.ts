/** How long pages of the administration take in large servers: 20 000 organizations, and one of 10 000 users and 20 000 realms. */

import { serverFigures } from '@parsec/metadata/administration/figures'
import { listOrganizations } from '@parsec/metadata/administration/organizations'
import { listUsers } from '@parsec/metadata/administration/people'
import { realmUsage, userUsage } from '@parsec/metadata/administration/usage'
import { DateTime } from '@parsec/shared/codec/values'
import type { Log } from '@parsec/shared/log'
import { openPostgres } from '@parsec/shared/postgres/open'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { createDatabase } from '../harness/backing.ts'
import { migrate } from '../harness/launch.ts'

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }
const own = await createDatabase()
try {
  await migrate(own.url, { PATH: process.env.PATH })
  const pool = {
    kind: 'POSTGRESQL',
    minConnections: 0,
    maxConnections: 1,
    maxAttempts: 1,
    retryPauseSeconds: 0,
  } as const
  const db = await openPostgres({ ...pool, target: readDatabaseUrl(own.url, {}) }, log)
  const run = (text: string) => db.run({ name: '', text, values: [] })
  await run(`
    INSERT INTO organization (organization_id, bootstrap_token, user_profile_outsider_allowed, created_on)
    SELECT 'Org' || n, '', TRUE, now() FROM generate_series(1, 20000) n`)
  await run(`
    INSERT INTO organization_users (organization, profile, active, revoked) SELECT _id, 'ADMIN', _id % 7, 0 FROM organization`)
  await run(`
    INSERT INTO organization_tally (organization, realms, metadata_size, data_size) SELECT _id, 3, _id * 10, _id * 1000 FROM organization`)
  await run(`
    INSERT INTO user_ (organization, user_id, folded_user_id, profile, user_certificate, redacted_user_certificate, created_on)
    SELECT 1, 'user' || n, 'user' || n, 'STANDARD', '', '', now() FROM generate_series(1, 10000) n`)
  await run(`
    INSERT INTO device (organization, user_, device_id, verify_key, device_certificate, redacted_device_certificate, created_on)
    SELECT 1, _id, user_id || '@dev', '', '', '', now() FROM user_`)
  await run(`INSERT INTO device_seen SELECT _id, 1, user_, now() FROM device`)
  await run(`
    INSERT INTO realm (organization, realm_id, created_on, vlobs_size) SELECT 1, md5(n::text)::uuid, now(), n FROM generate_series(1, 20000) n`)
  await run(
    `INSERT INTO realm_blocks (realm, slot, organization, size) SELECT _id, s, 1, 1000 FROM realm, generate_series(0, 3) s`,
  )
  await run(`
    INSERT INTO realm_user (realm, user_, role)
    SELECT _id, 1 + _id % 10000, 'OWNER' FROM realm UNION ALL SELECT _id, 1 + (_id + 1) % 10000, 'READER' FROM realm`)
  await run('ANALYZE')
  const time = async (what: string, work: () => Promise<unknown>) => {
    await work()
    const startedAt = performance.now()
    await work()
    process.stdout.write(`${what}: ${Math.round(performance.now() - startedAt)} ms\n`)
  }
  const page = { descending: false, after: null, limit: 100, search: null, state: null }
  const now = DateTime.now()
  for (const sort of ['organization_id', 'created_on', 'active_users', 'data_size'] as const)
    await time(`organizations by ${sort}`, () => listOrganizations(db, { ...page, sort }, now))
  await time('organizations, searched', () =>
    listOrganizations(db, { ...page, sort: 'organization_id', search: '999' }, now),
  )
  for (const sort of ['created_on', 'last_seen_on'] as const)
    await time(`users by ${sort}`, () => listUsers(db, { ...page, organization_id: 'Org1', sort }))
  await time('realms by size', () => realmUsage(db, { ...page, organization_id: 'Org1', sort: 'size' }))
  await time('users by size', () => userUsage(db, { ...page, organization_id: 'Org1', sort: 'size' }))
  await time('figures', () => serverFigures(db, now))
  await db.close()
} finally {
  await own.drop()
}
