/**
 * The four commands of API v1 that wait for the other side of an enrollment (spec 03 §6.3, §6.5). Each hears orders of
 * the organization before it asks metadata to write, so that no answer is missed, however quick. Once it is written, a
 * next message of the client ends the wait without a reply.
 */

import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { ENROLLMENT_WAIT_MS } from '@parsec/shared/deadlines'
import type { AnonymousContext, AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { ControlEvent } from '@parsec/shared/protocol/events'
import type { DeviceID, OrganizationID, UserID } from '@parsec/shared/protocol/types'
import type { EventHub } from '../events/hub.ts'
import { LATER, type LocalCall, type LocalHandler, type LocalReply } from '../local-command.ts'

type Names = 'user_invite' | 'user_claim' | 'device_invite' | 'device_claim'
type Reply = Exclude<LocalReply, typeof LATER>

export const enrollmentCommands = (hub: EventHub, bus: Bus): { readonly [N in Names]: LocalHandler<N> } => {
  const invite = (
    call: LocalCall,
    context: AuthenticatedContext,
    invited: UserID | DeviceID,
    kind: 'User' | 'Device',
  ) =>
    waitForPeer(hub, call, context.organization_id, {
      async ask() {
        const { status } = await callInternal(bus, 'legacy_invite', { context, invited })
        return status === 'ok' ? undefined : { status, reason: `${kind} \`${invited}\` already exists` }
      },
      answer: order =>
        order.control === 'enrollment.claimed' && order.invited === invited
          ? { status: 'ok', encrypted_claim: order.encrypted_claim }
          : undefined,
      timeoutReason: `Timeout while waiting for new ${kind.toLowerCase()} to be claimed.`,
    })

  const claim = (
    call: LocalCall,
    invited: UserID | DeviceID,
    encrypted_claim: Buffer,
    created: (order: ControlEvent) => Reply | undefined,
  ) => {
    const { organization_id } = call.context<AnonymousContext>()
    return waitForPeer(hub, call, organization_id, {
      async ask() {
        const { status } = await callInternal(bus, 'legacy_claim', { organization_id, invited, encrypted_claim })
        return status === 'ok' ? undefined : { status }
      },
      answer: order =>
        order.control === 'enrollment.cancelled' && order.invited === invited
          ? { status: 'denied', reason: 'Invitation creator rejected us.' }
          : created(order),
      timeoutReason: 'Timeout while waiting for invitation creator to answer.',
    })
  }

  return {
    async user_invite(call, { user_id }) {
      const context = call.context<AuthenticatedContext>()
      if (context.profile !== 'ADMIN')
        return { status: 'not_allowed', reason: 'Only allowed for user with ADMIN profile.' }
      return invite(call, context, user_id, 'User')
    },
    async device_invite(call, { invited_device_name }) {
      const context = call.context<AuthenticatedContext>()
      return invite(call, context, `${context.user_id}@${invited_device_name}`, 'Device')
    },
    user_claim: (call, { invited_user_id, encrypted_claim }) =>
      claim(call, invited_user_id, encrypted_claim, order => {
        if (order.control !== 'user.created' || order.user_id !== invited_user_id) return undefined
        const { user_certificate, device_certificate } = order
        return { status: 'ok', user_certificate, device_certificate }
      }),
    device_claim: (call, { invited_device_id, encrypted_claim }) =>
      claim(call, invited_device_id, encrypted_claim, order => {
        if (order.control !== 'device.created' || order.device_id !== invited_device_id) return undefined
        const { device_certificate, encrypted_answer } = order
        return { status: 'ok', device_certificate, encrypted_answer }
      }),
  }
}

type Wait = {
  /** Writes what wakes the other side; a refusal is the reply at once. */
  ask: () => Promise<Reply | undefined>
  /** The reply that an order means, if it concerns this wait; the first one counts. */
  answer: (order: ControlEvent) => Reply | undefined
  timeoutReason: string
}

async function waitForPeer(
  hub: EventHub,
  call: LocalCall,
  organization_id: OrganizationID,
  { ask, answer, timeoutReason }: Wait,
): Promise<LocalReply> {
  const { signal } = call
  const organization = await hub.enter(organization_id)
  const { promise, resolve } = Promise.withResolvers<LocalReply>()
  const hear = (order: ControlEvent) => {
    const reply = answer(order)
    if (reply !== undefined) resolve(reply)
  }
  const giveUp = () => resolve(LATER)
  organization.watchers.add(hear)
  signal.addEventListener('abort', giveUp)
  if (signal.aborted) giveUp()
  let timer: NodeJS.Timeout | undefined
  try {
    const refusal = await ask()
    if (refusal !== undefined) return refusal
    call.caller?.letCancel()
    timer = setTimeout(() => resolve({ status: 'timeout', reason: timeoutReason }), ENROLLMENT_WAIT_MS)
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', giveUp)
    organization.watchers.delete(hear)
    hub.exit(organization, null)
  }
}
