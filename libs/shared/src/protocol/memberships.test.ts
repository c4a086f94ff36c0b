import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DateTime, Uuid } from '../codec/values.ts'
import { membershipsIn, piecesOf } from './memberships.ts'

const MANY = 40_000
const UNIX_TO_POSTGRES_US = 946_684_800_000_000n

test('packed memberships are read from pieces that a message may have, with the instants of PostgreSQL', () => {
  const ids = Array.from({ length: MANY }, () => Uuid.random())
  const records = ids.map((id, i) => {
    const record = Buffer.alloc(32)
    record.write(id.hex, 'hex')
    record.writeBigInt64BE(BigInt(i) - UNIX_TO_POSTGRES_US, 16)
    record.writeBigInt64BE(BigInt(i * 2), 24)
    return record
  })
  const packed = piecesOf(Buffer.concat(records))
  assert.ok(packed.length > 1 && packed.every(({ length }) => length <= 1024 * 1024))
  let n = 0
  for (const read of membershipsIn({ realms: [], packed })) {
    assert.deepEqual(read, { hex: ids[n]!.hex, certified_on: n, place: n * 2 })
    n++
  }
  assert.equal(n, MANY)
})
test('those of a service of the first release are read from their list; none is none', () => {
  const realm_id = Uuid.random()
  const realms = [{ realm_id, certified_on: new DateTime(5), place: 7 }]
  assert.deepEqual([...membershipsIn({ realms })], [{ hex: realm_id.hex, certified_on: 5, place: 7 }])
  assert.deepEqual([...membershipsIn({ realms: [], packed: piecesOf(Buffer.alloc(0)) })], [])
})
