/**
 * The bus over NATS.
 *
 * The client library neither fails what is in flight when the connection breaks nor what is sent meanwhile, and an
 * exception in one of its callbacks stops its reader for good. So this driver keeps its own table of requests on one
 * inbox, rejects it on a disconnection, and lets nothing escape from a callback. Messages that one turn of the event
 * loop produces leave in one write; their bytes must not change before the turn ends.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  errors,
  headers,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type Status,
} from '@nats-io/transport-node'
import { Bag, type InBag } from '../bag.ts'
import {
  NATS_AWAY_MS,
  NATS_DIAL_MS,
  NATS_MAX_PINGS_OUT,
  NATS_PIECE_WAIT_MS,
  NATS_PING_INTERVAL_MS,
  NATS_RECONNECT_WAIT_MS,
  NATS_REJOIN_MS,
} from '../deadlines.ts'
import { RemoteFailure, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { Slots } from '../slots.ts'
import { type Ends, type Patience, RemoteAnswer } from './answer.ts'
import {
  type Bus,
  bufferOf,
  bytesOf,
  type Caller,
  type Listener,
  MAX_REPLY_BYTES,
  type Parcel,
  type RequestOptions,
  type Server,
  type Subscription,
} from './bus.ts'
import { Assembly, isPiece, isWhole, piecesOf } from './pieces.ts'

export type NatsOptions = {
  /** `nats://` or `tls://` addresses, separated by commas; credentials as `user:password@` or `token@` of the first. */
  url: string
  /** Credentials file of a NATS account; read again at each reconnection, so it can be renewed. */
  credsFile?: string
  tls?: { ca?: Buffer | string; cert?: Buffer | string; key?: Buffer | string }
  /** Shown by the broker's monitoring. */
  name: string
  /** What all subjects of a deployment begin with; another deployment on the same brokers has another one. */
  prefix?: string
  /** Part of the subjects of replies, so that the broker lets each service hear its own only. */
  inbox?: string
  log: Log
}

/**
 * Whether servers of a version notice a client that vanished without a word while others go on asking for it: older ones
 * take what they send it for a sign of its life, and give it its share of requests until TCP gives up, after minutes.
 */
export function noticesVanished(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number)
  return (major - 2 || minor - 9 || patch - 16) >= 0
}

/** What subjects begin with unless the operator says otherwise. */
export const DEFAULT_PREFIX = 'parsec'

/** Header of a reply that reports a failure; its payload is the text. */
const ERROR_HEADER = 'Parsec-Error'
/** Header of a request that is a part of a trace. */
const TRACE_HEADER = 'traceparent'
const MAX_ERROR_TEXT = 512
const NO_RESPONDERS = 503

type Outgoing = { subject: string; payload: Uint8Array; reply?: string; headers?: MsgHdrs; isReply: boolean }
type Serving = { close(): Promise<void> }

/** A request that a replica has got. `token`: the last one of the subject for its reply, which begins with its slot. */
class Asked extends RemoteAnswer {
  readonly subject: string
  slot = -1
  token = ''
  assembly: Assembly | undefined
  constructor(subject: string, patience: Patience, ends: Ends) {
    super(subject, patience, ends)
    this.subject = subject
  }
}

export class NatsBus implements Bus {
  readonly isShared = true
  readonly #nats: NatsConnection
  readonly #log: Log
  readonly #options: NatsOptions
  #lookAtReason: NodeJS.Timeout | undefined
  /** With its dot. */
  readonly #prefix: string
  /** What the subjects of all replies begin with, and those of ours. */
  readonly #inboxes: string
  readonly #inbox: string
  readonly #waiting = new Slots<Asked>()
  readonly #serving = new Set<Serving>()
  readonly #flushing = new Set<(error: Unavailable) => void>()
  readonly #statusListeners = new Set<(connected: boolean) => void>()
  #outgoing: Outgoing[] = []
  #requests = 0
  #maxPayload: number
  #connected = true
  /** Brokers of the cluster as ours sees it, and those that it has lost sight of. */
  #brokers = new Set<string>()
  readonly #brokersAway = new Set<string>()
  #epoch = 0
  #state: 'open' | 'draining' | 'closed' = 'open'
  #drained: Promise<void> | undefined

  /**
   * Connects once; afterwards the connection restores itself for as long as it takes. Throws `Unavailable` when nobody
   * answers within seconds, a plain `Error` with a text for the operator when address or credentials are wrong.
   */
  static async connect(options: NatsOptions): Promise<NatsBus> {
    const { servers } = parseUrl(options.url)
    let nats: NatsConnection
    try {
      nats = await dial(options)
      // The library forgets for good whoever did not answer at the first attempt.
      const known = nats.getServers().map(({ listen }) => listen)
      if (servers.some(server => !known.includes(server))) nats.setServers([...new Set([...known, ...servers])])
    } catch (error) {
      const text = `cannot connect to NATS at ${servers.join(', ')}: ${textOf(error)}`
      throw isRefusal(error) ? new Error(text, { cause: error }) : new Unavailable(text, { cause: error })
    }
    return new NatsBus(nats, options)
  }

  private constructor(nats: NatsConnection, options: NatsOptions) {
    const { log, prefix = DEFAULT_PREFIX, inbox = 'any' } = options
    this.#nats = nats
    this.#log = log
    this.#options = options
    this.#prefix = `${prefix}.`
    this.#inboxes = `${prefix}.inbox.`
    this.#inbox = `${this.#inboxes}${inbox}.${randomUUID().replaceAll('-', '')}.`
    this.#maxPayload = nats.info!.max_payload
    this.#lookAtBrokers()
    const { version } = nats.info!
    if (!noticesVanished(version)) log.warning('NATS server is too old to notice services that vanish', { version })
    nats.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error) this.#log.error('NATS refuses the inbox', { error })
        else this.#onReply(message)
      },
    })
    void this.#watch()
  }

  get maxPayload(): number {
    return this.#maxPayload
  }
  get epoch(): number {
    return this.#epoch
  }
  get connected(): boolean {
    return this.#connected && this.#state !== 'closed'
  }

  request(
    subject: string,
    payload: Uint8Array | Parcel,
    { timeoutMs, signal, traceparent }: RequestOptions,
  ): Promise<Buffer> {
    const refusal = this.#refusal() ?? this.#tooLarge(subject, payload.length)
    if (refusal) return Promise.reject(refusal)
    if (signal?.aborted) return Promise.reject(signal.reason)
    const asked: Asked = new Asked(
      subject,
      { timeoutMs, signal },
      {
        forget: () => this.#waiting.delete(asked.slot),
        tellGone: () => this.#tellServer(subject, GONE, asked.token),
      },
    )
    asked.slot = this.#waiting.add(asked)
    asked.token = `${asked.slot.toString(36)}_${(++this.#requests).toString(36)}`
    this.#send({
      subject: this.#prefix + subject,
      payload: bytesOf(payload),
      reply: this.#inbox + asked.token,
      isReply: false,
      ...(traceparent && { headers: traceHeader(traceparent) }),
    })
    return asked.promise
  }
  /** Whoever waits for a reply to the subject: a slot may have been given to another request since. */
  #askedBy(reply: string): Asked | undefined {
    const token = reply.slice(this.#inbox.length)
    const asked = this.#waiting.get(Number.parseInt(token, 36))
    return asked?.token === token ? asked : undefined
  }
  #onReply(message: Msg): void {
    const waiting = this.#askedBy(message.subject)
    // Nobody waits any more after a time-out or an abort.
    if (!waiting) return
    const head = message.headers
    const payload = bufferOf(message.data)
    if (!head) waiting.resolve(payload)
    else if (isPiece(head)) this.#onPiece(waiting, head, payload)
    else waiting.reject(failureOf(waiting.subject, head, payload.toString()))
  }
  #onPiece(waiting: Asked, head: MsgHdrs, payload: Buffer): void {
    waiting.assembly ??= new Assembly()
    const { token } = waiting
    try {
      const whole = waiting.assembly.add(head, payload)
      if (whole === 'more') this.#tellServer(waiting.subject, MORE, token)
      else if (whole) waiting.resolve(whole)
    } catch (error) {
      waiting.reject(new Unavailable(`${waiting.subject}: ${textOf(error)}`))
      this.#tellServer(waiting.subject, GONE, token)
    }
  }
  /** Every replica hears it; one of them knows the request. */
  #tellServer(subject: string, word: typeof GONE | typeof MORE, token: string): void {
    if (this.#refusal()) return
    const payload = Buffer.from(word + this.#inbox + token)
    this.#send({ subject: this.#prefix + callerSubject(subject), payload, isReply: false })
  }

  async serve(pattern: string, queue: string, server: Server): Promise<Subscription> {
    const inFlight = new InFlight()
    const take = (message: Msg) => {
      const { reply } = message
      // The broker lets a service answer wherever it is asked to: to events or requests in its own name, too.
      if (!reply?.startsWith(this.#inboxes)) {
        this.#log.warning('Request refused', { pattern, reason: 'its answer would go to no inbox' })
        return
      }
      const caller = inFlight.enter(reply, message.headers?.get(TRACE_HEADER) || undefined)
      void this.#answer(server, message, caller).finally(() => inFlight.leave(caller))
    }
    const words = await this.subscribe(callerSubject(pattern), word => inFlight.hear(word.toString()))
    const subscription = await this.#listen(pattern, queue, take).catch(async error => {
      await words.close()
      throw error
    })
    const serving: Serving = {
      close: async () => {
        this.#serving.delete(serving)
        await subscription.close()
        await inFlight.idle()
        await words.close()
      },
    }
    this.#serving.add(serving)
    return serving
  }
  async #answer(server: Server, message: Msg, caller: Answering): Promise<void> {
    const { reply } = message
    const subject = message.subject.slice(this.#prefix.length)
    try {
      const payload = await server(bufferOf(message.data), subject, undefined, caller)
      if (payload.length > MAX_REPLY_BYTES) throw new RangeError(`reply of ${payload.length} bytes on ${subject}`)
      if (isWhole(payload.length, this.#maxPayload)) this.#send({ subject: reply!, payload, isReply: true })
      else await this.#answerInPieces(reply!, payload, caller)
    } catch (error) {
      const head = headers()
      head.set(ERROR_HEADER, error instanceof Unavailable ? 'unavailable' : 'failure')
      this.#send({
        subject: reply!,
        payload: Buffer.from(textOf(error).slice(0, MAX_ERROR_TEXT)),
        headers: head,
        isReply: true,
      })
    }
  }

  async #answerInPieces(reply: string, payload: Buffer, caller: Answering): Promise<void> {
    for (const { isPause, ...piece } of piecesOf(payload, this.#maxPayload)) {
      this.#send({ subject: reply, ...piece, isReply: true })
      if (isPause && !(await caller.wantsMore())) return
    }
  }

  publish(subject: string, payload: Uint8Array): void {
    const refusal = this.#refusal() ?? this.#tooLarge(subject, payload.length)
    if (refusal) throw refusal
    this.#send({ subject: this.#prefix + subject, payload, isReply: false })
  }
  /** The broker does not tell who listens. */
  isHeard(): boolean {
    return true
  }
  subscribe(pattern: string, listener: Listener): Promise<Subscription> {
    return this.#listen(pattern, undefined, message =>
      listener(bufferOf(message.data), message.subject.slice(this.#prefix.length)),
    )
  }
  /** A subscription that the broker has confirmed. */
  async #listen(pattern: string, queue: string | undefined, onMessage: (message: Msg) => void): Promise<Subscription> {
    if (this.#state !== 'open') throw new Unavailable('the bus is closed')
    let refusal: Error | undefined
    const subscription = this.#nats.subscribe(this.#prefix + pattern, {
      ...(queue && { queue }),
      callback: (error, message) => {
        try {
          if (error) {
            refusal = error
            this.#log.error('NATS refuses a subscription', { pattern, error })
          } else onMessage(message)
        } catch (cause) {
          this.#log.error('Listener failed', { pattern, error: cause })
        }
      },
    })
    try {
      await this.flush()
    } catch (error) {
      subscription.unsubscribe()
      throw error
    }
    if (refusal) throw new Error(`NATS refuses a subscription to ${pattern}: ${refusal.message}`, { cause: refusal })
    return {
      close: async () => {
        if (subscription.isClosed()) return
        if (this.#connected && queue) await subscription.drain()
        else subscription.unsubscribe()
      },
    }
  }

  flush(): Promise<void> {
    const refusal = this.#refusal()
    if (refusal) return Promise.reject(refusal)
    this.#sendAll()
    return new Promise((resolve, reject) => {
      this.#flushing.add(reject)
      this.#nats
        .flush()
        .then(resolve, error => reject(new Unavailable(`NATS: ${textOf(error)}`)))
        .finally(() => this.#flushing.delete(reject))
    })
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
    this.#state = 'draining'
    // What was taken may itself ask and publish until it is answered.
    await Promise.all([...this.#serving].map(serving => serving.close()))
    if (this.#connected) await this.flush().catch(() => {})
    this.#state = 'closed'
    clearTimeout(this.#lookAtReason)
    this.#failAll(new Unavailable('the bus is closed'))
    await this.#nats.close()
  }

  #refusal(): Unavailable | undefined {
    if (this.#state === 'closed') return new Unavailable('the bus is closed')
    return this.#connected ? undefined : new Unavailable('connection to NATS lost')
  }
  #tooLarge(subject: string, size: number): RangeError | undefined {
    return size > this.#maxPayload ? new RangeError(`message of ${size} bytes on ${subject}`) : undefined
  }

  #send(message: Outgoing): void {
    // The first of a turn arranges for all of them: the more there is to do, the fewer writes per message.
    if (this.#outgoing.push(message) === 1) setImmediate(() => this.#sendAll())
  }
  #sendAll(): void {
    if (!this.#connected || this.#state === 'closed') return
    const messages = this.#outgoing
    if (messages.length === 0) return
    this.#outgoing = []
    for (const { subject, payload, reply, headers } of messages) {
      try {
        this.#nats.publish(subject, payload, { ...(reply && { reply }), ...(headers && { headers }) })
      } catch (error) {
        const waiting = reply && this.#askedBy(reply)
        if (waiting) waiting.reject(error)
        else this.#log.error('NATS refuses a message', { subject, error })
      }
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) this.#onConnection(status)
    if (this.#state === 'closed') return
    this.#log.critical('NATS connection given up')
    this.#onLost()
  }
  #onConnection(status: Status): void {
    if (status.type === 'disconnect') this.#onLost()
    else if (status.type === 'reconnect') void this.#onFound()
    else if (status.type === 'update') this.#onBrokers()
    else if (status.type === 'error') this.#onError(status.error)
  }
  /** Told by our broker whenever one comes into its sight or goes out of it. */
  #onBrokers(): void {
    if (!this.#connected || this.#state === 'closed' || !this.#lookAtBrokers()) return
    setTimeout(() => this.#onRejoined(), NATS_REJOIN_MS).unref()
  }
  /** Whether one is in sight again that was not for a while. */
  #lookAtBrokers(): boolean {
    const now = new Set(this.#nats.info?.connect_urls)
    for (const broker of this.#brokers) if (!now.has(broker)) this.#brokersAway.add(broker)
    this.#brokers = now
    return [...now].map(broker => this.#brokersAway.delete(broker)).includes(true)
  }
  /** The cluster was divided: what was published in the other part was never heard here, nor what we said there. */
  #onRejoined(): void {
    if (!this.#connected || this.#state === 'closed') return
    this.#epoch++
    this.#log.warning('NATS servers were divided, events may be missing')
    this.#tell(false)
    this.#tell(true)
  }
  #onLost(): void {
    if (!this.#connected) return
    this.#connected = false
    this.#epoch++
    this.#log.warning('NATS connection lost')
    // Replies stay: who waits for one may be connected elsewhere. They are never more than what was being served.
    this.#outgoing = this.#outgoing.filter(message => message.isReply)
    this.#failAll(new Unavailable('connection to NATS lost'))
    this.#lookForReason()
    this.#tell(false)
  }
  /** The library tries without end, and does not say what keeps it from succeeding. */
  #lookForReason(): void {
    clearTimeout(this.#lookAtReason)
    this.#lookAtReason = setTimeout(async () => {
      const isAway = () => !this.#connected && this.#state === 'open'
      if (!isAway()) return
      try {
        await (await dialOnce(this.#options)).close()
      } catch (error) {
        if (isAway()) this.#log.warning('NATS is away', { reason: textOf(error) })
      }
      if (isAway()) this.#lookForReason()
    }, NATS_AWAY_MS).unref()
  }
  /** Found again is what the broker has confirmed: from then on it has our subscriptions. */
  async #onFound(): Promise<void> {
    try {
      await this.#nats.flush()
    } catch {
      // Lost once more; the next reconnection comes here too.
      return
    }
    if (this.#connected || this.#state === 'closed') return
    this.#connected = true
    clearTimeout(this.#lookAtReason)
    // Another broker may see others.
    this.#brokersAway.clear()
    this.#lookAtBrokers()
    this.#maxPayload = this.#nats.info?.max_payload ?? this.#maxPayload
    this.#log.info('NATS connection restored')
    this.#sendAll()
    this.#tell(true)
  }
  #onError(error: Error): void {
    this.#log.error('NATS error', { error })
    if (!(error instanceof errors.PermissionViolationError) || error.operation !== 'publish') return
    for (const waiting of this.#waiting.all()) {
      if (this.#prefix + waiting.subject === error.subject)
        waiting.reject(new Unavailable(`NATS refuses messages on ${error.subject}`))
    }
  }
  #failAll(error: Unavailable): void {
    for (const waiting of this.#waiting.all()) waiting.reject(error)
    for (const reject of this.#flushing) reject(error)
  }
  #tell(connected: boolean): void {
    for (const listener of [...this.#statusListeners]) {
      try {
        listener(connected)
      } catch (error) {
        this.#log.error('Listener failed', { error })
      }
    }
  }
}

/** How a connection is made, which logs nothing. */
type Dial = Omit<NatsOptions, 'log'>
function dial(options: Dial, more: ConnectionOptions = {}): Promise<NatsConnection> {
  const { servers, ...credentials } = parseUrl(options.url)
  return connect({ ...connectionOptions(options), servers, ...credentials, ...more })
}
/** A connection that is not restored when it is lost. */
export const dialOnce = (options: Dial): Promise<NatsConnection> =>
  dial(options, { reconnect: false, ignoreAuthErrorAbort: false })

/** Whether the broker is there and does not want these credentials, or they cannot be read. */
const isRefusal = (error: unknown): boolean =>
  error instanceof errors.AuthorizationError ||
  error instanceof errors.UserAuthenticationExpiredError ||
  (error instanceof Error && 'syscall' in error && error.syscall === 'open')

function failureOf(subject: string, head: MsgHdrs, text: string): Unavailable | RemoteFailure {
  if (head.code === NO_RESPONDERS) return new Unavailable(`nobody serves ${subject}`)
  if (head.get(ERROR_HEADER) === 'unavailable') return new Unavailable(text)
  return new RemoteFailure(`${subject}: ${text || head.status}`)
}

function traceHeader(traceparent: string): MsgHdrs {
  const head = headers()
  head.set(TRACE_HEADER, traceparent)
  return head
}

/** Where callers tell the server of a subject, or of all subjects of a pattern, what becomes of their requests. */
const callerSubject = (subject: string): string => `${subject}.caller`
const GONE = '-'
const MORE = '+'

/** A request that is being answered. */
class Answering implements Caller, InBag {
  place = -1
  readonly reply: string
  onGone: (() => void) | undefined
  readonly traceparent: string | undefined
  #isGone = false
  #onWord: ((more: boolean) => void) | undefined
  constructor(reply: string, traceparent: string | undefined) {
    this.reply = reply
    this.traceparent = traceparent
  }
  gone(): void {
    this.#isGone = true
    this.onGone?.()
    this.#onWord?.(false)
  }
  more(): void {
    this.#onWord?.(true)
  }
  /** Whether the caller asks for more pieces of its answer, before it leaves or falls silent. */
  wantsMore(): Promise<boolean> {
    if (this.#isGone) return Promise.resolve(false)
    return new Promise(resolve => {
      const timer = setTimeout(resolve, NATS_PIECE_WAIT_MS, false)
      this.#onWord = more => {
        clearTimeout(timer)
        this.#onWord = undefined
        resolve(more)
      }
    })
  }
}

/** The requests that are being answered; the library's own drain does not wait for asynchronous work. */
class InFlight {
  readonly #callers = new Bag<Answering>()
  #whenIdle: (() => void)[] = []
  enter(reply: string, traceparent: string | undefined): Answering {
    const caller = new Answering(reply, traceparent)
    this.#callers.add(caller)
    return caller
  }
  leave(caller: Answering): void {
    this.#callers.delete(caller)
    if (this.#callers.size > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }
  hear(word: string): void {
    const subject = word.slice(1)
    const caller = this.#callers.all().find(({ reply }) => reply === subject)
    if (word.startsWith(MORE)) caller?.more()
    else caller?.gone()
  }
  idle(): Promise<void> {
    return this.#callers.size === 0 ? Promise.resolve() : new Promise(resolve => this.#whenIdle.push(resolve))
  }
}

function connectionOptions({ credsFile, tls, name, url }: Dial): ConnectionOptions {
  const text = (pem: Buffer | string) => pem.toString()
  // Required as soon as the operator speaks of it: a broker without TLS is then refused, not used in clear.
  const secure = tls || /^tls:/i.test(url.trim())
  return {
    name,
    timeout: NATS_DIAL_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: NATS_RECONNECT_WAIT_MS,
    // Credentials that are refused may be accepted again once they are renewed.
    ignoreAuthErrorAbort: true,
    pingInterval: NATS_PING_INTERVAL_MS,
    maxPingOut: NATS_MAX_PINGS_OUT,
    noAsyncTraces: true,
    ...(credsFile && { authenticator: nonce => credsAuthenticator(readFileSync(credsFile))(nonce) }),
    ...(secure && {
      tls: {
        ...(tls?.ca && { ca: text(tls.ca) }),
        ...(tls?.cert && { cert: text(tls.cert) }),
        ...(tls?.key && { key: text(tls.key) }),
      },
    }),
  }
}

/** Hosts and credentials of `--nats-url`. The errors never repeat it, for it may hold a password. */
export function parseUrl(url: string): { servers: string[]; user?: string; pass?: string; token?: string } {
  const parsed = url.split(',').map(part => {
    const address = URL.parse(part.trim())
    if (!address || !['nats:', 'tls:'].includes(address.protocol) || address.hostname === '') {
      throw new Error('the NATS URL must look like nats://[user:password@]host[:port]')
    }
    return address
  })
  const { username, password } = parsed[0]!
  return {
    servers: parsed.map(address => `${address.hostname}:${address.port || 4222}`),
    ...(username &&
      (password
        ? { user: decodeURIComponent(username), pass: decodeURIComponent(password) }
        : { token: decodeURIComponent(username) })),
  }
}

/** The library hands out views on memory that it does not use again. */

const textOf = (error: unknown): string => (error instanceof Error ? error.message || error.name : String(error))
