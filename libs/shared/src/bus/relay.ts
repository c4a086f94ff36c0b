/**
 * The bus among the workers of one server (ADR 27). What a worker asks it answers itself, over the bus inside its
 * process; events cross to the others, and so do requests that only another one serves.
 *
 * Each worker knows what the others listen to and serve, so that nothing is sent, or even made, that nobody hears. A
 * subscription is active when all others know of it.
 */
import type { Duplex } from 'node:stream'
import { Cancel } from '../cancellation.ts'
import { RELAY_ANSWER_MS } from '../deadlines.ts'
import { RemoteFailure, Unavailable } from '../errors.ts'
import { type Ends, type Patience, RemoteAnswer } from './answer.ts'
import {
  type Bus,
  bytesOf,
  type Listener,
  type Parcel,
  type RequestOptions,
  type Server,
  type Subscription,
} from './bus.ts'
import { LocalBus } from './local.ts'
import { Patterns } from './patterns.ts'
import { FRAME, type Frame, type FrameKind, frame, Link } from './relay-link.ts'

type Peer = { listening: Patterns; serving: Patterns }
type Kind = 'listen' | 'serve'

const NOBODY_WAITS = new Unavailable('nobody waits any more')

/** A request that another worker has got. */
class Asked extends RemoteAnswer {
  readonly peer: number
  constructor(subject: string, patience: Patience, peer: number, ends: Ends) {
    super(subject, patience, ends)
    this.peer = peer
  }
}

export class RelayBus implements Bus {
  /** Those who are on it have the same settings as this process. */
  readonly isShared = false
  readonly #local: LocalBus
  readonly #link: Link
  readonly #peers = new Map<number, Peer>()
  readonly #own = { listen: new Patterns(), serve: new Patterns() }
  readonly #waiting = new Map<number, Asked>()
  readonly #flushing = new Map<number, { resolve(): void; reject(error: Unavailable): void }>()
  /** What others have asked, to be given up when they are no more. */
  readonly #answering = new Map<string, { peer: number; given: Cancel }>()
  readonly #statusListeners = new Set<(connected: boolean) => void>()
  readonly #welcome = Promise.withResolvers<void>()
  #lastId = 0
  #lastTurn = 0
  #isLost = false
  #drained: Promise<void> | undefined

  /** Resolves when it knows the others. `stream` leads to the hub; when it ends, the bus is lost for good. */
  static async open(stream: Duplex, maxPayload?: number): Promise<RelayBus> {
    const bus = new RelayBus(stream, maxPayload)
    await bus.#inTime(bus.#welcome.promise)
    return bus
  }
  private constructor(stream: Duplex, maxPayload?: number) {
    this.#local = new LocalBus(maxPayload)
    this.#link = new Link(
      stream,
      received => this.#heard(received),
      () => this.#lose(),
    )
    this.#link.send(frame(FRAME.hello))
  }

  get maxPayload(): number {
    return this.#local.maxPayload
  }
  get connected(): boolean {
    return this.#local.connected && !this.#isLost
  }
  get epoch(): number {
    return this.#isLost ? 1 : 0
  }

  request(subject: string, payload: Uint8Array | Parcel, options: RequestOptions): Promise<Buffer> {
    if (this.#local.isServed(subject)) return this.#local.request(subject, payload, options)
    const serving = [...this.#peers].filter(([, peer]) => peer.serving.has(subject))
    // Refused there, when nobody serves it or it could not be asked anyway.
    if (serving.length === 0 || !this.connected) return this.#local.request(subject, payload, options)
    return this.#ask(serving[this.#lastTurn++ % serving.length]![0], subject, payload, options)
  }
  #ask(
    peer: number,
    subject: string,
    payload: Uint8Array | Parcel,
    { timeoutMs, signal }: RequestOptions,
  ): Promise<Buffer> {
    if (payload.length > this.maxPayload)
      return Promise.reject(new RangeError(`message of ${payload.length} bytes on ${subject}`))
    if (signal?.aborted) return Promise.reject(signal.reason)
    const id = this.#nextId()
    const asked = new Asked(subject, { timeoutMs, signal }, peer, {
      forget: () => this.#waiting.delete(id),
      tellGone: () => this.#link.send(frame(FRAME.gone, { peer, id })),
    })
    this.#waiting.set(id, asked)
    this.#link.send(frame(FRAME.request, { peer, id, timeoutMs, subject, payload: bytesOf(payload) }))
    return asked.promise
  }
  /** Asked by another worker. */
  async #answer({ peer, id, timeoutMs, subject, payload }: Frame): Promise<void> {
    const given = new Cancel()
    const key = `${peer} ${id}`
    this.#answering.set(key, { peer, given })
    const reply = (kind: FrameKind, bytes: Uint8Array) => this.#link.send(frame(kind, { peer, id, payload: bytes }))
    try {
      reply(FRAME.reply, await this.#local.request(subject, payload, { timeoutMs, signal: given }))
    } catch (error) {
      const kind = error instanceof RemoteFailure ? FRAME.failed : FRAME.unavailable
      reply(kind, Buffer.from(error instanceof Error ? error.message : String(error)))
    } finally {
      this.#answering.delete(key)
    }
  }

  async serve(pattern: string, queue: string, server: Server): Promise<Subscription> {
    const subscription = await this.#local.serve(pattern, queue, server)
    return this.#announce('serve', pattern, subscription)
  }
  publish(subject: string, payload: Uint8Array): void {
    if (this.#isLost) throw new Unavailable('the other workers are lost')
    this.#local.publish(subject, payload)
    if (this.#isHeardElsewhere(subject)) this.#link.send(frame(FRAME.event, { subject, payload }))
  }
  isHeard(subject: string): boolean {
    return this.#local.isHeard(subject) || this.#isHeardElsewhere(subject)
  }
  async subscribe(pattern: string, listener: Listener): Promise<Subscription> {
    const subscription = await this.#local.subscribe(pattern, listener)
    return this.#announce('listen', pattern, subscription)
  }
  /** Tells the others of a pattern, for as long as it has a subscription. */
  async #announce(kind: Kind, pattern: string, subscription: Subscription): Promise<Subscription> {
    const own = this.#own[kind]
    if (own.add(pattern)) this.#link.send(frame(FRAME[kind], { subject: pattern }))
    let isOpen = true
    const close = async () => {
      if (isOpen && own.remove(pattern)) this.#link.send(frame(FRAME[`un${kind}`], { subject: pattern }))
      isOpen = false
      await subscription.close()
    }
    try {
      await this.flush()
    } catch (error) {
      await close()
      throw error
    }
    return { close }
  }

  /** Resolves when all other workers have told their listeners. */
  async flush(): Promise<void> {
    if (!this.#local.connected) throw new Unavailable('the bus is closed')
    await Promise.all([this.#local.flush(), this.#flushOthers()])
  }
  async #flushOthers(): Promise<void> {
    if (this.#isLost) throw new Unavailable('the other workers are lost')
    const id = this.#nextId()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#flushing.set(id, { resolve, reject })
    this.#link.send(frame(FRAME.flush, { id }))
    await this.#inTime(promise).finally(() => this.#flushing.delete(id))
  }
  async #inTime(promise: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Unavailable(`the other workers did not answer within ${RELAY_ANSWER_MS} ms`)),
        RELAY_ANSWER_MS,
      )
    })
    await Promise.race([promise, late]).finally(() => clearTimeout(timer))
  }

  onStatus(listener: (connected: boolean) => void): () => void {
    this.#statusListeners.add(listener)
    return () => this.#statusListeners.delete(listener)
  }
  drain(): Promise<void> {
    this.#drained ??= this.#close()
    return this.#drained
  }
  async #close(): Promise<void> {
    for (const kind of ['listen', 'serve'] as const)
      for (const subject of this.#own[kind]) this.#link.send(frame(FRAME[`un${kind}`], { subject }))
    if (!this.#isLost) await this.#flushOthers().catch(() => {})
    await this.#local.drain()
    this.#failAll(new Unavailable('the bus is closed'))
    this.#link.close()
  }

  #heard(received: Frame & { payload: Buffer }): void {
    const { kind, peer, id, subject, payload } = received
    switch (kind) {
      case FRAME.listen:
        return void this.#peer(peer).listening.add(subject)
      case FRAME.unlisten:
        return void this.#peer(peer).listening.remove(subject)
      case FRAME.serve:
        return void this.#peer(peer).serving.add(subject)
      case FRAME.unserve:
        return void this.#peer(peer).serving.remove(subject)
      case FRAME.event:
        if (this.#local.connected) this.#local.publish(subject, payload)
        return
      case FRAME.flush:
        return void this.#local.flush().then(() => this.#link.send(frame(FRAME.flushed, { id })))
      case FRAME.flushed:
        return this.#flushing.get(id)?.resolve()
      case FRAME.request:
        return void this.#answer(received)
      case FRAME.reply:
        // The bytes that came with it go; a reply belongs to its receiver.
        return this.#waiting.get(id)?.resolve(Buffer.from(payload))
      case FRAME.unavailable:
        return this.#waiting.get(id)?.reject(new Unavailable(payload.toString()))
      case FRAME.failed:
        return this.#waiting.get(id)?.reject(new RemoteFailure(payload.toString()))
      case FRAME.gone:
        return this.#answering.get(`${peer} ${id}`)?.given.cancel(NOBODY_WAITS)
      case FRAME.welcome:
        return this.#welcome.resolve()
      case FRAME.left:
        return this.#forget(peer)
    }
  }
  #forget(gone: number): void {
    this.#peers.delete(gone)
    for (const asked of [...this.#waiting.values()])
      if (asked.peer === gone) asked.reject(new Unavailable('the worker that was asked has gone'))
    for (const { peer, given } of this.#answering.values()) if (peer === gone) given.cancel(NOBODY_WAITS)
  }
  #lose(): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#peers.clear()
    const lost = new Unavailable('the other workers are lost')
    this.#welcome.reject(lost)
    this.#failAll(lost)
    for (const { given } of this.#answering.values()) given.cancel(NOBODY_WAITS)
    for (const listener of this.#statusListeners) listener(false)
  }
  #failAll(error: Unavailable): void {
    for (const waiting of [...this.#waiting.values(), ...this.#flushing.values()]) waiting.reject(error)
  }

  #peer(number: number): Peer {
    let peer = this.#peers.get(number)
    if (!peer) {
      peer = { listening: new Patterns(), serving: new Patterns() }
      this.#peers.set(number, peer)
    }
    return peer
  }
  #isHeardElsewhere(subject: string): boolean {
    for (const { listening } of this.#peers.values()) if (listening.has(subject)) return true
    return false
  }
  #nextId(): number {
    this.#lastId = (this.#lastId + 1) >>> 0
    return this.#lastId
  }
}
