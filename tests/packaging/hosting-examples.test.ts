/**
 * The package that is published, installed with `npm install -g` into an empty prefix and run from an empty folder: the
 * examples of the hosting document (spec 06 §1), in one process and as one process per service.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createDatabase, isListening, startNats, type TestDatabase, type TestNats } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { startFront } from '../harness/front.ts'
import { freePort } from '../harness/ports.ts'
import { assertWorks, Shell, until } from '../hosting/installation.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const S3 = fileURLToPath(new URL('../conformance/lib/s3-faulty.mjs', import.meta.url))
const INSTALL_DEADLINE_MS = 300_000

const run = promisify(execFile)
const installed: {
  folder: string
  shell: Shell
  database: TestDatabase
  /** One for all: a database knows the stores that hold its blocks. */
  store: { port: number; child: Child }
  nats: TestNats
} = {} as never

before(
  async () => {
    installed.folder = await mkdtemp(join(tmpdir(), 'parsec-install-'))
    const env = { ...process.env, npm_config_update_notifier: 'false' }
    const { stdout } = await run(process.execPath, ['tools/pack.mjs', installed.folder], { cwd: ROOT, env })
    const prefix = join(installed.folder, 'prefix')
    const argv = ['install', '--global', '--prefix', prefix, '--prefer-offline', '--no-audit', '--no-fund']
    await run('npm', [...argv, '--loglevel=error', stdout.trim()], { cwd: installed.folder, env })
    installed.shell = await Shell.open([join(prefix, 'bin', 'parsec')])
    installed.database = await createDatabase()
    installed.store = await startS3()
    installed.nats = await startNats()
  },
  { timeout: INSTALL_DEADLINE_MS },
)
after(async () => {
  await installed.shell?.close()
  await Promise.all([installed.store?.child.end(), installed.nats?.stop()])
  await installed.database?.drop()
  await rm(installed.folder, { recursive: true, force: true })
})

test('the command says its version and explains itself', async () => {
  const { shell } = installed
  assert.match((await shell.run(['--version'])).output, /^parsec, version \d+\.\d+\.\d+\n$/)
  const help = await shell.run(['backend', 'run', '--help'])
  assert.equal(help.exitCode, 0)
  assert.match(help.output, /--administration-token/)
})

test('a trial starts from a database that has the schema of the package', async () => {
  const metadata = join(installed.folder, 'prefix/lib/node_modules/parsec-server/node_modules/@parsec/metadata')
  const digest = createHash('sha256')
  for (const name of (await readdir(join(metadata, 'migrations'))).sort())
    digest.update(await readFile(join(metadata, 'migrations', name)))
  const template = await readFile(join(metadata, 'pglite-template/parsec-schema.sha256'), 'utf8')
  assert.equal(template, digest.digest('hex'))
})

/** A uid that no file knows, as containers have. */
const NOBODY = '4321'
const isRoot = process.getuid?.() === 0

test('a user without name, home and shell starts it', {
  skip: !isRoot && 'only root can become another user',
}, async () => {
  const { folder } = installed
  // Everybody may read the installation, as in an image; Node itself comes along, wherever it was.
  const node = join(folder, 'node')
  await copyFile(process.execPath, node)
  await run('chmod', ['-R', 'o+rX', folder])
  const parsec = await realpath(join(folder, 'prefix', 'bin', 'parsec'))
  const as = (env: string[], argv: string[]) => [
    ...['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', 'env', '-i', 'PATH=/usr/bin:/bin', ...env],
    ...[node, parsec, ...argv],
  ]
  for (const env of [[], ['HOME=/root'], ['HOME=/nonexistent']]) {
    const { stdout, stderr } = await run('setpriv', as(env, ['--version']), { cwd: '/' })
    assert.match(stdout, /^parsec, version/)
    assert.equal(stderr, '')
  }
  const port = await freePort()
  const server = new Child('stranger', 'setpriv', as([], ['backend', 'run', '--dev', `--port=${port}`]), {
    PATH: process.env['PATH'],
  })
  await server.until(() => isListening(port))
  await server.end()
  assert.equal(server.exitCode, 0, server.output)
})

test('migrate prepares the database', async () => {
  const { shell, database } = installed
  const migrate = await shell.run(['backend', 'migrate', '--db', database.url])
  assert.equal(migrate.exitCode, 0, migrate.output)
  assert.match(migrate.output, /^0001_\w+\.sql ✔$/m)
})

test('--port, --host, --db, --blockstore s3:…, --administration-token (R5)', async () => {
  const { shell, database, store } = installed
  const port = await freePort()
  const server = await shell.serve(port, [
    ...['backend', 'run', '--port', `${port}`, '--host', '0.0.0.0', '--db', database.url],
    ...['--blockstore', s3Config(store.port), '--administration-token', 'tok'],
  ])
  await assertWorks(`ws://127.0.0.1:${port}`, 'tok')
  await endsWell(server)
})

test('PARSEC_CMD_ARGS with a variable, the postgres scheme and no host (R6)', async () => {
  const { shell, database } = installed
  const port = await freePort()
  const url = new URL(database.url)
  const server = await shell.serve(port, ['backend', 'run'], {
    DB_URL: `postgres://${url.pathname}`,
    PARSEC_CMD_ARGS: '--db=$DB_URL --host=0.0.0.0',
    PARSEC_PORT: `${port}`,
    PARSEC_BLOCKSTORE: 'POSTGRESQL',
    PARSEC_ADMINISTRATION_TOKEN: 'tok',
    PGHOST: url.hostname,
    PGPORT: url.port,
    PGUSER: url.username,
    PGPASSWORD: decodeURIComponent(url.password),
  })
  await assertWorks(`ws://127.0.0.1:${port}`, 'tok')
  await endsWell(server)
})

test('-b RAID0:0:MOCKED -b RAID0:1:POSTGRESQL (R13)', async () => {
  const { shell, database } = installed
  const port = await freePort()
  const server = await shell.serve(port, [
    ...['backend', 'run', '-b', 'RAID0:0:MOCKED', '-b', 'RAID0:1:POSTGRESQL'],
    ...['-P', `${port}`, '--db', database.url, '--administration-token', 'tok'],
  ])
  assert.match(server.output, /blockstore=RAID0/)
  await assertWorks(`ws://127.0.0.1:${port}`, 'tok')
  await endsWell(server)
})

test('--dev needs nothing and leaves nothing (R22)', async () => {
  const { shell } = installed
  const port = await freePort()
  const server = await shell.serve(port, ['backend', 'run', '--dev', '--port', `${port}`])
  await until('it says what to do next', () => server.output.includes('Ctrl-C stops.'))
  const [, consoleUrl = ''] = /The console is at (\S+),/.exec(server.output) ?? []
  assert.equal((await fetch(consoleUrl)).status, 200)
  const [, variable, token = '', words = ''] = /^ {2}(\w+)=(\S+) parsec (.*)$/m.exec(server.output) ?? []
  const next = await shell.run(words.split(' '), { [variable!]: token })
  assert.match(next.output, /^parsec:\/\/localhost:\d+\/Acme\?action=bootstrap_organization/)
  await assertWorks(`ws://127.0.0.1:${port}`, 's3cr3t')
  await endsWell(server)
  assert.deepEqual(
    (await readdir(shell.folder)).filter(name => !name.startsWith('tmp-email-folder-')),
    [],
  )
})

test('the same options, PARSEC_SERVICES and NATS: one process per service', async () => {
  const { shell, database, store, nats } = installed
  const [gateway, admin] = [await freePort(), await freePort()]
  const options = ['--db', database.url, '--blockstore', s3Config(store.port), '--administration-token', 'tok']
  const start = async (service: string, port: number): Promise<Child> => {
    const monitor = await freePort()
    return shell
      .start(['backend', 'run', '--port', `${port}`, '--monitor-port', `${monitor}`, ...options], {
        PARSEC_SERVICES: service,
        PARSEC_NATS_URL: nats.url,
      })
      .until(() => isReady(monitor))
  }
  const servers = await Promise.all([
    start('metadata', await freePort()),
    start('blockstore', await freePort()),
    start('gateway', gateway),
    start('admin', admin),
  ])
  const front = await startFront([gateway], admin)
  await assertWorks(`ws://127.0.0.1:${front.port}`, 'tok')
  await front.close()
  for (const server of servers) await endsWell(server)
})

const s3Config = (port: number): string => `s3:http\\://127.0.0.1\\:${port}:region:bucket:key:secret`

async function startS3(): Promise<{ port: number; child: Child }> {
  const port = await freePort()
  const child = new Child('s3', process.execPath, [S3, `${port}`], { PATH: process.env.PATH })
  return { port, child: await child.until(() => isListening(port)) }
}

async function isReady(monitor: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${monitor}/readyz`)).ok
  } catch {
    return false
  }
}

async function endsWell(server: Child): Promise<void> {
  await server.end('SIGTERM')
  assert.equal(server.exitCode, 0, server.output)
  assert.match(server.output, /^bye ;-\)$/m)
}
