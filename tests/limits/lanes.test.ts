/**
 * What answers with as much as there is takes half of the database's connections at most, however many ask: others go on
 * meanwhile.
 */
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { clientOf } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const CONNECTIONS = 4
const PROCESSES = 2
const ASKING = 40
const OTHERS_READS = 40

const cluster = await Cluster.start({
  topology: 'twins',
  flags: ['--db-min-connections=1', `--db-max-connections=${CONNECTIONS}`],
})
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})
const { alice } = await client.org()
const owner = await client.connect(alice)
const realm_id = await client.realm(owner, alice)

const other = await client.org()
const others = await Promise.all(
  [...cluster.processes.values()].map(({ url }) => clientOf(cluster, url).connect(other.alice)),
)
after(() => Promise.all(others.map(connection => connection.close())))
const { vlob_id } = await client.vlob(others[0]!, await client.realm(others[0]!, other.alice))

/** Commands with the table that each waits for. */
const PILES: { readonly [command: string]: readonly [fields: object, table: string] } = {
  message_get: [{ offset: 0 }, 'message'],
  pki_enrollment_list: [{}, 'pki_enrollment'],
  user_get: [{ user_id: 'alice' }, 'user_'],
  realm_get_role_certificates: [{ realm_id }, 'realm_role'],
  archiving_config: [{}, 'realm_archiving'],
  invite_list: [{}, 'invitation'],
  shamir_recovery_others_list: [{}, 'shamir_recovery_share'],
}

for (const [command, [fields, table]] of Object.entries(PILES))
  test(`${ASKING} times ${command} at once leave connections to others`, async t => {
    const asking = await Promise.all(Array.from({ length: ASKING }, () => client.connect(alice)))
    const holder = new pg.Client(cluster.database!.url)
    await holder.connect()
    t.after(() => holder.end())
    await holder.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
    const answers = asking.map(connection => connection.cmd(command, { ...fields }).catch(() => undefined))
    await someWaitFor(holder)
    for (let n = 0; n < OTHERS_READS; n++) {
      const reading = { encryption_revision: 1, vlob_id, version: null, timestamp: null }
      await others[n % others.length]!.ok('vlob_read', reading)
    }
    await holder.query('COMMIT')
    await Promise.all(answers)
    await Promise.all(asking.map(connection => connection.close()))
  })

/** One session at each process waits at least. */
async function someWaitFor(holder: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await holder.query(`
      SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`)
    if (rows.length >= PROCESSES) return
    await pause(20)
  }
}
