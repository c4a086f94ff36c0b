/** Blocks move from any block store to any other by `parsec backend blocks copy`; the server goes on with the new one. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { NodeConfig, StoreConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import { NODE_ARGV } from '../harness/launch.ts'
import { startBackEnds } from './back-ends.ts'
import { FaultProxy } from './fault-proxy.ts'
import { optionsOf, ScrubWorld } from './scrub-world.ts'
import { TestService } from './service.ts'

const BLOCKS = 40
const EXIT = { copied: 0, failed: 1, incomplete: 4 }

type Line = { kind: string; key?: string; blocks?: number; failed?: number; secondsLeft?: number | null }
type Copied = { code: number; lines: Line[]; end: Line | undefined; stderr: string }

const world = await ScrubWorld.open()
const backEnds = await startBackEnds()
const proxy = await FaultProxy.start(backEnds.s3.url)
const folder = await mkdtemp(join(tmpdir(), 'parsec-copy-'))
after(async () => {
  await proxy.close()
  await world.close()
  await backEnds.stop()
  await rm(folder, { recursive: true, force: true })
})

const blocks = new Map<Uuid, Buffer>()
const organization_id = `Org_${randomBytes(4).toString('hex')}`

async function serve(store: StoreConfig): Promise<TestService> {
  const service = await TestService.start(
    { store, database: world.config },
    { register: world.nodeRegister },
    organization_id,
  )
  for (const [block_id, { length }] of blocks) service.committed.set(block_id.hex, length)
  return service
}
async function directory(): Promise<NodeConfig> {
  const path = join(folder, randomBytes(6).toString('hex'))
  await mkdir(path)
  return { type: 'FILE', directory: path }
}
const typed = (option: string, store: StoreConfig): string[] =>
  optionsOf(store).map(text => text.replace('--blockstore', `--${option}`))

function copy(from: StoreConfig, to: StoreConfig, ...more: string[]): Promise<Copied> {
  const argv = ['backend', 'blocks', 'copy', `--db=${world.database.url}`, ...typed('from', from), ...typed('to', to)]
  return new Promise(resolve =>
    execFile(process.execPath, [...NODE_ARGV, ...argv, '--json', ...more], (error, stdout, stderr) => {
      const lines = stdout
        .split('\n')
        .filter(line => line.startsWith('{'))
        .map(line => JSON.parse(line) as Line)
      resolve({
        code: error ? Number(error.code) : 0,
        lines,
        end: lines.find(({ kind }) => kind === 'end'),
        stderr: stdout + stderr,
      })
    }),
  )
}

describe('blocks copy', () => {
  const rows: NodeConfig = { type: 'POSTGRESQL' }
  let s3: NodeConfig
  let raid5: StoreConfig
  before(async () => {
    const own = (await backEnds.another(`copy-${randomBytes(6).toString('hex')}`)).s3
    s3 = own.store(proxy.url)
    raid5 = { type: 'RAID5', nodes: [await directory(), await directory(), await directory()] }
    const service = await serve(rows)
    for (let i = 0; i < BLOCKS; i++) {
      const [block_id, block] = [Uuid.random(), randomBytes(i * 7)]
      await service.stores(block_id, block)
      blocks.set(block_id, block)
    }
    await service.stop()
    await world.register(
      organization_id,
      [...blocks].map(([block_id, { length }]) => [block_id, length] as const),
    )
  })

  test('from the database to S3; those that fail are told and tried again by the next run', async () => {
    const [first] = blocks.keys()
    proxy.fault = ({ method, path }) =>
      method === 'PUT' && path.includes(first!.hyphenated) ? { kind: 'status', status: 403 } : undefined
    const state = `--state=${join(folder, 'state.json')}`
    const some = await copy(rows, s3, state, '--max-rate=1000')
    assert.equal(some.code, EXIT.incomplete, some.stderr)
    assert.deepEqual([some.end!.blocks, some.end!.failed], [BLOCKS - 1, 1])
    assert.equal(some.lines.find(({ kind }) => kind === 'failed')!.key, `${organization_id}/${first!.hyphenated}`)
    assert.ok(some.lines.some(({ kind, secondsLeft }) => kind === 'progress' && secondsLeft !== undefined))
    proxy.fault = () => undefined
    proxy.seen.length = 0
    const rest = await copy(rows, s3, state)
    assert.equal(rest.code, EXIT.copied, rest.stderr)
    assert.deepEqual([rest.end!.blocks, rest.end!.failed], [BLOCKS, 0])
    assert.equal(proxy.seen.filter(({ method }) => method === 'PUT').length, 1)
  })

  test('a scrub tells the database where its blocks are; servers read every block from there', async () => {
    await world.scrubHere(s3, { adopt: true })
    const service = await serve(s3)
    for (const [block_id, block] of blocks) await service.holds(block_id, block)
    await service.stop()
  })

  test('from S3 to a RAID5 and back to one directory', async () => {
    const spread = await copy(s3, raid5)
    assert.equal(spread.code, EXIT.copied, spread.stderr)
    await assert.rejects(serve(raid5), /are on a single store, .* names a RAID5 of 3 nodes; .*scrub --adopt/)
    await world.scrubHere(raid5, { adopt: true })
    const target = await directory()
    const single = await copy(raid5, target)
    assert.equal(single.code, EXIT.copied, single.stderr)
    await world.scrubHere(target, { adopt: true })
    const service = await serve(target)
    for (const [block_id, block] of blocks) await service.holds(block_id, block)
    await service.stop()
  })

  test('a target that is away ends the copy; one that keeps other bytes is noticed', async () => {
    await world.database.query('DELETE FROM blockstore_node')
    const target = await directory()
    const { directory: path } = target as { directory: string }
    // Where the organization's folder would be, a file stands in the way.
    await writeFile(join(path, organization_id), '')
    const { code, stderr } = await copy(rows, target)
    assert.equal(code, EXIT.failed)
    assert.match(stderr, /too many blocks cannot be copied/)
    await world.database.query(`UPDATE block_data SET data = data || '\\x00' WHERE length(data) = 7`)
    const other = await directory()
    const wrong = await copy(rows, other)
    assert.equal(wrong.code, EXIT.incomplete, wrong.stderr)
    assert.equal(wrong.end!.failed, 1)
    assert.ok((await readdir((other as { directory: string }).directory)).includes(organization_id))
  })
})
