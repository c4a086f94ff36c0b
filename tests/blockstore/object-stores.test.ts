/** S3 and Swift as they really are: what is stored, under which names, and what a start refuses (spec 06 §7.2–7.4). */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { NodeConfig } from '@parsec/blockstore/stores/registry'
import { Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import { startBackEnds } from './back-ends.ts'
import { TestService } from './service.ts'

const backEnds = await startBackEnds()
after(() => backEnds.stop())

const pattern = (length: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, i) => (i * 131 + (i >> 8) * 17) & 0xff))

for (const kind of ['s3', 'keystone', 'swift'] as const) {
  describe(kind, () => {
    const backEnd = backEnds[kind]
    let service: TestService
    before(async () => {
      service = await TestService.start({ store: backEnd.store(backEnd.url) })
    })
    after(() => service.stop())

    test('blocks of every size come back as they were (06-server §7.1)', async () => {
      for (const length of [0, 1, 9, 4096, 524_288, 524_328, 1_048_576])
        await service.stores(Uuid.random(), pattern(length))
    })

    test('the object has the hyphenated key, exactly the bytes and no metadata (06-server §7.2)', async () => {
      const block_id = Uuid.random()
      const block = pattern(1000)
      await service.stores(block_id, block)
      const object = await backEnd.request('GET', `${service.organization_id}/${block_id.hyphenated}`)
      assert.ok(Buffer.from(await object.arrayBuffer()).equals(block))
      assert.deepEqual(
        [...object.headers.keys()].filter(name => name.startsWith('x-object-meta-')),
        [],
      )
    })

    test('an object under the un-hyphenated key is found (06-server §7.2)', async () => {
      const block_id = Uuid.random()
      const block = pattern(1000)
      await service.stores(block_id, block)
      const key = `${service.organization_id}/${block_id.hyphenated}`
      assert.ok((await backEnd.request('DELETE', key)).ok)
      assert.equal((await service.read(block_id)).status, 'timeout')
      assert.ok((await backEnd.request('PUT', `${service.organization_id}/${block_id.hex}`, block)).ok)
      await service.holds(block_id, block)
    })

    test('an object without metadata is overwritten; a registered block keeps its bytes (05-data §10.1)', async () => {
      const block_id = Uuid.random()
      await backEnd.request('PUT', `${service.organization_id}/${block_id.hyphenated}`, pattern(10))
      await service.stores(block_id, pattern(20))
      assert.equal((await service.create(block_id, pattern(30))).status, 'already_exists')
      await service.holds(block_id, pattern(20))
    })

    test('a missing object answers timeout and is logged with organization and block, without secrets (06-server §7.3)', async () => {
      const block_id = Uuid.random()
      service.committed.set(block_id.hex, 1)
      assert.equal((await service.read(block_id)).status, 'timeout')
      const line = service.lines.findLast(({ event }) => event === 'Block read error')!
      assert.deepEqual(
        [line.level, line['organization_id'], line['block_id']],
        ['warning', service.organization_id, block_id.hex],
      )
      const text = JSON.stringify(service.lines)
      const store = backEnd.store(backEnd.url)
      assert.ok(!text.includes('secret' in store ? store.secret : 'password' in store ? store.password : ''))
    })

    test('many at once: no block is lost or mixed up', async () => {
      const blocks = Array.from({ length: 60 }, (_, i) => [Uuid.random(), Buffer.alloc(50_000, i)] as const)
      await Promise.all(blocks.map(([block_id, block]) => service.stores(block_id, block)))
      await Promise.all(blocks.map(([block_id, block]) => service.holds(block_id, block)))
    })
  })
}

describe('a start refuses', () => {
  const refuses = async (store: NodeConfig, message: RegExp) => {
    const error = await TestService.start({ store }).then(
      async service => {
        await service.stop()
        throw new Error('it started')
      },
      error => error,
    )
    assert.ok(error instanceof OperatorError, String(error?.stack))
    assert.match(error.message, message)
    assert.match(error.message, /--blockstore/)
    for (const secret of ['wrong-secret', 'secretpart']) assert.ok(!error.message.includes(secret), error.message)
  }
  const changed = (kind: 's3' | 'keystone' | 'swift', change: { [field: string]: string }): NodeConfig =>
    ({ ...backEnds[kind].store(backEnds[kind].url), ...change }) as NodeConfig

  test('a bucket or container that does not exist (06-server §7.3, §7.4)', async () => {
    await refuses(changed('s3', { bucket: 'nobody-has-it' }), /bucket `nobody-has-it` at .* \(404\)/)
    await refuses(changed('keystone', { container: 'nobody-has-it' }), /container `nobody-has-it` at .* \(404\)/)
    await refuses(changed('swift', { container: 'nobody-has-it' }), /container `nobody-has-it` at .* \(404\)/)
  })
  test('wrong credentials', async () => {
    await refuses(changed('s3', { secret: 'wrong-secret' }), /\(403\)/)
    await refuses(changed('keystone', { password: 'wrong-secret' }), /login refused \(401\)/)
    await refuses(changed('swift', { password: 'wrong-secret' }), /login refused \(401\)/)
  })
  test('empty and senseless settings', async () => {
    await refuses(changed('s3', { region: '' }), /empty region/)
    await refuses(changed('swift', { container: '' }), /empty container/)
    await refuses(changed('swift', { authUrl: '' }), /invalid auth URL/)
    await refuses(changed('s3', { endpoint: 'https:// h ' }), /invalid endpoint/)
  })
  test('a server that is not there', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise(resolve => server.close(resolve))
    await refuses(
      changed('s3', { endpoint: `http://user:secretpart@127.0.0.1:${port}` }),
      /cannot be reached \(ECONNREFUSED\)/,
    )
    await refuses(changed('swift', { authUrl: `http://user:secretpart@127.0.0.1:${port}/auth/v1.0` }), /ECONNREFUSED/)
  })
})
