/**
 * A client in another network namespace, for one-vm.manual.ts: does what it reads line by line, and says `ok` or why not.
 *
 *   node one-vm-client.ts URL TOKEN
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Context, Uuid } from '../harness/client.ts'

const [url, api, token] = process.argv.slice(2) as [string, string, string]
/** Organizations are created where the administration is, the rest goes through nginx. */
const administration = new Context({ url: api, token, target: 'ours', features: new Set() })
const client = new Context({ url, token, target: 'ours', features: new Set() })
const { alice } = await administration.org()
const [blob, block] = [randomBytes(2000), randomBytes(300_000)]
const block_id = new Uuid()
const known: { vlob_id?: Uuid } = {}

const STEPS: { readonly [step: string]: () => Promise<void> } = {
  async write() {
    const session = await client.connect(alice)
    const realm_id = await client.realm(session, alice)
    const { vlob_id } = await client.vlob(session, realm_id, { blob })
    await session.ok('block_create', { block_id, realm_id, block })
    Object.assign(known, { vlob_id })
    await session.close()
  },
  async read() {
    const session = await client.connect(alice)
    const question = { encryption_revision: 1, vlob_id: known.vlob_id, version: null, timestamp: null }
    assert.deepEqual(Buffer.from((await session.ok('vlob_read', question)).blob), blob)
    assert.deepEqual(Buffer.from((await session.ok('block_read', { block_id })).block), block)
    await session.close()
  },
}

console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  try {
    await STEPS[line]!()
    console.log('ok')
  } catch (error) {
    console.log(`failed: ${String(error)}`)
  }
}
process.exit(0)
