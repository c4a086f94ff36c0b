/** Behind a real PgBouncer: session mode works, transaction mode is refused at the start with one clear line. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openPostgres } from '@parsec/shared/postgres/open'
import { sql } from '@parsec/shared/postgres/sql'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { recordingLog } from '../blockstore/service.ts'
import { backing, createDatabase, isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { freePort } from '../harness/ports.ts'

await backing('pgbouncer')
const database = await createDatabase()
const folder = await mkdtemp(join(tmpdir(), 'parsec-pgbouncer-'))
await chmod(folder, 0o755)
after(async () => {
  await rm(folder, { recursive: true, force: true })
  await database.drop()
})

async function through<T>(mode: string, work: (url: string) => Promise<T>): Promise<T> {
  const { hostname, port: behind, username, password, pathname } = new URL(database.url)
  const port = await freePort()
  const config = join(folder, `${mode}.ini`)
  await writeFile(
    config,
    `[databases]
* = host=${hostname} port=${behind} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
`,
  )
  // It does not run as root.
  const asOther =
    process.getuid?.() === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : ['env']
  const [command, ...argv] = [...asOther, 'pgbouncer', config]
  const child = new Child('pgbouncer', command!, argv, { PATH: `${process.env.PATH}:/usr/sbin` })
  try {
    await child.until(() => isListening(port))
    return await work(`postgresql://${username}@127.0.0.1:${port}${pathname}`)
  } finally {
    await child.end()
  }
}
const openThrough = (url: string) =>
  openPostgres(
    {
      kind: 'POSTGRESQL',
      target: readDatabaseUrl(url),
      minConnections: 0,
      maxConnections: 4,
      maxAttempts: 3,
      retryPauseSeconds: 0,
    },
    recordingLog([]),
  )

test('session mode', () =>
  through('session', async url => {
    const opened = await openThrough(url)
    const zones = await Promise.all(
      Array.from({ length: 8 }, () =>
        opened.transaction(tx => tx.one<{ zone: string }>(sql`SELECT current_setting('TimeZone') AS zone`)),
      ),
    )
    await opened.close()
    assert.deepEqual(new Set(zones.map(row => row!.zone)), new Set(['UTC']))
  }))
for (const mode of ['transaction', 'statement'])
  test(`${mode} mode`, () =>
    through(mode, url =>
      assert.rejects(openThrough(url), { name: 'OperatorError', message: /pooler .* session mode/ }),
    ))
