/** Many creates and reads while requests to the object store fail in every way, and what must hold afterwards. */
import assert from 'node:assert/strict'
import { Uuid } from '@parsec/shared/codec/values'
import type { Fault, FaultProxy } from './fault-proxy.ts'
import type { TestService } from './service.ts'

const FAULTS: readonly Fault[] = [
  { kind: 'latency', ms: 100 },
  { kind: 'reset' },
  { kind: 'lost answer' },
  { kind: 'truncated' },
  { kind: 'corrupt upload' },
  ...[401, 403, 404, 412, 500, 503, 507].map(status => ({ kind: 'status', status }) as const),
]
const FAULTY_PART = 0.4
const BLOCK_BYTES = 20_000

/**
 * Creates and reads `blocks` blocks at once. Afterwards, in good weather: what was acknowledged is there unchanged, what
 * was refused is not committed and can be stored. Returns how many requests suffered and how many blocks were acknowledged.
 */
export async function storm(
  service: TestService,
  proxy: FaultProxy,
  { blocks: count, seed }: { blocks: number; seed: number },
): Promise<{ faulty: number; acknowledged: number }> {
  const random = seeded(seed)
  let faulty = 0
  proxy.fault = () => {
    if (random() >= FAULTY_PART) return undefined
    faulty++
    return FAULTS[Math.floor(random() * FAULTS.length)]
  }
  const blocks = Array.from({ length: count }, (_, i) => ({
    block_id: Uuid.random(),
    data: Buffer.alloc(BLOCK_BYTES, i),
  }))
  const acknowledged = new Set<string>()
  await Promise.all(
    blocks.map(async ({ block_id, data }) => {
      const reply = await service.create(block_id, data)
      if (reply.status === 'ok') acknowledged.add(block_id.hex)
      else assert.equal(reply.status, 'timeout')
      const read = await service.read(block_id)
      if (read.status === 'ok') assert.ok(read.block!.equals(data))
    }),
  )
  proxy.fault = () => undefined
  await Promise.all(
    blocks.map(async ({ block_id, data }) => {
      assert.equal(service.committed.has(block_id.hex), acknowledged.has(block_id.hex))
      if (acknowledged.has(block_id.hex)) await service.holds(block_id, data)
      else await service.stores(block_id, data)
    }),
  )
  return { faulty, acknowledged: acknowledged.size }
}

/** Most connections to one back end: those of its concurrency, and some that are being replaced. */
const MAX_CONNECTIONS = 64

/** Reads a block again and again while every other transfer breaks; the block store must not keep the broken ones. */
export async function brokenTransfers(
  service: TestService,
  proxy: FaultProxy,
  { rounds, blockBytes }: { rounds: number; blockBytes: number },
): Promise<void> {
  const block_id = Uuid.random()
  await service.stores(block_id, Buffer.alloc(blockBytes, 7))
  const faults: readonly (Fault | undefined)[] = [{ kind: 'truncated' }, { kind: 'reset' }, undefined, undefined]
  let turn = 0
  proxy.fault = () => faults[turn++ % faults.length]
  for (let i = 0; i < rounds; i++) await Promise.all(Array.from({ length: 8 }, () => service.read(block_id)))
  proxy.fault = () => undefined
  assert.ok(proxy.connections <= MAX_CONNECTIONS, `${proxy.connections} connections`)
}

/** Numbers in [0, 1), the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
