/** RAID over different real back ends, of which one has a bad day (spec 06 §7.8–7.10). */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { startBackEnds } from './back-ends.ts'
import { type Fault, FaultProxy } from './fault-proxy.ts'
import { TestService } from './service.ts'

const backEnds = await startBackEnds()
const folder = await mkdtemp(join(tmpdir(), 'parsec-raid-'))
after(async () => {
  await backEnds.stop()
  await rm(folder, { recursive: true })
})
const READS = 200
const READS_AT_ONCE = 20
const network = { caFile: null, proxy: {}, attemptMs: 1_500 }
const block = Buffer.from(Array.from({ length: 524_288 }, (_, i) => (i * 131 + (i >> 8) * 17) & 0xff))

// Side by side, each with a node of its own that has a bad day: most of the time is waited.
describe('a node has a bad day', { concurrency: true }, () => {
  for (const type of ['RAID1', 'RAID5'] as const) {
    describe(type, { concurrency: 1 }, () => {
      let proxy: FaultProxy
      let store: StoreConfig
      before(async () => {
        proxy = await FaultProxy.start(backEnds.s3.url)
        const directory = await mkdtemp(join(folder, 'node-'))
        const [s3, swift] = [backEnds.s3.store(proxy.url), backEnds.swift.store(backEnds.swift.url)]
        store = { type, nodes: [s3, swift, { type: 'FILE', directory }] }
      })
      after(() => proxy.close())
      const start = (raidDegradedWrites = false) =>
        TestService.start({ store, raidDegradedWrites }, { network, storeDeadlineMs: 8_000 })

      for (const fault of [
        { kind: 'status', status: 403 },
        { kind: 'silence' },
        { kind: 'status', status: 404 },
      ] satisfies Fault[]) {
        test(`a node that always does ${JSON.stringify(fault)}: blocks are read, not written`, async () => {
          const service = await start()
          const block_id = Uuid.random()
          await service.stores(block_id, block)
          proxy.fault = () => fault
          await service.holds(block_id, block)
          const other = Uuid.random()
          assert.equal((await service.create(other, block)).status, 'timeout')
          assert.ok(!service.committed.has(other.hex))
          const failures = service.lines.filter(line => line.event === 'Block create error')
          assert.ok(failures.every(line => line['node'] === 0 && line['raid'] === type && line['s3_bucket']))
          assert.equal(service.lines.at(-1)!.event, 'Block create error: A node have failed')
          assert.match(JSON.stringify(service.service.readiness().detail), /S3/)
          assert.equal(service.service.readiness().ready, true)
          proxy.fault = () => undefined
          await service.stores(other, block)
          await service.stop()
        })
      }

      test('with degraded writes blocks are written without that node, and read with or without it', async () => {
        const service = await start(true)
        const block_id = Uuid.random()
        proxy.fault = () => ({ kind: 'status', status: 403 })
        await service.stores(block_id, block)
        proxy.fault = () => undefined
        await service.holds(block_id, block)
        await service.stop()
      })

      test('a start without a node that may be missing succeeds and says so; one that refuses us is fatal', async () => {
        proxy.fault = () => ({ kind: 'reset' })
        const service = await start()
        assert.ok(service.lines.some(line => line.event === 'Block store node away' && line['node'] === 0))
        assert.match(JSON.stringify(service.service.readiness().detail), /failing since/)
        await service.stop()
        proxy.fault = () => ({ kind: 'status', status: 403 })
        await assert.rejects(start(), /answered .*\(403\)/)
        proxy.fault = () => undefined
      })
    })
  }
})

test('RAID1: reads at the pace of a fast node do not ask more of a slow one than it can do', async () => {
  const directory = await mkdtemp(join(folder, 'fast-'))
  const proxy = await FaultProxy.start(backEnds.s3.url)
  const store: StoreConfig = { type: 'RAID1', nodes: [backEnds.s3.store(proxy.url), { type: 'FILE', directory }] }
  const service = await TestService.start({ store }, { network: { ...network, attemptMs: 20_000 } })
  const block_id = Uuid.random()
  await service.stores(block_id, block.subarray(0, 1000))
  proxy.fault = ({ method }) => (method === 'GET' ? { kind: 'silence' } : undefined)
  proxy.seen.length = 0
  for (let i = 0; i < READS; i += READS_AT_ONCE)
    await Promise.all(Array.from({ length: READS_AT_ONCE }, () => service.holds(block_id, block.subarray(0, 1000))))
  assert.ok(proxy.seen.length <= limits.node_operations.value, `${proxy.seen.length} requests`)
  proxy.fault = () => undefined
  await service.stop()
  await proxy.close()
})
