/** Each parameter of a database URL does what libpq does with it (06-server §8.2), on real servers. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { promisify } from 'node:util'
import { OperatorError } from '@parsec/shared/errors'
import { openPostgres } from '@parsec/shared/postgres/open'
import { sql } from '@parsec/shared/postgres/sql'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { recordingLog } from '../blockstore/service.ts'
import { createDatabase } from '../harness/backing.ts'
import { OwnPostgres } from '../harness/own-postgres.ts'
import { freePort } from '../harness/ports.ts'

const run = promisify(execFile)
/** An authority, and certificates by it for the server `localhost` and the client `cert`. */
async function certificates(folder: string): Promise<void> {
  const openssl = (...argv: string[]) => run('openssl', argv, { cwd: folder })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  for (const name of ['ca', 'other'])
    await openssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`)
  for (const name of ['localhost', 'cert']) {
    await writeFile(join(folder, `${name}.ext`), `subjectAltName=DNS:${name}`)
    await openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const by = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`]
    await openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.crt`)
    await chmod(join(folder, `${name}.key`), 0o600)
  }
}

const encrypted = await OwnPostgres.start({
  prepare: certificates,
  settings: ['ssl=on', 'ssl_cert_file=../localhost.crt', 'ssl_key_file=../localhost.key', 'ssl_ca_file=../ca.crt'],
  access: `local all postgres trust
hostssl all cert all cert
hostssl all encrypted all trust
hostnossl all plain all trust
host all secret all scram-sha-256
host all postgres all trust
host replication all all trust
`,
})
for (const role of ['cert', 'encrypted', 'plain']) await encrypted.query(`CREATE ROLE ${role} LOGIN`)
await encrypted.query(`CREATE ROLE secret LOGIN PASSWORD 'pa:ss/wo#rd@%'`)
const standby = await encrypted.standby()
const plain = await createDatabase()
after(async () => {
  await standby.stop()
  await encrypted.stop()
  await plain.drop()
})
const ca = `sslrootcert=${join(encrypted.folder, 'ca.crt')}`
const other = `sslrootcert=${join(encrypted.folder, 'other.crt')}`

type Session = { ssl: boolean; user: string; port: number; application: string; path: string; jit: string }
async function session(url: string, environment = {}): Promise<Session> {
  const target = readDatabaseUrl(url, environment)
  const config = { kind: 'POSTGRESQL', target, minConnections: 0, maxConnections: 1, maxAttempts: 1 } as const
  const database = await openPostgres({ ...config, retryPauseSeconds: 0 }, recordingLog([]))
  try {
    return (await database.one<Session>(sql`
      SELECT ssl, current_user::text AS user, current_setting('port')::int AS port,
        current_setting('application_name') AS application, current_setting('search_path') AS path,
        current_setting('jit') AS jit
      FROM pg_stat_ssl WHERE pid = pg_backend_pid()`))!
  } finally {
    await database.close()
  }
}
const refused = (url: string, reason: RegExp, environment = {}) =>
  assert.rejects(session(url, environment), error => {
    assert.ok(error instanceof OperatorError, String(error))
    assert.match(error.message, reason)
    return true
  })
const as = (user: string, parameters: string, host = '127.0.0.1') => encrypted.url(`?${parameters}`, { user, host })

suite('sslmode', () => {
  test('disable is never encrypted', async () => {
    assert.equal((await session(as('postgres', 'sslmode=disable'))).ssl, false)
    await refused(as('encrypted', 'sslmode=disable'), /no encryption/)
  })
  test('allow is encrypted when the server insists', async () => {
    assert.equal((await session(as('postgres', 'sslmode=allow'))).ssl, false)
    assert.equal((await session(as('encrypted', 'sslmode=allow'))).ssl, true)
  })
  test('prefer, the default, is encrypted when the server can and does not forbid it', async () => {
    assert.equal((await session(encrypted.url())).ssl, true)
    assert.equal((await session(as('plain', 'sslmode=prefer'))).ssl, false)
    assert.equal((await session(plain.url)).ssl, false)
  })
  test('require is encrypted, whoever the server is', async () => {
    assert.equal((await session(as('postgres', 'sslmode=require'))).ssl, true)
    await refused(`${plain.url}?sslmode=require`, /does not support TLS/)
    // As libpq: with a root certificate it is verify-ca.
    await refused(as('postgres', `sslmode=require&${other}`), /certificate/)
  })
  test('verify-ca checks the authority, verify-full the name, too', async () => {
    assert.equal((await session(as('postgres', `sslmode=verify-ca&${ca}`))).ssl, true)
    await refused(as('postgres', `sslmode=verify-ca&${other}`), /certificate/)
    await refused(as('postgres', 'sslmode=verify-ca'), /certificate/)
    assert.equal((await session(as('postgres', `sslmode=verify-full&${ca}`, 'localhost'))).ssl, true)
    await refused(as('postgres', `sslmode=verify-full&${ca}`), /IP: 127\.0\.0\.1/)
    await refused(as('postgres', 'sslmode=verify-full&sslrootcert=system', 'localhost'), /certificate/)
  })
  test('a UNIX socket is never encrypted', async () => {
    const host = encodeURIComponent(encrypted.folder)
    assert.equal((await session(as('postgres', 'sslmode=verify-full', host))).ssl, false)
  })
  test('variables stand in for parameters', async () => {
    assert.equal((await session(encrypted.url(), { PGSSLMODE: 'disable' })).ssl, false)
  })
})
test('sslcert and sslkey log the client in; files that are missing are named', async () => {
  const [cert, key] = ['cert.crt', 'cert.key'].map(name => join(encrypted.folder, name))
  assert.equal((await session(as('cert', `sslmode=require&sslcert=${cert}&sslkey=${key}`))).user, 'cert')
  await refused(as('cert', 'sslmode=require'), /certificate/)
  await refused(as('cert', 'sslmode=require&sslcert=/nowhere.crt&sslkey=/nowhere.key'), /\/nowhere\.crt/)
})
test('TLS versions', async () => {
  const versions = 'ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.2'
  assert.equal((await session(as('postgres', `sslmode=require&${versions}`))).ssl, true)
})
test('passwords: in the URL, as a parameter, as a variable, in a file; none is told', async () => {
  const file = join(encrypted.folder, 'pgpass')
  await writeFile(file, `127.0.0.1:${encrypted.port}:postgres:secret:pa\\:ss/wo#rd@%\n`, { mode: 0o600 })
  const encoded = encodeURIComponent('pa:ss/wo#rd@%')
  for (const [url, environment] of [
    [encrypted.url().replace('postgres@', `secret:${encoded}@`), {}],
    [as('secret', `password=${encoded}`), {}],
    [as('secret', ''), { PGPASSWORD: 'pa:ss/wo#rd@%' }],
    [as('secret', `passfile=${file}`), {}],
    [as('secret', ''), { PGPASSFILE: file }],
  ] as const)
    assert.equal((await session(url, environment)).user, 'secret')
  await refused(as('secret', 'password=wrong-one'), /password authentication failed for user "secret"$/)
  await refused(as('secret', ''), /asks for a password, and none is given/)
})
suite('several hosts', () => {
  test('are tried in order', async () => {
    const url = `postgresql://postgres@127.0.0.1:${await freePort()},127.0.0.1:${encrypted.port}/postgres`
    assert.equal((await session(url)).port, encrypted.port)
  })
  const both = (attributes: string) =>
    `postgresql://postgres@127.0.0.1:${standby.port},127.0.0.1:${encrypted.port}/postgres?target_session_attrs=${attributes}`
  for (const [attributes, server] of [
    ['any', standby],
    ['read-write', encrypted],
    ['primary', encrypted],
    ['read-only', standby],
    ['standby', standby],
    ['prefer-standby', standby],
  ] as const)
    test(`target_session_attrs=${attributes}`, async () => {
      assert.equal((await session(both(attributes))).port, server.port)
    })
  test('prefer-standby takes another one when there is none', async () => {
    assert.equal((await session(as('postgres', 'target_session_attrs=prefer-standby'))).port, encrypted.port)
    await refused(as('postgres', 'target_session_attrs=standby'), /is no standby/)
  })
})
test('session settings: application_name, options, and every other parameter', async () => {
  const url = as('postgres', 'application_name=mine&options=-c%20jit%3Doff&search_path=parsec,public')
  const { application, jit, path } = await session(url)
  assert.deepEqual({ application, jit, path }, { application: 'mine', jit: 'off', path: 'parsec,public' })
  assert.equal((await session(encrypted.url())).application, 'parsec')
  await refused(as('postgres', 'sslmod=require'), /"sslmod"/)
  await refused(as('postgres', 'lock_timeout=soon'), /lock_timeout/)
})
test('connect_timeout and keepalives are understood', async () => {
  assert.equal((await session(as('postgres', 'connect_timeout=7&keepalives=1&keepalives_idle=30'))).ssl, true)
})
