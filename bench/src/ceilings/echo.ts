/** Ceiling of a ping in one process: a raw `ws` echo that decodes the request and encodes the reply, or looks at nothing. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeMap, encode } from '@parsec/shared/codec/msgpack'
import { WebSocketServer } from 'ws'
import { serveTasks } from '../tasks.ts'

const OK = encode({ status: 'ok', pong: 'x'.repeat(20) })

/** `port`: one that others listen on, too; without it the system chooses one. */
export type EchoTask = { bare?: boolean; port?: number }

serveTasks(async ({ bare = false, port }: EchoTask) => {
  const http = createServer()
  const server = new WebSocketServer({ server: http, perMessageDeflate: false })
  server.on('connection', socket => {
    socket.on('message', (message: Buffer) => {
      if (bare) return socket.send(OK)
      const { ping } = decodeMap(message)
      socket.send(encode({ status: 'ok', pong: ping as string }))
    })
  })
  http.listen({ host: '127.0.0.1', port: port ?? 0, reusePort: port !== undefined })
  await once(http, 'listening')
  return (http.address() as AddressInfo).port
})
