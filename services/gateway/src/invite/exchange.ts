/**
 * The exchange between greeter and claimer (spec 04 §6, §7). Each side talks, then waits here for orders of the bus and
 * looks each time whether it is through; the conduit itself is in the database, so the sides may be anywhere.
 */

import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import type { Encodable } from '@parsec/shared/codec/msgpack'
import { Uuid } from '@parsec/shared/codec/values'
import { EXCHANGE_POLL_MS } from '@parsec/shared/deadlines'
import type { AuthenticatedContext, InvitedContext } from '@parsec/shared/protocol/context'
import type { ControlEvent } from '@parsec/shared/protocol/events'
import type { ConduitParty } from '@parsec/shared/protocol/internal'
import type { ConduitSide, ConduitState } from '@parsec/shared/protocol/invite'
import type { CommandName } from '@parsec/shared/protocol/registry'
import type { EventHub } from '../events/hub.ts'
import { GONE, LATER, type LocalCall, type LocalHandler, type LocalReply } from '../local-command.ts'

/** A command: its conduit states in order with the request's field that is sent, and the reply's field for the last result. */
type Step = {
  readonly side: ConduitSide
  readonly talks: readonly (readonly [state: ConduitState, sends: string | null])[]
  readonly receives: string | null
}
type ExchangeName = Extract<CommandName, `invite_${1 | 2 | 3 | 4}${string}`>

const STEPS: { readonly [N in ExchangeName]: Step } = {
  invite_1_greeter_wait_peer: {
    side: 'greeter',
    talks: [['1_WAIT_PEERS', 'greeter_public_key']],
    receives: 'claimer_public_key',
  },
  invite_1_claimer_wait_peer: {
    side: 'claimer',
    talks: [['1_WAIT_PEERS', 'claimer_public_key']],
    receives: 'greeter_public_key',
  },
  invite_2a_claimer_send_hashed_nonce: {
    side: 'claimer',
    talks: [
      ['2_1_CLAIMER_HASHED_NONCE', 'claimer_hashed_nonce'],
      ['2_2_GREETER_NONCE', null],
    ],
    receives: 'greeter_nonce',
  },
  invite_2a_greeter_get_hashed_nonce: {
    side: 'greeter',
    talks: [['2_1_CLAIMER_HASHED_NONCE', null]],
    receives: 'claimer_hashed_nonce',
  },
  invite_2b_greeter_send_nonce: {
    side: 'greeter',
    talks: [
      ['2_2_GREETER_NONCE', 'greeter_nonce'],
      ['2_3_CLAIMER_NONCE', null],
    ],
    receives: 'claimer_nonce',
  },
  invite_2b_claimer_send_nonce: { side: 'claimer', talks: [['2_3_CLAIMER_NONCE', 'claimer_nonce']], receives: null },
  invite_3a_claimer_signify_trust: { side: 'claimer', talks: [['3_1_CLAIMER_TRUST', null]], receives: null },
  invite_3a_greeter_wait_peer_trust: { side: 'greeter', talks: [['3_1_CLAIMER_TRUST', null]], receives: null },
  invite_3b_greeter_signify_trust: { side: 'greeter', talks: [['3_2_GREETER_TRUST', null]], receives: null },
  invite_3b_claimer_wait_peer_trust: { side: 'claimer', talks: [['3_2_GREETER_TRUST', null]], receives: null },
  invite_4_greeter_communicate: { side: 'greeter', talks: [['4_COMMUNICATE', 'payload']], receives: 'payload' },
  invite_4_claimer_communicate: { side: 'claimer', talks: [['4_COMMUNICATE', 'payload']], receives: 'payload' },
}
const EMPTY = Buffer.alloc(0)

/** A handler for each of `STEPS`. */
export const exchangeCommands = (hub: EventHub, bus: Bus): { [name: string]: LocalHandler<ExchangeName> } =>
  Object.fromEntries(
    Object.entries(STEPS).map(([name, step]) => [
      name,
      (call: LocalCall, request: Fields) => {
        const who = step.side === 'greeter' ? greeterOf(call, request) : claimerOf(call, request)
        return 'status' in who ? who : exchange(hub, bus, call, who, step, request, name === CANCELLABLE)
      },
    ]),
  )

/** The next message of the client ends this wait (spec 04 §6.4). */
const CANCELLABLE: ExchangeName = 'invite_1_claimer_wait_peer'

type Fields = { readonly [field: string]: unknown }
/** Who exchanges, in whatever state. */
type Party = Omit<ConduitParty, 'state' | 'attempt'>
type Failure = 'not_found' | 'already_deleted' | 'invalid_state'

function greeterOf(call: LocalCall, { token }: Fields): Party {
  const { organization_id, organization, user_id } = call.context<AuthenticatedContext>()
  return { organization_id, organization, token: token as Uuid, side: 'greeter', greeter: user_id }
}
/** Only a recovery has several greeters; the claimer names the one that it means (spec 04 §7). */
function claimerOf(call: LocalCall, { greeter_user_id }: Fields): Party | (Encodable & { status: string }) {
  const { organization_id, organization, token, invitation_type } = call.context<InvitedContext>()
  const party = { organization_id, organization, token, side: 'claimer' } as const
  if (invitation_type !== 'SHAMIR_RECOVERY') return { ...party, greeter: null }
  if (typeof greeter_user_id === 'string') return { ...party, greeter: greeter_user_id }
  const errors = { greeter_user_id: ['Missing data for required field.'] }
  return { status: 'bad_message', reason: 'Invalid message.', errors }
}

async function exchange(
  hub: EventHub,
  bus: Bus,
  call: LocalCall,
  party: Party,
  { talks, receives }: Step,
  request: Fields,
  cancellable: boolean,
): Promise<LocalReply> {
  // What cancels it has come already: it need not even begin.
  if (cancellable && call.caller?.hasMore) {
    call.caller.letCancel()
    return LATER
  }
  const { signal } = call
  const organization = await hub.enter(party.organization_id)
  const orders = new Orders(party.token, signal)
  organization.watchers.add(orders.hear)
  try {
    let received: Buffer = EMPTY
    for (const [state, sends] of talks) {
      const payload = sends === null ? EMPTY : (request[sends] as Buffer)
      const met = await meet(bus, { ...party, state, attempt: Uuid.random() }, payload, orders, () => {
        if (cancellable) call.caller?.letCancel()
      })
      if (met.status === 'already_deleted' && party.side === 'claimer') return GONE
      if (met.status !== 'ok') return { status: met.status }
      received = met.payload
    }
    return { status: 'ok', ...(receives !== null && { [receives]: received }) }
  } finally {
    organization.watchers.delete(orders.hear)
    hub.exit(organization, null)
  }
}

/** Talks once and waits for the other side; `talked` is called in between. Rejects when the caller gives up. */
async function meet(
  bus: Bus,
  party: ConduitParty,
  payload: Buffer,
  orders: Orders,
  talked: () => void,
): Promise<{ status: 'ok'; payload: Buffer } | { status: Failure }> {
  orders.ignore(party.attempt)
  const said = await callInternal(bus, 'conduit_talk', { ...party, payload }, { signal: orders.signal })
  if (said.status !== 'ok') return said
  talked()
  const { peer } = said
  for (;;) {
    await orders.next()
    const listening = { ...party, peer: peer?.attempt ?? null }
    const heard = await callInternal(bus, 'conduit_listen', listening, { signal: orders.signal })
    if (heard.status === 'taken') return { status: 'ok', payload: peer!.payload }
    if (heard.status === 'ok') return { status: 'ok', payload: heard.payload }
    if (heard.status !== 'waiting') return { status: heard.status }
  }
}

/** Orders about one invitation that somebody waits for; one that comes while nobody does is kept. */
class Orders {
  readonly signal: AbortSignal
  readonly #token: Uuid
  #own: Uuid | undefined
  #heard = false
  #wake: (() => void) | undefined
  constructor(token: Uuid, signal: AbortSignal) {
    this.#token = token
    this.signal = signal
  }
  /** What this attempt does itself is no news. */
  ignore(attempt: Uuid): void {
    this.#own = attempt
  }
  readonly hear = (order: ControlEvent): void => {
    if (order.control !== 'invitation.deleted' && order.control !== 'invite.conduit_updated') return
    if (!order.token.equals(this.#token)) return
    if (order.control === 'invite.conduit_updated' && this.#own?.equals(order.attempt)) return
    this.#heard = true
    this.#wake?.()
  }
  /** Resolves with the next order, or after a while. Rejects when the signal aborts. */
  async next(): Promise<void> {
    const { signal } = this
    if (!this.#heard) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const wake = () => resolve()
      const timer = setTimeout(wake, EXCHANGE_POLL_MS)
      this.#wake = wake
      signal.addEventListener('abort', wake)
      if (signal.aborted) wake()
      await promise
      clearTimeout(timer)
      signal.removeEventListener('abort', wake)
      this.#wake = undefined
    }
    this.#heard = false
    signal.throwIfAborted()
  }
}
