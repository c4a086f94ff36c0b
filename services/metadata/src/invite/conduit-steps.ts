/**
 * The state machine of an exchange between greeter and claimer (spec 04 §6), without any storage.
 *
 * A side talks, then listens until the other has talked too. Whoever talked first takes what the other sent and moves the
 * conduit on; whoever talked second is answered only once that has happened, so nothing of a dead connection is ever
 * handed out. Each talk is an attempt with an id of its own: slots are compared by it, not by their payload.
 */
import type { Uuid } from '@parsec/shared/codec/values'
import { CONDUIT_STATES, type ConduitSide, type ConduitState } from '@parsec/shared/protocol/invite'

/** What a side has sent and the other has not taken yet. */
export type Slot = { attempt: Uuid; payload: Buffer }
export type Conduit = { state: ConduitState } & {
  [Side in ConduitSide as `${Side}_slot`]: Slot | null
} & {
  /** The newest attempt of the side that was taken by the other. */
  [Side in ConduitSide as `${Side}_taken`]: Uuid | null
}

export const newConduit = (): Conduit => ({
  state: '1_WAIT_PEERS',
  greeter_slot: null,
  claimer_slot: null,
  greeter_taken: null,
  claimer_taken: null,
})

const otherSide = (side: ConduitSide): ConduitSide => (side === 'greeter' ? 'claimer' : 'greeter')

/** The last state follows itself: that step may be repeated for ever. */
export const successor = (state: ConduitState): ConduitState =>
  CONDUIT_STATES[Math.min(CONDUIT_STATES.indexOf(state) + 1, CONDUIT_STATES.length - 1)]!

/** Sends `slot` for the step `state`. `peer` is what the other side had already sent. */
export function talk(
  conduit: Conduit,
  side: ConduitSide,
  state: ConduitState,
  slot: Slot,
): { status: 'ok'; conduit: Conduit; peer: Slot | null } | { status: 'invalid_state' } {
  let current = conduit
  if (current.state !== state || current[`${side}_slot`] !== null) {
    // Only the first step may start again, which sends away whoever else waits.
    if (state !== '1_WAIT_PEERS') return { status: 'invalid_state' }
    current = { ...current, state, greeter_slot: null, claimer_slot: null }
  }
  return { status: 'ok', conduit: { ...current, [`${side}_slot`]: slot }, peer: current[`${otherSide(side)}_slot`] }
}

/**
 * Looks whether `attempt`, which met `peer` (null: nobody) when it talked, is through. `taken`: the other side has it, so
 * it succeeded for good, whatever happened since. `conduit` is there when it moves on.
 */
export function listen(
  conduit: Conduit,
  side: ConduitSide,
  state: ConduitState,
  attempt: Uuid,
  peer: Uuid | null,
): { status: 'taken' | 'waiting' | 'invalid_state' } | { status: 'ok'; conduit: Conduit; payload: Buffer } {
  const other = otherSide(side)
  if (peer !== null && conduit[`${side}_taken`]?.equals(attempt)) return { status: 'taken' }
  const [own, theirs] = [conduit[`${side}_slot`], conduit[`${other}_slot`]]
  if (conduit.state !== state || !own?.attempt.equals(attempt)) return { status: 'invalid_state' }
  if (peer !== null) return { status: theirs?.attempt.equals(peer) ? 'waiting' : 'invalid_state' }
  if (!theirs) return { status: 'waiting' }
  return {
    status: 'ok',
    payload: theirs.payload,
    conduit: {
      ...conduit,
      state: successor(state),
      greeter_slot: null,
      claimer_slot: null,
      [`${other}_taken`]: theirs.attempt,
    },
  }
}
