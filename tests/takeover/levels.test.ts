/** Every schema level of the original from 5 to 15 moves in, and an import that dies goes on (spec 07 §1, §2). */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { NODE_ARGV } from '../harness/launch.ts'
import { expectedOf, keysOf, migrated, parsec, restore } from './data-set.ts'
import { serve } from './server.ts'
import { compare, type Json, snapshot } from './snapshot.ts'

const folder = await mkdtemp(join(tmpdir(), 'parsec-levels-'))
after(() => rm(folder, { recursive: true, force: true }))

/** Undoes the step to a level. */
const UNDO: { readonly [level: number]: string } = {
  15: 'ALTER TABLE user_ DROP COLUMN frozen',
  14: `ALTER TABLE organization DROP COLUMN minimum_archiving_period; DROP TABLE realm_archiving;
    ALTER TABLE realm_user_change DROP COLUMN last_archiving_change`,
  13: `DROP TABLE shamir_recovery_conduit; DELETE FROM invitation WHERE type = 'SHAMIR_RECOVERY';
    ALTER TABLE user_ DROP COLUMN shamir_recovery; ALTER TABLE invitation DROP COLUMN shamir_recovery;
    DROP TABLE shamir_recovery_share; DROP TABLE shamir_recovery_setup`,
  12: 'ALTER TABLE sequester_service DROP COLUMN service_type, DROP COLUMN webhook_url',
  11: `DROP TABLE sequester_service_vlob_atom; DROP TABLE sequester_service;
    ALTER TABLE organization DROP COLUMN sequester_authority_certificate, DROP COLUMN sequester_authority_verify_key_der`,
  10: 'DROP TABLE pki_enrollment',
  9: 'DROP TABLE realm_user_change',
  8: `ALTER TABLE organization ADD COLUMN expiration_date TIMESTAMPTZ;
    UPDATE organization SET expiration_date = _expired_on WHERE is_expired;
    ALTER TABLE organization DROP COLUMN is_expired, DROP COLUMN _expired_on, DROP COLUMN _bootstrapped_on, DROP COLUMN _created_on;
    CREATE TABLE user_invitation (_id SERIAL, organization INTEGER, user_id VARCHAR(32), creator INTEGER, created_on TIMESTAMPTZ);
    CREATE TABLE device_invitation (_id SERIAL, organization INTEGER, device_id VARCHAR(65), creator INTEGER, created_on TIMESTAMPTZ)`,
  7: 'ALTER TABLE organization DROP COLUMN active_users_limit',
  6: `ALTER TABLE organization DROP COLUMN user_profile_outsider_allowed;
    ALTER TABLE user_ ALTER COLUMN profile DROP NOT NULL; UPDATE user_ SET profile = NULL`,
}
const NEWEST = 15
const OLDEST = 5
/** What every level has. */
const ALWAYS =
  /^(handshake|user_get|human_find|message_get|realm_status|realm_get_role_certificates|vlob_read|vlob_list_versions|vlob_poll_changes|block_read)/

test('organizations of every level show what they showed', async () => {
  const source = await restore('2.17.0')
  const target = await migrated()
  try {
    const keys = keysOf('2.17.0')
    const expected = expectedOf('2.17.0')
    const plain = Object.keys(keys.organizations).filter(id => {
      const facts = keys.organizations[id]!
      const isStrange = /realm_archived|DELETION_PLANNED|"ARCHIVED"/.test(JSON.stringify(expected[id]))
      return facts.vlobs.length > 0 && facts.users.length > 1 && !isStrange
    })
    const taken: string[] = []
    for (let level = NEWEST; level >= OLDEST; level--) {
      const chosen = plain.splice(0, 2)
      assert.equal(chosen.length, 2)
      const { code, output } = await parsec(
        ...['import', `--from=${source.url}`, `--db=${target.url}`, `--report=${join(folder, 'report')}`, '--json'],
        ...chosen.map(id => `--organization=${id}`),
      )
      assert.equal(code, 0, `level ${level}: ${output}`)
      assert.match(output, new RegExp(`"level":${level}\\b`))
      taken.push(...chosen)
      if (level > OLDEST) await source.query(`${UNDO[level]}; DELETE FROM migration WHERE _id = ${level}`)
    }
    await using server = await serve(target)
    const seen = await snapshot(server.url, keys, taken)
    const differences = taken.flatMap(id => compare(devicesOf(expected[id]), devicesOf(seen[id]), [id]))
    const known = differences.filter(({ path }) => ALWAYS.test(path.split(' › ')[2] ?? ''))
    assert.deepEqual(known, [])
  } finally {
    await source.drop()
    await target.drop()
  }
})
const devicesOf = (answers: Json | undefined): Json => (answers as { devices: Json }).devices

/** Milliseconds after which an import is killed: while it reads, while it writes. */
const KILLS = [1_200, 2_000, 3_000]
test('an import that was killed goes on; no organization is ever there in part (07 §1)', async () => {
  const source = await restore('1.15.2')
  const target = await migrated()
  try {
    const options = [`--from=${source.url}`, `--db=${target.url}`, `--report=${join(folder, 'kill')}`]
    const ids = await source.query<{ id: string }>(
      'SELECT organization_id AS id FROM organization ORDER BY organization_id LIMIT 60',
    )
    const chosen = ids.map(({ id }) => `--organization=${id}`)
    for (const ms of KILLS) {
      const child = spawn(process.execPath, [...NODE_ARGV, 'backend', 'import', ...options, ...chosen], {
        stdio: 'ignore',
      })
      const timer = setTimeout(() => child.kill('SIGKILL'), ms)
      await once(child, 'exit')
      clearTimeout(timer)
      const [row] = await target.query<{ there: string; complete: string }>(
        'SELECT (SELECT count(*) FROM organization) AS there, (SELECT count(*) FROM import_record WHERE completed_on IS NOT NULL) AS complete',
      )
      assert.equal(row!.there, row!.complete)
    }
    const { code, output } = await parsec('import', ...options, ...chosen)
    assert.ok([0, 3].includes(code), output)
    const verified = await parsec('import', ...options, ...chosen, '--verify')
    assert.equal(verified.code, 0, verified.output)
    await target.query('DELETE FROM message WHERE recipient = (SELECT min(recipient) FROM message)')
    const missing = await parsec('import', ...options, ...chosen, '--verify')
    assert.equal(missing.code, 1)
    assert.match(missing.output, /message: \d+ rows/)
  } finally {
    await source.drop()
    await target.drop()
  }
})
