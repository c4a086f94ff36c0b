/** Ceiling of a ping over NATS, service half: a queue subscription that answers at once. */
import { connect } from '@nats-io/transport-node'
import { serveTasks } from '../tasks.ts'
import { ECHO_SUBJECT, REPLY } from './nats-echo.ts'

serveTasks(async ({ natsUrl }: { natsUrl: string }) => {
  const nats = await connect({ servers: natsUrl })
  nats.subscribe(ECHO_SUBJECT, { queue: 'bench', callback: (_, message) => void message.respond(REPLY) })
  await nats.flush()
})
