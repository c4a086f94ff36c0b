/**
 * A server for ten minutes, or `SOAK_SECONDS`, under clients that come and go, with a new log file and a new certificate
 * every few seconds. Nothing may leak, and no line of the log may get lost:
 * `node --conditions=development --test tests/hosting/soak.manual.ts`.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFile, readdir, readFile, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { connect, getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Connection, Context, type Device, Time, Uuid } from '../conformance/harness.mjs'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import type { Child } from '../harness/child.ts'
import { freePort } from '../harness/ports.ts'
import { type Certificate, makeCertificate, Shell, until } from './installation.ts'

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 600)
const CLIENTS = 20
const COMMANDS_PER_CONNECTION = 40
const RENEWAL_MS = 3_000
const SAMPLE_MS = 1_000
const BLOCK_BYTES = 100_000
const DATABASE_CONNECTIONS = 7
const TOKEN = 'soak-administration-token'
/** Part of the memory that may be added between the second quarter and the last. */
const MEMORY_GROWTH = 0.1

type Sample = { descriptors: number; memory: number; connections: number }

test(`${SECONDS} s of reconnects, log rotations and new certificates`, { timeout: (SECONDS + 120) * 1000 }, async t => {
  const shell = await Shell.open()
  const database = await createDatabase()
  t.after(async () => {
    await shell.close()
    await database.drop()
  })
  const certificates = [await makeCertificate(shell.folder, 'odd'), await makeCertificate(shell.folder, 'even')]
  setDefaultCACertificates([...getCACertificates('default'), ...certificates.map(({ pem }) => pem)])
  const [key, cert, log] = ['server.key', 'server.pem', 'server.log'].map(name => join(shell.folder, name)) as [
    string,
    string,
    string,
  ]
  await install(certificates[0]!, key, cert)
  assert.equal((await shell.run(['backend', 'migrate', `--db=${database.url}`])).exitCode, 0)
  const port = await freePort()
  const server = await shell.serve(port, [
    ...['backend', 'run', `--port=${port}`, `--db=${database.url}`, '--blockstore=POSTGRESQL'],
    ...[`--db-max-connections=${DATABASE_CONNECTIONS}`, `--administration-token=${TOKEN}`],
    ...[`--ssl-keyfile=${key}`, `--ssl-certfile=${cert}`, `--log-file=${log}`, '--log-level=INFO', '--log-format=JSON'],
  ])
  const url = `wss://localhost:${port}`
  const context = new Context({ url, token: TOKEN, target: 'ours', features: new Set() })
  const { alice } = await context.org()
  const connection = await context.connect(alice)
  const realm_id = await context.realm(connection, alice)
  const devices = [alice]
  while (devices.length < CLIENTS) devices.push(await context.device(connection, alice, `dev${devices.length + 1}`))
  await context.end()

  const end = performance.now() + SECONDS * 1000
  const isOver = () => performance.now() > end
  const counts = { commands: 0, connections: 0, rotations: 0 }
  const samples: Sample[] = []
  const load = Promise.all(
    devices.map(async device => {
      while (!isOver()) {
        counts.connections++
        const commands = await visit(url, device, realm_id)
        counts.commands += commands
      }
    }),
  )
  const renewals = (async () => {
    for (; !isOver(); await pause(RENEWAL_MS)) {
      counts.rotations++
      await rename(log, `${log}.${counts.rotations}`)
      await install(certificates[counts.rotations % 2]!, key, cert)
      server.process.kill('SIGHUP')
      await until('a new log file', () =>
        readFile(log).then(
          text => text.includes('TLS files reloaded'),
          () => false,
        ),
      )
      assert.equal(await certificateOf(port), counts.rotations % 2 === 0 ? 'odd' : 'even')
    }
  })()
  const sampling = (async () => {
    for (; !isOver(); await pause(SAMPLE_MS)) samples.push(await sample(server, database))
  })()
  await Promise.all([load, renewals, sampling])

  // Of HTTP requests one is kept for the next, on both sides for minutes.
  await (Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1')) as { close(): Promise<void> }).close()
  await until('all connections are closed', async () => (await established(port)) === 0)
  await server.end('SIGTERM')
  assert.equal(server.exitCode, 0, server.output)
  const quarter = samples.length >> 2
  const early = samples.slice(quarter, 2 * quarter)
  const late = samples.slice(-quarter)
  const least = (field: keyof Sample, among: readonly Sample[]) => Math.min(...among.map(each => each[field]))
  const most = (field: keyof Sample, among: readonly Sample[]) => Math.max(...among.map(each => each[field]))
  const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`
  t.diagnostic(`${counts.connections} connections, ${counts.commands} commands, ${counts.rotations} renewals`)
  t.diagnostic(`memory ${mebibytes(least('memory', early))}, then ${mebibytes(least('memory', late))}`)
  t.diagnostic(`descriptors up to ${most('descriptors', early)}, then ${most('descriptors', late)}`)
  assert.ok(counts.rotations > SECONDS / 10, `${counts.rotations} renewals`)
  assert.ok(most('descriptors', late) <= most('descriptors', early) + CLIENTS / 2, 'descriptors leak')
  assert.ok(most('connections', samples) <= DATABASE_CONNECTIONS + 1, 'database connections leak')
  assert.ok(least('memory', late) <= least('memory', early) * (1 + MEMORY_GROWTH), 'memory leaks')
  assert.equal(await linesOf(log, '"event":"Request"'), counts.commands + requestsBefore(devices.length))
})

/** Commands of the preparation: a bootstrap with the first device, a realm, the other devices. */
const requestsBefore = (devices: number): number => 2 + (devices - 1)

/** A client's visit: writes, reads, listens; leaves politely or not. Returns how many commands were answered. */
async function visit(url: string, device: Device, realm_id: Uuid): Promise<number> {
  const connection = await Connection.open(url, { device })
  let commands = 0
  const ok = async (cmd: string, fields = {}) => {
    commands++
    return connection.ok(cmd, fields)
  }
  await ok('events_subscribe')
  while (commands < COMMANDS_PER_CONNECTION) {
    const [vlob_id, block_id, block] = [new Uuid(), new Uuid(), randomBytes(BLOCK_BYTES)]
    const timestamp = Time.now()
    await ok('vlob_create', { realm_id, encryption_revision: 1, vlob_id, timestamp, blob: block })
    await ok('vlob_read', { encryption_revision: 1, vlob_id, version: null, timestamp: null })
    await ok('block_create', { block_id, realm_id, block })
    assert.ok(block.equals((await ok('block_read', { block_id })).block))
    // Who does not listen is disconnected when too many events wait.
    do commands++
    while ((await connection.cmd('events_listen', { wait: false })).status === 'ok')
  }
  if (Math.random() < 0.5) connection.ws.terminate()
  else await connection.close()
  return commands
}

async function install(from: Certificate, key: string, cert: string): Promise<void> {
  await copyFile(from.key, key)
  await copyFile(from.cert, cert)
}

/** Name in the certificate that a new connection is shown. */
function certificateOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: 'localhost' }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN))
      socket.destroy()
    })
    socket.on('error', reject)
  })
}

async function sample({ pid }: Child, database: TestDatabase): Promise<Sample> {
  const [descriptors, status, [row]] = await Promise.all([
    readdir(`/proc/${pid}/fd`),
    readFile(`/proc/${pid}/status`, 'utf8'),
    database.query<{ connections: number }>(
      `SELECT count(*)::int AS connections FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    ),
  ])
  const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)![1])
  return { descriptors: descriptors.length, memory: kilobytes * 1024, connections: row!.connections }
}

/** Connections of clients that the server's system still has. */
async function established(port: number): Promise<number> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  const tables = await Promise.all(['tcp', 'tcp6'].map(name => readFile(`/proc/net/${name}`, 'utf8')))
  return tables
    .join('\n')
    .split('\n')
    .filter(line => new RegExp(`^ *\\d+: \\S+:${wanted} \\S+ 01 `).test(line)).length
}

/** Lines with `text` in all files of a log. */
async function linesOf(log: string, text: string): Promise<number> {
  let lines = 0
  for (const name of await readdir(dirname(log))) {
    if (!name.startsWith(basename(log))) continue
    const content = await readFile(join(dirname(log), name), 'utf8')
    lines += content.split('\n').filter(line => line.includes(text)).length
  }
  return lines
}
