/** Ceiling of a ping over NATS, gateway half: what comes from the WebSocket goes to NATS and back, unseen. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from '@nats-io/transport-node'
import { WebSocketServer } from 'ws'
import { serveTasks } from '../tasks.ts'
import { ECHO_SUBJECT, TIMEOUT_MS } from './nats-echo.ts'

serveTasks(async ({ natsUrl }: { natsUrl: string }) => {
  const nats = await connect({ servers: natsUrl })
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  server.on('connection', socket => {
    socket.on('message', async (message: Buffer) => {
      const reply = await nats.request(ECHO_SUBJECT, message, { timeout: TIMEOUT_MS })
      socket.send(reply.data)
    })
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
})
