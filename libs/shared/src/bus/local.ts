/**
 * The bus inside one process. It copies bytes that it is not given for good and delivers on a later turn of the event loop,
 * so that code which leans on shared memory or on synchronous delivery fails here too and not only on NATS.
 */
import { RemoteFailure, Unavailable } from '../errors.ts'
import { Answer, type Patience } from './answer.ts'
import {
  type Bus,
  bufferOf,
  type Caller,
  type Listener,
  MAX_REPLY_BYTES,
  type Parcel,
  type RequestOptions,
  type Server,
  type Subscription,
} from './bus.ts'
import { matches } from './subjects.ts'

/** No broker is in the way. */
const MAX_PAYLOAD = 64 * 1024 * 1024

type Serving = { pattern: string; queue: string; server: Server; inFlight: InFlight }
type Message = { serving: Serving; subject: string; payload: Buffer | Parcel; asked: Asked }
type Listening = { pattern: string; listener: Listener }

export class LocalBus implements Bus {
  readonly maxPayload: number
  readonly epoch = 0
  readonly isShared = false
  #serving: Serving[] = []
  #listening: Listening[] = []
  #bySubject = new Map<string, { servers: Serving[]; listeners: Listening[] }>()
  #open = true
  #turn = 0
  /** Requests of this turn of the event loop. */
  #asked: Message[] = []
  readonly #inFlight = new InFlight()

  constructor(maxPayload = MAX_PAYLOAD) {
    this.maxPayload = maxPayload
  }
  get connected(): boolean {
    return this.#open
  }

  request(
    subject: string,
    payload: Uint8Array | Parcel,
    { timeoutMs, signal, owned = false, traceparent }: RequestOptions,
  ): Promise<Buffer> {
    if (!this.#open) return Promise.reject(new Unavailable('the bus is closed'))
    if (payload.length > this.maxPayload)
      return Promise.reject(new RangeError(`message of ${payload.length} bytes on ${subject}`))
    if (signal?.aborted) return Promise.reject(signal.reason)
    const { servers } = this.#route(subject)
    if (servers.length === 0) return Promise.reject(new Unavailable(`nobody serves ${subject}`))
    const serving = servers[this.#turn++ % servers.length]!
    const asked = new Asked(subject, { timeoutMs, signal }, traceparent)
    if (this.#asked.length === 0) setImmediate(this.#deliver)
    this.#asked.push({ serving, subject, payload: ownOf(payload, owned), asked })
    return asked.promise
  }
  readonly #deliver = (): void => {
    const messages = this.#asked
    this.#asked = []
    for (const message of messages) if (!message.asked.isOver) void this.#answer(message)
  }
  async #answer({ serving, subject, payload, asked }: Message): Promise<void> {
    serving.inFlight.enter()
    this.#inFlight.enter()
    try {
      const { server } = serving
      const reply = await (Buffer.isBuffer(payload)
        ? server(payload, subject, undefined, asked)
        : server(NOTHING, subject, payload, asked))
      if (reply.length > MAX_REPLY_BYTES) throw new RangeError(`reply of ${reply.length} bytes on ${subject}`)
      asked.resolve(reply)
    } catch (error) {
      if (error instanceof Unavailable) asked.reject(new Unavailable(error.message))
      else asked.reject(new RemoteFailure(`${subject}: ${error instanceof Error ? error.message : String(error)}`))
    } finally {
      serving.inFlight.leave()
      this.#inFlight.leave()
    }
  }

  async serve(pattern: string, queue: string, server: Server): Promise<Subscription> {
    this.#refuseWhenClosed()
    const serving: Serving = { pattern, queue, server, inFlight: new InFlight() }
    this.#change(() => this.#serving.push(serving))
    return {
      close: async () => {
        this.#change(() => {
          this.#serving = this.#serving.filter(s => s !== serving)
        })
        await nextTurn()
        await serving.inFlight.empty()
      },
    }
  }

  publish(subject: string, payload: Uint8Array): void {
    this.#refuseWhenClosed()
    if (payload.length > this.maxPayload) throw new RangeError(`message of ${payload.length} bytes on ${subject}`)
    const { listeners } = this.#route(subject)
    if (listeners.length === 0) return
    const copies = listeners.map(listening => ({ listening, copy: Buffer.from(payload) }))
    setImmediate(() => {
      for (const { listening, copy } of copies) {
        if (this.#listening.includes(listening)) listening.listener(copy, subject)
      }
    })
  }

  isHeard(subject: string): boolean {
    return this.#route(subject).listeners.length > 0
  }
  isServed(subject: string): boolean {
    return this.#route(subject).servers.length > 0
  }
  async subscribe(pattern: string, listener: Listener): Promise<Subscription> {
    this.#refuseWhenClosed()
    const listening = { pattern, listener }
    this.#change(() => this.#listening.push(listening))
    return {
      close: async () =>
        this.#change(() => {
          this.#listening = this.#listening.filter(l => l !== listening)
        }),
    }
  }

  async flush(): Promise<void> {
    await nextTurn()
  }
  onStatus(): () => void {
    return () => {}
  }
  async drain(): Promise<void> {
    this.#open = false
    await nextTurn()
    await this.#inFlight.empty()
    this.#change(() => {
      this.#serving = []
      this.#listening = []
    })
  }

  #refuseWhenClosed(): void {
    if (!this.#open) throw new Unavailable('the bus is closed')
  }
  #change(change: () => void): void {
    change()
    this.#bySubject.clear()
  }
  /** Who gets a subject; remembered until somebody comes or goes. */
  #route(subject: string): { servers: Serving[]; listeners: Listening[] } {
    let route = this.#bySubject.get(subject)
    if (!route) {
      route = {
        servers: this.#serving.filter(s => matches(s.pattern, subject)),
        listeners: this.#listening.filter(l => matches(l.pattern, subject)),
      }
      this.#bySubject.set(subject, route)
    }
    return route
  }
}

/** A request, and to its server whoever waits for the answer. */
class Asked extends Answer implements Caller {
  onGone: (() => void) | undefined
  readonly traceparent: string | undefined
  constructor(subject: string, patience: Patience, traceparent: string | undefined) {
    super(subject, patience)
    this.traceparent = traceparent
  }
  protected override givenUp(): void {
    this.onGone?.()
  }
}

/** How many are in flight, and when none is any more. */
class InFlight {
  #count = 0
  #waiting: (() => void)[] = []
  enter(): void {
    this.#count++
  }
  leave(): void {
    if (--this.#count === 0) for (const resolve of this.#waiting.splice(0)) resolve()
  }
  empty(): Promise<void> {
    return new Promise(resolve => (this.#count === 0 ? resolve() : this.#waiting.push(resolve)))
  }
}

const NOTHING = Buffer.alloc(0)
/** What its server gets: a copy of bytes that their owner keeps. */
function ownOf(payload: Uint8Array | Parcel, owned: boolean): Buffer | Parcel {
  if (!(payload instanceof Uint8Array)) return payload
  return owned ? bufferOf(payload) : Buffer.from(payload)
}

const nextTurn = () => new Promise<void>(resolve => setImmediate(resolve))
