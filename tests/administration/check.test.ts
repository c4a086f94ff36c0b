/** `parsec backend check` on what works, and on each thing that does not: one line, the remedy, the exit code. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { noticesVanished } from '@parsec/shared/bus/nats'
import { createDatabase, startNats } from '../harness/backing.ts'
import { Cluster, migrate, NODE_ARGV } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'
import { makeCertificate } from '../hosting/installation.ts'

const folder = await mkdtemp(join(tmpdir(), 'parsec-check-'))
const [database, empty, nats] = await Promise.all([createDatabase(), createDatabase(), startNats(1024 * 1024)])
await migrate(database.url, { PATH: process.env.PATH })
const servers: Server[] = []
after(async () => {
  for (const server of servers) server.close()
  await Promise.all([database.drop(), empty.drop(), nats.stop(), rm(folder, { recursive: true })])
})

type Finding = { verdict: 'ok' | 'warning' | 'failed'; about: string; found: string; remedy?: string }
const check = (...options: readonly string[]): Promise<{ code: number; findings: Finding[]; out: string }> =>
  new Promise(resolve => {
    const argv = [...NODE_ARGV, 'backend', 'check', '--json', ...options]
    const env = { PATH: process.env.PATH, HOME: folder }
    execFile(process.execPath, argv, { env }, (error, out, err) => {
      const findings = out.split('\n').flatMap(line => (line.startsWith('{') ? [JSON.parse(line) as Finding] : []))
      resolve({ code: error ? Number(error.code) : 0, findings, out: out + err })
    })
  })
/** The findings that match, which must be there. */
function assertFound(findings: readonly Finding[], verdict: Finding['verdict'], about: string, found: RegExp): void {
  const list = JSON.stringify(findings, null, 1)
  const [one] = findings.filter(f => f.verdict === verdict && f.about === about && found.test(f.found))
  assert.ok(one, `no ${verdict} of ${about} with ${found} in ${list}`)
  assert.equal(one.remedy === undefined, verdict === 'ok', 'what is wrong has a remedy, what is right has none')
}

test('a server as it should be: every line is ok', async () => {
  const nodes = await Promise.all(
    ['a', 'b'].map(async name => {
      await mkdir(join(folder, name))
      return `RAID1:${name === 'a' ? 0 : 1}:file:${join(folder, name)}`
    }),
  )
  const stores = nodes.flatMap(node => ['--blockstore', node])
  const { code, findings, out } = await check('--db', database.url, ...stores)
  assert.equal(code, 0, out)
  assertFound(findings, 'ok', 'database', /PostgreSQL \d+.*answers in/)
  assertFound(findings, 'ok', 'database', /schema is that of this release/)
  assertFound(findings, 'ok', 'database', /may read and write every table/)
  for (const about of ['node 0', 'node 1'])
    assertFound(findings, 'ok', about, /write \d+ ms, read \d+ ms, list \d+ ms, delete/)
  // Nothing stays behind.
  assert.deepEqual(await filesBelow(join(folder, 'a')), [])
})
const filesBelow = async (path: string): Promise<string[]> =>
  (await readdir(path, { recursive: true, withFileTypes: true })).filter(file => file.isFile()).map(({ name }) => name)

test('each thing that does not work is one line with its remedy', async () => {
  const closed = await freePort()
  const [unmigrated, refused, away, missing] = await Promise.all([
    check('--db', empty.url),
    check('--db', database.url.replace(/:[^:@]*@/, ':wrong@')),
    check('--db', `postgresql://x@127.0.0.1:${closed}/x`),
    check('--blockstore', `file:${join(folder, 'nowhere')}`),
  ])
  assertFound(unmigrated.findings, 'failed', 'database', /lacks 0001/)
  assertFound(refused.findings, 'failed', 'database', /cannot use the database/)
  assertFound(away.findings, 'failed', 'database', /ECONNREFUSED/)
  assertFound(missing.findings, 'failed', 'block store', /nowhere/)
  for (const { code } of [unmigrated, refused, away, missing]) assert.equal(code, 1)
  for (const { out } of [unmigrated, refused]) assert.ok(!out.includes('wrong@'))
})

test('NATS: a max_payload that is small is a warning, rights that are missing are named', async () => {
  const small = await check('--nats-url', nats.url)
  assert.equal(small.code, 0, small.out)
  assertFound(small.findings, 'warning', 'NATS', /max_payload is 1048576/)
  assertFound(small.findings, 'ok', 'NATS', /gateway, metadata, blockstore, admin may hear and say/)
  // Depends on what is installed here.
  const [, version] = /nats-server ([^,]+),/.exec(small.out)!
  assert.equal(/keeps its share of requests/.test(small.out), !noticesVanished(version!), small.out)
})

test('mail: the dialogue is tried up to the mail itself', async () => {
  const said: string[] = []
  const server = createServer(socket => {
    socket.write('220 mail\r\n')
    socket.on('data', data => {
      said.push(data.toString().trim())
      socket.write(/^EHLO/.test(data.toString()) ? '250-mail\r\n250 AUTH PLAIN\r\n' : '535 wrong password\r\n')
    })
    socket.on('error', () => {})
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const mail = ['--email-host=127.0.0.1', `--email-port=${port}`, '--email-sender=a@example.com']
  const open = await check(...mail)
  assert.equal(open.code, 0, open.out)
  assertFound(open.findings, 'ok', 'mail', /answers, no TLS, without login/)
  const login = await check(...mail, '--email-host-user=u', '--email-host-password=p4ssw0rd')
  assert.equal(login.code, 1)
  assertFound(login.findings, 'failed', 'mail', /535|Invalid login/)
  assert.ok(!login.out.includes('p4ssw0rd') && said.every(word => !/^(?:MAIL|RCPT|DATA)/.test(word)))
})

test('certificates: whom they are for, and their key', async () => {
  const { key, cert } = await makeCertificate(folder, 'server')
  const good = await check('--ssl-keyfile', key, '--ssl-certfile', cert)
  assert.equal(good.code, 0)
  assertFound(good.findings, 'warning', 'certificate', /expires in 1 days/)
  const elsewhere = await check('--ssl-keyfile', key, '--ssl-certfile', cert, '--backend-addr=parsec://127.0.0.2')
  assertFound(
    elsewhere.findings,
    'failed',
    'certificate',
    /for IP Address:127\.0\.0\.1, DNS:localhost, not for 127\.0\.0\.2/,
  )
  const other = await makeCertificate(folder, 'other')
  const mixed = await check('--ssl-keyfile', other.key, '--ssl-certfile', cert)
  assert.equal(mixed.code, 1)
  assertFound(mixed.findings, 'failed', 'certificate', /do not work/)
  const file = join(folder, 'none.pem')
  await writeFile(file, 'nothing')
  assert.equal((await check('--ssl-certfile', file)).code, 1)
})

test('the public address: a server, with the administration open to the world as a warning; nobody; TLS that is none', async () => {
  const cluster = await Cluster.start({ topology: 'single' })
  try {
    const { port } = new URL(cluster.url)
    const there = await check(`--backend-addr=parsec://127.0.0.1:${port}?no_ssl=true`)
    assert.equal(there.code, 0, there.out)
    assertFound(there.findings, 'ok', `parsec://127.0.0.1:${port}`, /a WebSocket opens and is greeted/)
    assertFound(there.findings, 'warning', `parsec://127.0.0.1:${port}`, /administration API is reached/)
    const tls = await check(`--backend-addr=parsec://127.0.0.1:${port}`)
    assert.equal(tls.code, 1)
  } finally {
    await cluster.stop()
  }
  const closed = await freePort()
  const nobody = await check(`--backend-addr=parsec://127.0.0.1:${closed}?no_ssl=true`)
  assert.equal(nobody.code, 1)
  assertFound(nobody.findings, 'failed', `parsec://127.0.0.1:${closed}`, /ECONNREFUSED/)
})

test('with nothing to look at it says so', async () => {
  const { code, out } = await check()
  assert.equal(code, 1)
  assert.match(out, /Nothing to look at/)
})
