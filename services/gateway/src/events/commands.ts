/** `events_subscribe` and `events_listen` (spec 01 §10.3, §10.4). */
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import { LATER, type LocalHandler } from '../local-command.ts'
import type { EventHub } from './hub.ts'

const NO_EVENTS = { status: 'no_events' }

export const eventCommands = (hub: EventHub): { [N in 'events_subscribe' | 'events_listen']: LocalHandler<N> } => ({
  async events_subscribe(call) {
    const { organization, user } = call.context<AuthenticatedContext>()
    await call.caller?.subscribe(hub, { organization, user })
    return { status: 'ok' }
  },
  events_listen(call, { wait }) {
    return call.caller?.nextEvent() ?? (wait ? LATER : NO_EVENTS)
  },
})
