/**
 * The storm of faults for as long as it takes: 10 000 faulty operations for S3 and Swift each, with flat memory. Run by
 * hand: `node --conditions=development --test tests/blockstore/faults.manual.ts`.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startBackEnds } from './back-ends.ts'
import { FaultProxy } from './fault-proxy.ts'
import { TestService } from './service.ts'
import { brokenTransfers, storm } from './storm.ts'

const FAULTY_OPERATIONS = 10_000
const BLOCKS_AT_ONCE = 200
const ATTEMPT_MS = 3_000
const STORE_DEADLINE_MS = 20_000
const BLOCK_BYTES = 524_288
/** Bytes that memory may grow by, proxy and test included. */
const GROWTH_BYTES = 16 * 1024 * 1024

const backEnds = await startBackEnds()
after(() => backEnds.stop())

for (const kind of ['s3', 'swift'] as const) {
  test(`${kind}: no acknowledged block is lost or altered under ${FAULTY_OPERATIONS} faulty operations`, async context => {
    const proxy = await FaultProxy.start(backEnds[kind].url)
    const network = { caFile: null, proxy: {}, attemptMs: ATTEMPT_MS }
    const service = await TestService.start(
      { store: backEnds[kind].store(proxy.url) },
      { network, storeDeadlineMs: STORE_DEADLINE_MS },
    )
    try {
      await brokenTransfers(service, proxy, { rounds: 2, blockBytes: BLOCK_BYTES })
      const before = await heldBytes()
      await brokenTransfers(service, proxy, { rounds: 12, blockBytes: BLOCK_BYTES })
      let [faulty, acknowledged] = [0, 0]
      for (let seed = 1; faulty < FAULTY_OPERATIONS; seed++) {
        const round = await storm(service, proxy, { blocks: BLOCKS_AT_ONCE, seed })
        faulty += round.faulty
        acknowledged += round.acknowledged
        // What the test itself remembers.
        proxy.seen.length = 0
        service.lines.length = 0
      }
      assert.ok(acknowledged > 0)
      const growth = (await heldBytes()) - before
      context.diagnostic(`${faulty} faulty requests, ${acknowledged} blocks, ${growth} bytes more`)
      assert.ok(growth < GROWTH_BYTES, `${growth} bytes more`)
    } finally {
      await service.stop()
      await proxy.close()
    }
  })
}

/** Bytes of memory in use after collections: the first frees what the second finds unused. */
async function heldBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  await nextTurn()
  collect()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + Math.max(external, arrayBuffers)
}
