/** Bad days of networks and object stores: no acknowledged block is lost or altered, and every command ends (spec 06 §7). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Uuid } from '@parsec/shared/codec/values'
import { startBackEnds } from './back-ends.ts'
import { type Fault, FaultProxy } from './fault-proxy.ts'
import { TestService } from './service.ts'
import { brokenTransfers, storm } from './storm.ts'

/** Short, so that silence costs little; loaded machines still answer an honest request in time. */
const ATTEMPT_MS = 1_500
const STORE_DEADLINE_MS = 8_000
/** Blocks of the storm here; `faults.manual.ts` has thousands. */
const STORM_BLOCKS = 30
const FOREVER = Number.POSITIVE_INFINITY

const network = { caFile: null, proxy: {}, attemptMs: ATTEMPT_MS }
const backEnds = await startBackEnds()
after(() => backEnds.stop())

const block = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 131 + (i >> 8) * 17) & 0xff))
const status = (code: number): Fault => ({ kind: 'status', status: code })

/** Faults of one request that a repeated one overcomes. */
const PASSING: readonly Fault[] = [
  { kind: 'latency', ms: 300 },
  { kind: 'reset' },
  { kind: 'lost answer' },
  { kind: 'silence' },
  ...[408, 429, 500, 502, 503, 504, 507].map(status),
]
const PASSING_UPLOADS: readonly Fault[] = [...PASSING, { kind: 'corrupt upload' }]
const PASSING_DOWNLOADS: readonly Fault[] = [...PASSING, { kind: 'truncated' }]
/** Answers that would be the same the next time. */
const LASTING = [400, 403, 405, 409, 412, 413].map(status)

// Side by side: most of the time is waited.
describe('a bad day', { concurrency: true }, () => {
  for (const kind of ['s3', 'swift'] as const) {
    describe(kind, { concurrency: 1 }, () => {
      const backEnd = backEnds[kind]
      let proxy: FaultProxy
      let service: TestService
      before(async () => {
        proxy = await FaultProxy.start(backEnd.url)
        const store = backEnd.store(proxy.url)
        service = await TestService.start({ store }, { network, storeDeadlineMs: STORE_DEADLINE_MS })
      })
      after(async () => {
        await service.stop()
        await proxy.close()
      })
      const logins = () => proxy.seen.filter(({ path }) => path.startsWith('/auth')).length
      const calls = (method: string) => proxy.seen.filter(seen => seen.method === method).length

      for (const fault of PASSING_UPLOADS) {
        test(`a create survives: ${JSON.stringify(fault)}`, async () => {
          const block_id = Uuid.random()
          proxy.next('PUT', fault)
          await service.stores(block_id, block(5000))
          const object = await backEnd.request('GET', `${service.organization_id}/${block_id.hyphenated}`)
          assert.ok(Buffer.from(await object.arrayBuffer()).equals(block(5000)))
        })
      }
      const downloads =
        kind === 's3'
          ? PASSING_DOWNLOADS
          : ([...PASSING_DOWNLOADS, { kind: 'corrupt download' }, { kind: 'shortened' }] as const)
      for (const fault of downloads) {
        test(`a read survives: ${JSON.stringify(fault)}`, async () => {
          const block_id = Uuid.random()
          await service.stores(block_id, block(5000))
          proxy.next('GET', fault)
          await service.holds(block_id, block(5000))
        })
      }

      for (const fault of LASTING) {
        test(`what will not pass is not repeated, and nothing is committed: ${JSON.stringify(fault)}`, async () => {
          const block_id = Uuid.random()
          proxy.next('PUT', fault, FOREVER)
          const before = calls('PUT')
          assert.equal((await service.create(block_id, block(100))).status, 'timeout')
          assert.equal(calls('PUT'), before + 1)
          assert.ok(!service.committed.has(block_id.hex))
          proxy.next('PUT', fault, 0)
          await service.stores(block_id, block(100))
          proxy.next('GET', fault, FOREVER)
          const reads = calls('GET')
          assert.equal((await service.read(block_id)).status, 'timeout')
          assert.equal(calls('GET'), reads + 1)
          proxy.next('GET', fault, 0)
          await service.holds(block_id, block(100))
        })
      }

      for (const fault of [{ kind: 'silence' }, { kind: 'reset' }, status(503)] satisfies Fault[]) {
        test(`a store that stays away answers timeout, and works again when it is back: ${JSON.stringify(fault)}`, async () => {
          const block_id = Uuid.random()
          const stored = Uuid.random()
          await service.stores(stored, block(100))
          proxy.fault = () => fault
          const replies = await Promise.all([service.create(block_id, block(100)), service.read(stored)])
          assert.deepEqual(
            replies.map(reply => reply.status),
            ['timeout', 'timeout'],
          )
          assert.ok(!service.committed.has(block_id.hex))
          assert.match(JSON.stringify(service.service.readiness().detail), /failing since/)
          proxy.fault = () => undefined
          await service.stores(block_id, block(100))
          await service.holds(stored, block(100))
          assert.doesNotMatch(JSON.stringify(service.service.readiness().detail), /failing since/)
        })
      }

      test('a storm of faults: what was acknowledged is there unchanged, what was refused is not committed', async () => {
        const { acknowledged } = await storm(service, proxy, { blocks: STORM_BLOCKS, seed: 7 })
        assert.ok(acknowledged > 0)
      })

      test('connections stay bounded through broken transfers', async () => {
        await brokenTransfers(service, proxy, { rounds: 3, blockBytes: 65_536 })
      })

      if (kind === 'swift') {
        test('a refused token is renewed once, by one login for all (06-server §7.4)', async () => {
          const ids = Array.from({ length: 10 }, () => Uuid.random())
          for (const block_id of ids) await service.stores(block_id, block(100))
          const refused = new Set<string>()
          proxy.fault = ({ method, path }) => {
            if (method !== 'GET' || path.startsWith('/auth') || refused.has(path)) return undefined
            refused.add(path)
            return status(401)
          }
          const before = logins()
          await Promise.all(ids.map(block_id => service.holds(block_id, block(100))))
          assert.equal(refused.size, ids.length)
          assert.equal(logins(), before + 1)
        })
        test('a token that is refused again answers timeout (06-server §7.4)', async () => {
          const block_id = Uuid.random()
          await service.stores(block_id, block(100))
          proxy.fault = ({ path }) => (path.startsWith('/auth') ? undefined : status(401))
          const before = logins()
          assert.equal((await service.read(block_id)).status, 'timeout')
          assert.equal(logins(), before + 1)
          proxy.fault = () => undefined
          await service.holds(block_id, block(100))
        })
        test('a login that fails for a while is repeated', async () => {
          const block_id = Uuid.random()
          await service.stores(block_id, block(100))
          let refused = 0
          let broken = 0
          proxy.fault = ({ path }) => {
            if (path.startsWith('/auth')) return broken++ < 2 ? { kind: 'reset' } : undefined
            return refused++ < 1 ? status(401) : undefined
          }
          await service.holds(block_id, block(100))
          assert.equal(broken, 3)
        })
      }
    })
  }
})

test('a drain answers timeout to what a silent store keeps waiting', async () => {
  const proxy = await FaultProxy.start(backEnds.s3.url)
  const service = await TestService.start({ store: backEnds.s3.store(proxy.url) })
  const arrived = new Promise<void>(resolve => {
    proxy.fault = () => {
      resolve()
      return { kind: 'silence' }
    }
  })
  const reply = service.create(Uuid.random(), block(100))
  await arrived
  await service.service.drain(600)
  assert.equal((await reply).status, 'timeout')
  assert.equal(service.service.readiness().ready, false)
  await service.stop()
  await proxy.close()
})
