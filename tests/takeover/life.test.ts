/** Organizations that were taken over live on, in every way of running the server; then they move out and in once more (spec 07 §6). */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Cluster, type Topology } from '../harness/launch.ts'
import { contentOf } from './content.ts'
import { keysOf, migrated, parsec, RELEASES, restore } from './data-set.ts'
import { live } from './life.ts'

/** One organization of so many; with `STRIDE=1` all, with `TOPOLOGY=cluster` on a process for each service. */
const STRIDE = Number(process.env['STRIDE'] ?? 100)
const FIRST = Number(process.env['FIRST'] ?? 9)
const TOPOLOGY = (process.env['TOPOLOGY'] ?? 'workers') as Topology
const AT_ONCE = 3

/** With the invitation to a recovery that is going on. */
const RECOVERING = 'Org7325aeccd02443ae'

const chosen = RELEASES.flatMap(release =>
  Object.keys(keysOf(release).organizations)
    .filter((id, i) => i % STRIDE === FIRST % STRIDE || id === RECOVERING)
    .map(id => ({ release, id })),
)

test(`${chosen.length} organizations on ${TOPOLOGY}`, async t => {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-life-'))
  const database = await migrated()
  const there = await migrated(database)
  try {
    for (const release of RELEASES) {
      const source = await restore(release)
      const options = [`--from=${source.url}`, `--db=${database.url}`, `--report=${join(folder, 'report')}`]
      const own = chosen.filter(one => one.release === release).map(({ id }) => `--organization=${id}`)
      const { code, output } = await parsec('import', ...options, ...own, '--skip-verification')
      await source.drop()
      assert.ok([0, 3].includes(code), output)
    }
    const cluster = await Cluster.start({
      topology: TOPOLOGY,
      debug: false,
      database: { ...database, drop: async () => {} },
    })
    const queue = chosen.values()
    const flaws: string[] = []
    const work = async () => {
      for (const { release, id } of queue) {
        const verdict = await live(cluster.url, database, release, id)
        flaws.push(...verdict.flaws)
        t.diagnostic(`${release} ${id}: ${verdict.looked} answers`)
      }
    }
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work))
    } finally {
      await cluster.stop()
    }
    assert.deepEqual(flaws, [])

    const archive = join(folder, 'archive.parsec')
    const { id } = chosen.at(-1)!
    const out = await parsec('export', `--db=${database.url}`, `--organization=${id}`, `--output=${archive}`)
    assert.equal(out.code, 0, out.output)
    const back = await parsec('import', `--from=${archive}`, `--db=${there.url}`)
    assert.equal(back.code, 0, back.output)
    assert.deepEqual(await contentOf(there, id), await contentOf(database, id))
  } finally {
    await Promise.all([database.drop(), there.drop(), rm(folder, { recursive: true, force: true })])
  }
})
