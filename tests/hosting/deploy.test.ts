/** What `deploy/` has for operators works: alerts and dashboard know the server's metrics, a backup can be restored. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import { createDatabase } from '../harness/backing.ts'
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
