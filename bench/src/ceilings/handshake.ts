/** Ceiling of a handshake: a raw `ws` connect with one keyed select and one Ed25519 verification. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { openSigned } from '@parsec/shared/certificates/crypto'
import { decodeMap, encode } from '@parsec/shared/codec/msgpack'
import pg from 'pg'
import { WebSocketServer } from 'ws'
import { serveTasks } from '../tasks.ts'

const OK = encode({ handshake: 'result', result: 'ok' })

/** `connections` is the size of the pool, as of the server that is compared. */
serveTasks(async ({ databaseUrl, connections }: { databaseUrl: string; connections: number }) => {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: connections })
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  server.on('connection', socket => {
    socket.on('message', async (message: Buffer) => {
      const { device_id, answer } = decodeMap(message)
      const { rows } = await pool.query({
        name: 'device',
        text: 'SELECT verify_key FROM ceiling_device WHERE device_id = $1',
        values: [device_id],
      })
      if (!openSigned(rows[0].verify_key, answer as Buffer)) return socket.terminate()
      socket.send(OK)
    })
    socket.send(encode({ handshake: 'challenge', challenge: randomBytes(48) }))
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
})
