/** What a loaded connection asks for, over and over. */
import { randomBytes } from 'node:crypto'
import { encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { expectOk, type Wire } from './client.ts'
import { frame, overwrite } from './socket.ts'

/** Plain data, sent to the load process. Lists have one entry per connection; ids are 32 hex digits. */
export type Workload =
  | { type: 'ping'; text: string }
  | { type: 'vlob_update'; vlobs: readonly string[]; blobBytes: number }
  | { type: 'vlob_read'; vlobs: readonly string[] }
  /** A read and an update in turn. */
  | { type: 'mixed'; vlobs: readonly string[]; blobBytes: number }
  | { type: 'block_create'; realms: readonly string[]; blockBytes: number }
  | { type: 'block_read'; blocks: readonly string[] }

/** Makes framed requests and looks at replies of one connection; `check` throws when a reply is not `ok`. */
export type Driver = { next(): Buffer; check(reply: Buffer): void }

const UUID_BYTES = 16
const uuid = (hex: string | undefined): Uuid => Uuid.parse(hex ?? '')!

export async function createDriver(workload: Workload, connection: number, wire: Wire): Promise<Driver> {
  switch (workload.type) {
    case 'ping':
      return repeated(encode({ cmd: 'ping', ping: workload.text }))
    case 'vlob_update':
      return vlobUpdates(uuid(workload.vlobs[connection]), randomBytes(workload.blobBytes), wire)
    case 'vlob_read':
      return repeated(vlobRead(uuid(workload.vlobs[connection])))
    case 'mixed':
      return alternately(
        repeated(vlobRead(uuid(workload.vlobs[connection]))),
        await vlobUpdates(uuid(workload.vlobs[connection]), randomBytes(workload.blobBytes), wire),
      )
    case 'block_create':
      return blockCreates(uuid(workload.realms[connection]), randomBytes(workload.blockBytes))
    case 'block_read':
      return repeated(encode({ cmd: 'block_read', block_id: uuid(workload.blocks[connection]) }))
  }
}

function repeated(request: Buffer): Driver {
  const framed = frame(request)
  return { next: () => framed, check: expectOk }
}
const changing = (next: () => Buffer): Driver => ({ next: () => frame(next()), check: expectOk })

function alternately(...drivers: Driver[]): Driver {
  const turn = { of: 0 }
  return { next: () => drivers[turn.of++ % drivers.length]!.next(), check: expectOk }
}

const vlobRead = (vlob_id: Uuid): Buffer =>
  encode({ cmd: 'vlob_read', encryption_revision: 1, vlob_id, version: null, timestamp: null })

async function vlobUpdates(vlob_id: Uuid, blob: Buffer, wire: Wire): Promise<Driver> {
  wire.send(vlobRead(vlob_id))
  let version = expectOk(await wire.receive()).version as number
  return changing(() =>
    encode({
      cmd: 'vlob_update',
      encryption_revision: 1,
      vlob_id,
      timestamp: DateTime.now(),
      version: ++version,
      blob,
      sequester_blob: null,
    }),
  )
}

/** One frame, of which only the id of the block changes: a loader that builds 512 KiB anew each time tires the server. */
function blockCreates(realm_id: Uuid, block: Buffer): Driver {
  const block_id = Uuid.random()
  const message = encode({ cmd: 'block_create', block_id, realm_id, block })
  const framed = frame(message)
  const idAt = message.indexOf(block_id.hex, 'hex')
  return {
    next: () => {
      overwrite(framed, message.length, idAt, randomBytes(UUID_BYTES))
      return framed
    },
    check: expectOk,
  }
}
