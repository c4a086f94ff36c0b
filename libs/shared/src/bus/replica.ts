/** A replica of a service on the bus: it says that it is there, and answers what only it can know. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { decodeOwn, type Encodable, encode } from '../codec/msgpack.ts'
import { DateTime } from '../codec/values.ts'
import { ROLL_EVERY_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ServiceName } from '../protocol/command.ts'
import type { ReplicaAnswers, ReplicaCard } from '../protocol/replica.ts'
import { serverVersion } from '../version.ts'
import type { Bus, Subscription } from './bus.ts'
import * as subjects from './subjects.ts'

/** `card`: that of a replica that is there, or goes. */
export type Presence = { card: ReplicaCard; isLeaving: boolean }

type AnyAnswer = { answer(request: unknown): object }['answer']

export class Replica {
  readonly card: ReplicaCard
  readonly #bus: Bus
  readonly #log: Log
  readonly #subscriptions: Subscription[] = []
  #timer: NodeJS.Timeout | undefined
  #stopHearing: (() => void) | undefined

  private constructor(bus: Bus, log: Log, service: ServiceName) {
    this.#bus = bus
    this.#log = log
    const replica = randomBytes(8).toString('hex')
    this.card = { service, replica, host: hostname(), version: serverVersion(), started_on: DateTime.now() }
  }

  /** Where the bus is away, it is presented as soon as that is back. Rejects when the broker does not permit it. */
  static async present(bus: Bus, log: Log, service: ServiceName, answers: ReplicaAnswers): Promise<Replica> {
    const replica = new Replica(bus, log, service)
    await replica.#begin(answers)
    return replica
  }
  async #begin(answers: ReplicaAnswers): Promise<void> {
    try {
      await this.#start(answers)
    } catch (error) {
      await this.#close()
      if (!(error instanceof Unavailable)) throw error
      const stop = this.#bus.onStatus(isConnected => {
        if (!isConnected) return
        stop()
        this.#begin(answers).catch(cause => this.#log.error('Presence not told', { error: cause }))
      })
      this.#stopHearing = stop
    }
  }
  async #start(answers: ReplicaAnswers): Promise<void> {
    const { service, replica } = this.card
    const byName = new Map(Object.entries<AnyAnswer>(answers as { [name: string]: AnyAnswer }))
    const serving = await this.#bus.serve(
      subjects.everyRequestTo(service, replica),
      replica,
      async (payload, subject) => {
        const answer = byName.get(subjects.nameOf(subject))
        if (!answer) throw new Unavailable(`${subject} is not answered by this release`)
        return encode(answer(decodeOwn(payload)) as Encodable)
      },
    )
    this.#subscriptions.push(serving)
    this.#subscriptions.push(await this.#bus.subscribe(subjects.rollCall, () => this.#say(false)))
    this.#stopHearing = this.#bus.onStatus(isConnected => {
      if (isConnected) this.#say(false)
    })
    this.#timer = setInterval(() => this.#say(false), ROLL_EVERY_MS).unref()
    this.#say(false)
  }

  /** Nobody asks it any more. */
  async leave(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopHearing?.()
    this.#say(true)
    await this.#close()
  }
  async #close(): Promise<void> {
    await Promise.allSettled(this.#subscriptions.splice(0).map(subscription => subscription.close()))
  }

  #say(isLeaving: boolean): void {
    const presence: Presence = { card: this.card, isLeaving }
    try {
      this.#bus.publish(subjects.roll(this.card.service), encode(presence))
    } catch (error) {
      // Said again when the bus is back.
      if (!(error instanceof Unavailable)) this.#log.error('Presence not told', { error })
    }
  }
}
