/** What a block store does at once has a bound, and nobody has all of it (DESIGN §11). */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import { startBackEnds } from './back-ends.ts'
import { FaultProxy } from './fault-proxy.ts'
import { TestService } from './service.ts'

const backEnds = await startBackEnds()
const proxy = await FaultProxy.start(backEnds.s3.url)
after(async () => {
  await proxy.close()
  await backEnds.stop()
})
const network = { caFile: null, proxy: {}, attemptMs: 3_000 }

/** More than a node serves at once. */
const LEAVERS = 40

test('clients that ask a stalled store and leave free their places at once; other organizations never wait for them', async () => {
  const network = { caFile: null, proxy: {}, attemptMs: 60_000 }
  const service = await TestService.start({ store: backEnds.s3.store(proxy.url) }, { network })
  const block_id = Uuid.random()
  await service.stores(block_id, Buffer.from('x'))
  const stalled = Uuid.random()
  service.committed.set(stalled.hex, 1)
  proxy.fault = ({ path }) => (path.includes(stalled.hyphenated) ? { kind: 'silence' } : undefined)
  proxy.seen.length = 0
  const leave = new AbortController()
  const greedy = service.as('greedy', leave.signal)
  const asked = Array.from({ length: LEAVERS }, () => assert.rejects(greedy.read(stalled), /left/))
  // While they wait, another organization is served.
  assert.equal((await service.read(block_id)).status, 'ok')
  // The store may only be asked so many times for them, however many there are.
  assert.ok(proxy.seen.length <= limits.node_operations.value)
  leave.abort(new Error('left'))
  await Promise.all(asked)
  // Their own organization is served as well: none of their places is taken any more.
  const again = service.as('greedy')
  proxy.fault = () => undefined
  assert.equal((await again.create(Uuid.random(), Buffer.from('y'))).status, 'ok')
  await service.holds(block_id, Buffer.from('x'))
  await service.stop()
})

test('an object larger than any block is not read into memory', async () => {
  const { s3, swift } = backEnds
  for (const backEnd of [s3, swift]) {
    const service = await TestService.start({ store: backEnd.store(backEnd.url) }, { network })
    const block_id = Uuid.random()
    service.committed.set(block_id.hex, 1)
    const key = `${service.organization_id}/${block_id.hyphenated}`
    await backEnd.request('PUT', key, Buffer.alloc(limits.object.value + 1))
    assert.equal((await service.read(block_id)).status, 'timeout')
    assert.match(String(service.lines.at(-1)!['cause']), /^object over \d+ bytes$/)
    await backEnd.request('DELETE', key)
    await service.stop()
  }
})
