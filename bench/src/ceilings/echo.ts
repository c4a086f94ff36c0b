/** Ceiling of a ping in one process: a raw `ws` echo that decodes the request and encodes the reply, or looks at nothing. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { decodeMap, encode } from '@parsec/shared/codec/msgpack'
import { WebSocketServer } from 'ws'
import { serveTasks } from '../tasks.ts'

const OK = encode({ status: 'ok', pong: 'x'.repeat(20) })

serveTasks(async ({ bare = false }: { bare?: boolean }) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  server.on('connection', socket => {
    socket.on('message', (message: Buffer) => {
      if (bare) return socket.send(OK)
      const { ping } = decodeMap(message)
      socket.send(encode({ status: 'ok', pong: ping as string }))
    })
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
})
