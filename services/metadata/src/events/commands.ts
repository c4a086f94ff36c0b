/** `ping` (spec 01 §10.1): answered here, since events are emitted only by this service. */
import { limits } from '@parsec/shared/limits'
import type { Handler } from '../context.ts'
import { clientEvent } from '../storage/outbox.ts'

export const ping: Handler<'ping'> = async (ctx, { ping }) => {
  if (ctx.context.kind === 'authenticated' && Buffer.byteLength(ping) <= limits.pinged.value) {
    const { organization_id, device_id } = ctx.context
    if (ctx.outbox.isHeard(organization_id))
      ctx.outbox.publishTransient(
        clientEvent(organization_id, { to: 'organization', except: device_id }, { event: 'pinged', ping }, {}),
      )
  }
  return { status: 'ok', pong: ping }
}
