/** Ceiling of the event fan-out: what comes from one WebSocket goes to NATS, and from there to every WebSocket. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from '@nats-io/transport-node'
import { WebSocketServer } from 'ws'
import { serveTasks } from '../tasks.ts'

const SUBJECT = 'bench.ceiling.fanout'

serveTasks(async ({ natsUrl }: { natsUrl: string }) => {
  const nats = await connect({ servers: natsUrl })
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  nats.subscribe(SUBJECT, {
    callback: (_, { data }) => {
      for (const socket of server.clients) socket.send(data)
    },
  })
  server.on('connection', socket => {
    socket.on('message', (message: Buffer) => nats.publish(SUBJECT, message))
  })
  await once(server, 'listening')
  await nats.flush()
  return (server.address() as AddressInfo).port
})
