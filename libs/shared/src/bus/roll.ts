/** Which replicas there are on the bus, and questions that all of them are asked. */
import { decodeOwn, encode } from '../codec/msgpack.ts'
import { REPLICA_DEADLINE_MS, ROLL_LEASE_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log } from '../log.ts'
import type { ServiceName } from '../protocol/command.ts'
import type { ReplicaCard, ReplicaReply, ReplicaRequest, ReplicaRequestName } from '../protocol/replica.ts'
import type { Bus, Subscription } from './bus.ts'
import type { Presence } from './replica.ts'
import * as subjects from './subjects.ts'

export const PERMISSIONS_HINT = 'give this service the permissions of k8s/manifests/nats.conf'

/** Who answered what, and who is known but did not answer. */
export type Gathered<N extends ReplicaRequestName> = {
  answers: { card: ReplicaCard; reply: ReplicaReply<N> }[]
  unanswered: ReplicaCard[]
}

export class Roll {
  readonly #bus: Bus
  readonly #log: Log
  readonly #known = new Map<string, { card: ReplicaCard; heardAt: number }>()
  #subscription: Subscription | undefined
  #stopHearing: (() => void) | undefined
  /** Why nobody can be heard. */
  #refusal: string | undefined

  private constructor(bus: Bus, log: Log) {
    this.#bus = bus
    this.#log = log
  }
  static async open(bus: Bus, log: Log): Promise<Roll> {
    const roll = new Roll(bus, log)
    try {
      roll.#subscription = await bus.subscribe(subjects.everyRoll, (payload, subject) => roll.#hear(payload, subject))
    } catch (error) {
      // The permissions of an earlier release: all that needs no other replica works.
      if (error instanceof Unavailable) throw error
      roll.#refusal = (error as Error).message
      log.warning('Replicas cannot be asked', { reason: roll.#refusal, hint: PERMISSIONS_HINT })
      return roll
    }
    roll.#stopHearing = bus.onStatus(isConnected => {
      if (isConnected) roll.#call()
    })
    roll.#call()
    return roll
  }
  async close(): Promise<void> {
    this.#stopHearing?.()
    await this.#subscription?.close()
  }

  /** Those of a service, or all. */
  present(service?: ServiceName): ReplicaCard[] {
    const now = performance.now()
    for (const [replica, { heardAt }] of this.#known) if (now - heardAt > ROLL_LEASE_MS) this.#known.delete(replica)
    return [...this.#known.values()].map(({ card }) => card).filter(card => !service || card.service === service)
  }

  /** Asks all replicas of a service, or all that there are, at once; those that do not answer in time are named. */
  async ask<N extends ReplicaRequestName>(
    name: N,
    request: ReplicaRequest<N>,
    service?: ServiceName,
  ): Promise<Gathered<N>> {
    if (this.#refusal !== undefined) throw new Unavailable(this.#refusal)
    const gathered: Gathered<N> = { answers: [], unanswered: [] }
    const payload = encode(request)
    const outcomes = await Promise.allSettled(
      this.present(service).map(async card => {
        try {
          const subject = subjects.requestTo(card.service, card.replica, name)
          const reply = await this.#bus.request(subject, payload, { timeoutMs: REPLICA_DEADLINE_MS })
          gathered.answers.push({ card, reply: decodeOwn(reply) })
        } catch (error) {
          gathered.unanswered.push(card)
          if (!(error instanceof Unavailable)) throw error
        }
      }),
    )
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') this.#log.error('Replica failed', { request: name, error: outcome.reason })
    return gathered
  }

  #call(): void {
    try {
      this.#bus.publish(subjects.rollCall, Buffer.alloc(0))
    } catch (error) {
      // Called again when the bus is back.
      if (!(error instanceof Unavailable)) throw error
    }
  }
  #hear(payload: Buffer, subject: string): void {
    if (subject === subjects.rollCall) return
    const { card, isLeaving } = decodeOwn<Presence>(payload)
    // The broker lets a service speak for itself only.
    if (subject !== subjects.roll(card.service)) return
    if (isLeaving) this.#known.delete(card.replica)
    else if (this.#known.has(card.replica) || this.#known.size < limits.replicas.value)
      this.#known.set(card.replica, { card, heardAt: performance.now() })
  }
}
