/**
 * One WebSocket: a handshake, then commands strictly one at a time, answered in order (spec 01 §6, §9).
 *
 * A state machine: `docs/connection.md` has the table of its states and of what leads from one to another. There may be
 * many thousands, most of them idle: no timers, closures or decoded contexts are kept for an idle one.
 */
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { type Alarm, idleAlarms } from '@parsec/shared/alarms'
import type { InBag } from '@parsec/shared/bag'
import type { Bus } from '@parsec/shared/bus/bus'
import { decodeContext, type EncodedContext, encodeContext } from '@parsec/shared/bus/envelope'
import { maxClientMessage } from '@parsec/shared/bus/rpc'
import { Cancel } from '@parsec/shared/cancellation'
import { parse } from '@parsec/shared/codec/fields'
import { encode, type Value } from '@parsec/shared/codec/msgpack'
import { DateTime } from '@parsec/shared/codec/values'
import { logEnd } from '@parsec/shared/cuts'
import { HANDSHAKE_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import type { InFlight } from '@parsec/shared/http/in-flight'
import { limits } from '@parsec/shared/limits'
import type { Log, LogKeys } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import type { Asked, CommandSpec } from '@parsec/shared/protocol/command'
import type { Context } from '@parsec/shared/protocol/context'
import { challengeMessage, RESULT_OK, resultMessage } from '@parsec/shared/protocol/handshake'
import type { ConnectionFacts, ConnectionKind } from '@parsec/shared/protocol/replica'
import type { OrganizationID, UserID } from '@parsec/shared/protocol/types'
import { formatVersion } from '@parsec/shared/protocol/versions'
import { traced } from '@parsec/shared/tracing'
import type { Activity } from '../activity.ts'
import type { EventHub } from '../events/hub.ts'
import { EventQueue } from '../events/queue.ts'
import type { Peer } from '../events/session.ts'
import { GONE, LATER, LocalCall, type LocalCaller, type LocalCommands, type LocalReply } from '../local-command.ts'
import { CLOSE_NORMAL, CLOSE_TOO_MANY, CLOSE_UNAVAILABLE, type ClientSocket, type Owner } from './client-socket.ts'
import {
  beginning,
  type Forwarder,
  fieldsAtFault,
  GENERIC_REPLIES,
  isSequestered,
  readMessage,
  statusOf,
  toTenths,
} from './forward.ts'
import { type Accepted, type Challenges, type Judge, type Judgement, judgeAnswer, TEXT_ANSWER } from './handshake.ts'
import type { Seen } from './seen.ts'
import type { Writes } from './writes.ts'

/** What all connections of a gateway share. */
export type Surroundings = {
  readonly bus: Bus
  readonly hub: EventHub
  readonly log: Log
  readonly judge: Judge
  readonly challenges: Challenges
  readonly forwarder: Forwarder
  readonly local: LocalCommands
  readonly metrics: Metrics
  readonly activity: Activity
  readonly seen: Seen
  readonly inFlight: InFlight
  readonly writes: Writes
  /** Told once per connection: when its client is known, and when its socket is gone. */
  readonly known: (connection: Connection) => void
  readonly gone: (connection: Connection) => void
}

type State =
  /** The challenge is sent; the next message is the answer to it. */
  | 'greeted'
  /** The answer is being judged. */
  | 'judged'
  /** The client is known, and may ask. */
  | 'idle'
  /** A command is worked on. */
  | 'working'
  /** A command waits for somebody else; the next message cancels it. */
  | 'waiting'
  /** A command is answered, but its client does not read quickly enough. */
  | 'sending'
  /** All that is left is a socket that closes. */
  | 'ended'

/** Until the client is known. */
type Handshake = { challenge: Buffer; tooLate: Alarm; release: Context['release'] }
/** From then on. */
type Client = Pick<Accepted, 'organization' | 'session' | 'claimer'> & {
  readonly context: EncodedContext
  readonly kind: Context['kind']
  readonly major: number
  readonly isSequestered: boolean
  /** The key of an authenticated device. */
  readonly device: number | undefined
}
/** In progress; `call` when it is one that the gateway itself works on and that takes its time. */
type Command = {
  readonly cmd: string
  /** Of its message. */
  readonly bytes: number
  readonly startedAt: number
  call: LocalCall | undefined
}

export class Connection implements Peer, LocalCaller, Owner, InBag {
  place = -1
  readonly conn_id = randomUUID().replaceAll('-', '')
  /** Address of the peer while its handshake counts as half-open. */
  address: string | undefined
  /** … and for as long as it is there. */
  readonly #peer: string
  /** Microseconds since 1970, by a clock that is never set back. */
  readonly #since = Math.round((performance.timeOrigin + performance.now()) * 1000)
  /** With keys that tell who it is. */
  #log: Log
  readonly #shared: Surroundings
  readonly #socket: ClientSocket
  #state: State = 'greeted'
  #handshake: Handshake | undefined
  #client: Client | undefined
  #command: Command | undefined
  /** Tells the services that work for the client that it has gone. An idle connection has none. */
  #gone: Cancel | undefined
  /** How the connection ends after the command in progress, or the verdict. */
  #leaving: Farewell | undefined
  /** Messages that came while they could not be taken up; null is a text message. */
  #pending: (Buffer | null)[] | undefined
  /** No further message is taken up in this turn of the event loop. */
  #hadItsTurn = false
  readonly #events: EventQueue

  /** Greets the client; from here on the connection lives by itself. */
  constructor(shared: Surroundings, socket: ClientSocket, raw: Socket, address: string, release: Context['release']) {
    this.#shared = shared
    this.#events = new EventQueue(shared.hub.queuedBytes)
    this.#socket = socket
    this.address = address
    this.#peer = address
    this.#log = shared.log.child({ conn_id: this.conn_id })
    socket.belongTo(this, raw, shared.inFlight, shared.writes)
    const challenge = shared.challenges.next()
    const tooLate = idleAlarms.set(performance.now() + HANDSHAKE_MS, () => this.end('handshake took too long'))
    this.#handshake = { challenge, tooLate, release }
    socket.deliver(challengeMessage(challenge), () => {})
  }

  get hasEnded(): boolean {
    return this.#state === 'ended'
  }

  // What administrators see

  get since(): number {
    return this.#since
  }
  get kind(): ConnectionKind {
    return this.#client?.kind ?? 'handshake'
  }
  /** Whether it is one of the organization, and of the user, where these are asked for. */
  isOf(organization_id: OrganizationID | null, user_id: UserID | null): boolean {
    if (this.hasEnded) return false
    if (organization_id === null && user_id === null) return true
    const { organization, session } = this.#client ?? {}
    return (
      (organization_id === null || organization?.id === organization_id) &&
      (user_id === null || session?.user.id === user_id)
    )
  }
  get facts(): ConnectionFacts {
    const context = this.#client && decodeContext<Context>(this.#client.context)
    return {
      conn_id: this.conn_id,
      kind: this.kind,
      organization_id: context && 'organization_id' in context ? context.organization_id : null,
      user_id: context?.kind === 'authenticated' ? context.user_id : null,
      device_id: context?.kind === 'authenticated' ? context.device_id : null,
      api_version: context ? formatVersion(context.api_version) : null,
      client_release: context?.release?.join('.') ?? null,
      address: this.#peer,
      since: new DateTime(this.#since),
    }
  }

  // What the socket tells

  receive(data: Buffer | null): void {
    switch (this.#state) {
      case 'greeted':
        void this.#judge(data)
        return
      case 'idle':
      case 'waiting':
        if (this.#hadItsTurn) this.#keep(data)
        else this.#take(data)
        return
      case 'judged':
      case 'working':
      case 'sending':
        this.#keep(data)
    }
  }
  cut(why: string): void {
    this.#letGo('closed by the server', { reason: why })
  }
  pingsAreTooMany(): void {
    this.end('too many pings at once', CLOSE_TOO_MANY)
  }
  socketFailed(error: Error & { code?: string }): void {
    const { code, message } = error
    if (code === TOO_LARGE)
      this.#letGo('closed by the server', {
        reason: 'message too large',
        ...limitOf(this.kind),
        most: this.#socket.mostBytes,
      })
    else if (code === TOO_MANY_FRAMES) this.#letGo('closed by the server', { reason: 'too many frames in one message' })
    else this.#letGo(code?.startsWith('WS_ERR_') ? 'invalid data' : 'websocket error', { reason: message })
  }
  socketClosed(): void {
    this.#letGo('client has left')
    this.#shared.gone(this)
  }

  // Handshake

  async #judge(data: Buffer | null): Promise<void> {
    const { challenge, release } = this.#handshake!
    this.#state = 'judged'
    const { writes } = this.#shared
    let verdict: Judgement
    const signal = (this.#gone = new Cancel())
    writes.expect()
    try {
      const caller = { conn_id: this.conn_id, address: this.address ?? '', release, peer: this, signal }
      verdict =
        data === null
          ? { refused: TEXT_ANSWER, claimed: {} }
          : await traced(
              () => beginning('handshake', this.conn_id),
              () => judgeAnswer(this.#shared.judge, caller, challenge, data),
            )
    } catch (error) {
      if (!this.hasEnded) this.#fail('handshake', error)
      return
    } finally {
      this.#gone = undefined
      writes.came()
    }
    this.#socket.messageDone(data?.length ?? 0)
    if ('accepted' in verdict) return this.#accept(verdict.accepted)
    if (this.hasEnded) return
    const { refused, claimed } = verdict
    // The order may have been to unfreeze: told to be frozen, its client would not come back.
    if (this.#leaving && refused.result === 'frozen_user') return this.end(this.#leaving.why)
    this.#socket.send(resultMessage(refused))
    const reason = `${refused.result}: ${refused.help}`
    this.#close('bad handshake', { reason, address: this.address, ...claimed })
  }
  async #accept(accepted: Accepted): Promise<void> {
    if (this.#leaving) this.end(this.#leaving.why)
    if (this.hasEnded) return this.#giveBack(accepted)
    const { context, organization, session, claimer } = accepted
    this.#forgetHandshake()
    this.#client = {
      organization,
      session,
      ...(claimer && { claimer }),
      context: encodeContext(context),
      kind: context.kind,
      major: context.api_version[0],
      isSequestered: isSequestered(context),
      device: context.kind === 'authenticated' ? context.device : undefined,
    }
    if (session) session.isKnown = true
    this.#noteSeen()
    this.#log = this.#shared.log.child({ conn_id: this.conn_id, ...whoIs(context) })
    const { unauthenticated_message } = limits
    const most = context.kind === 'authenticated' ? Number.POSITIVE_INFINITY : unauthenticated_message.value
    this.#socket.limitMessages(Math.min(maxClientMessage(this.#shared.bus), most))
    this.#shared.known(this)
    this.#log.info('Connection established', { client_api_version: formatVersion(context.api_version) })
    // READY is told before the claimer is let in, so that it never comes after what the claimer does next.
    await claimer?.arrive(() => this.#invitationDeleted())
    if (this.hasEnded) return
    this.#send(RESULT_OK)
    this.#takeKept()
  }
  #giveBack({ organization, session, claimer }: Pick<Accepted, 'organization' | 'session' | 'claimer'>): void {
    claimer?.leave()
    if (organization) this.#shared.hub.exit(organization, session)
  }

  // Commands

  #keep(data: Buffer | null): void {
    this.#pending ??= []
    if (this.#pending.push(data) > limits.waiting_messages.value) this.end('too many messages at once', CLOSE_TOO_MANY)
    else this.#socket.keepBusy()
  }
  /**
   * A packet of the network may bring thousands of messages of a few bytes. What is answered at once, or only cancels what
   * came before it, is therefore the last of its client in this turn of the event loop: others are served between any two.
   */
  #take(data: Buffer | null): void {
    const cancels = this.#state === 'waiting'
    this.#cancel()
    this.#dispatch(data)
    if (!cancels && this.#state !== 'idle') return
    this.#hadItsTurn = true
    setImmediate(() => {
      this.#hadItsTurn = false
      this.#takeKept()
    })
  }
  /** To who answers it. Afterwards a command is in progress, unless it is answered already. */
  #dispatch(data: Buffer | null): void {
    this.#state = 'working'
    const { kind, major } = this.#client!
    const reading = data === null ? TEXT_MESSAGE : readMessage(data, kind, major)
    const { length: bytes } = data ?? ''
    const command = { cmd: reading.spec?.cmd ?? '-', bytes, startedAt: performance.now(), call: undefined }
    this.#command = command
    if (!reading.spec) this.#reply(command, GENERIC_REPLIES[reading.status])
    else if (reading.spec.service === 'gateway') this.#runHere(command, reading.spec, reading.message)
    else void this.#forward(command, reading.spec, data!, reading.message)
  }
  async #forward(command: Command, spec: CommandSpec, bytes: Buffer, message: Asked['message']): Promise<void> {
    const { forwarder, writes } = this.#shared
    const { context, isSequestered: sequestered } = this.#client!
    const gone = (this.#gone = new Cancel())
    let reply: Buffer
    writes.expect()
    try {
      const request_id = forwarder.requestId()
      const ask = () => forwarder.forward(spec, context, request_id, bytes, { message, sequestered }, gone)
      const work = () => beginning(spec.cmd, this.conn_id, { 'parsec.request_id': request_id })
      reply = await traced(work, ask)
    } catch (error) {
      if (command === this.#command) this.#fail(command.cmd, error)
      return
    } finally {
      this.#gone = undefined
      writes.came()
    }
    if (command !== this.#command) return
    this.#reply(command, reply)
    this.#takeKept()
  }
  #runHere(command: Command, spec: CommandSpec, message: { [field: string]: Value }): void {
    const request = parse(spec.request, message)
    if (!request.ok)
      return this.#reply(command, { status: 'bad_message', reason: 'Invalid message.', errors: request.errors })
    const handler = this.#shared.local.get(spec.name)
    if (!handler) return this.#fail(command.cmd, new Error(`no handler for ${spec.name}`))
    const call = new LocalCall(this.#client!.context, this.#shared.forwarder.requestId(), this)
    let reply: LocalReply | Promise<LocalReply>
    try {
      reply = handler(call, request.value)
    } catch (error) {
      return this.#fail(command.cmd, error)
    }
    if (reply instanceof Promise) {
      command.call = call
      void this.#awaitReply(command, reply)
    } else if (reply === LATER) this.#state = 'waiting'
    else if (reply !== GONE) this.#reply(command, reply)
  }
  async #awaitReply(command: Command, promise: Promise<LocalReply>): Promise<void> {
    try {
      const reply = await promise
      if (command !== this.#command || reply === LATER) return
      if (reply === GONE) return this.end(INVITATION_DELETED.why, INVITATION_DELETED.code)
      this.#reply(command, reply)
      this.#takeKept()
    } catch (error) {
      if (command === this.#command) this.#fail(command.cmd, error)
    }
  }
  letCancel(): void {
    if (this.#state !== 'working') return
    this.#state = 'waiting'
    this.#takeKept()
  }
  get hasMore(): boolean {
    return this.#pending !== undefined
  }
  /** Gives up the command in progress; it gets no reply. */
  #cancel(): void {
    if (!this.#command) return
    this.#command.call?.abort()
    this.#socket.messageDone(this.#command.bytes)
    this.#command = undefined
  }
  /** Takes up what came meanwhile and was kept. */
  #takeKept(): void {
    while (this.#pending && !this.#hadItsTurn && (this.#state === 'idle' || this.#state === 'waiting')) {
      const data = this.#pending.shift()!
      if (this.#pending.length === 0) {
        this.#pending = undefined
        this.#socket.keepReading()
      }
      this.#take(data)
    }
  }
  #reply({ cmd, bytes: asked, startedAt }: Command, reply: Exclude<LocalReply, typeof LATER | typeof GONE>): void {
    const bytes = Buffer.isBuffer(reply) ? reply : encode(reply)
    const status = statusOf(bytes)
    const ms = performance.now() - startedAt
    this.#log.info('Request', { cmd, status, ms: toTenths(ms), ...fieldsAtFault(bytes, status) })
    this.#shared.metrics.request(cmd, status, ms / 1000)
    this.#shared.activity.request(ms / 1000)
    this.#command = undefined
    this.#socket.messageDone(asked)
    this.#send(bytes)
  }
  #send(message: Buffer): void {
    // Busy until it is read: a client that asks without reading must not fill our memory.
    this.#state = 'sending'
    const isSent = this.#socket.deliver(message, () => {
      if (this.#state !== 'sending') return
      this.#sent()
      this.#takeKept()
    })
    if (isSent) this.#sent()
  }
  #sent(): void {
    this.#state = 'idle'
    if (this.#leaving) this.end(this.#leaving.why, this.#leaving.code)
  }

  // Events

  async subscribe(hub: EventHub, keys: { organization: number; user: number }): Promise<void> {
    const { organization, session } = this.#client!
    if (session && organization) await hub.subscribe(organization, session, keys)
  }
  nextEvent(): Buffer | undefined {
    return this.#events.shift()
  }
  offer(event: Buffer, hasNoField: boolean): void {
    if (this.#state === 'ended') return
    // What waits without a call is `events_listen`.
    const listen = this.#state === 'waiting' && !this.#command?.call ? this.#command : undefined
    if (listen) this.#reply(listen, event)
    else if (!this.#events.push(event, hasNoField)) this.end(this.#events.lackFor(event)!)
  }

  // The end

  /** Ends the connection at once; a command in progress gets no reply. */
  end(why: string, code = CLOSE_NORMAL): void {
    this.#close('closed by the server', { reason: why }, code)
  }
  sendAway(why: string): void {
    if (this.#state === 'judged') this.#leaving = { code: CLOSE_NORMAL, why }
    else this.end(why)
  }
  /** Ends the connection as soon as a command that a service works on is answered. */
  leave(code: number): void {
    if (this.#state === 'sending' || (this.#state === 'working' && !this.#command?.call))
      this.#leaving = { code, why: 'server stops' }
    else this.end('server stops', code)
  }
  /**
   * No claimer stays with a deleted invitation. An exchange in progress finds out by itself: what the greeter has taken
   * already is still answered (spec 04 §8.4).
   */
  #invitationDeleted(): void {
    if (this.#command?.call) this.#leaving = INVITATION_DELETED
    else this.end(INVITATION_DELETED.why, INVITATION_DELETED.code)
  }
  /** Ends the socket without any manners. */
  terminate(): void {
    this.#socket.terminate()
  }
  #fail(cmd: string, error: unknown): void {
    this.#shared.activity.failure()
    if (error instanceof Unavailable) {
      this.#log.warning('Service unavailable', { cmd, cause: error.message })
      return this.end('service unavailable', CLOSE_UNAVAILABLE)
    }
    this.#log.error('Unexpected crash', { cmd, error })
    this.end('internal error')
  }
  #close(how: End, keys: { reason: string } & LogKeys, code = CLOSE_NORMAL): void {
    if (this.hasEnded) return
    this.#letGo(how, keys)
    this.#socket.closeWith(code)
  }
  /** Lets go of everything but the socket. */
  #letGo(how: End, keys: { reason?: string } & LogKeys = {}): void {
    if (this.hasEnded) return
    this.#state = 'ended'
    logEnd(this.#log, `Connection dropped: ${how}`, keys)
    this.#shared.metrics.connectionEnded(how === 'closed by the server' ? keys.reason! : how)
    this.#forgetHandshake()
    this.#cancel()
    this.#gone?.cancel(CLIENT_GONE)
    this.#pending = undefined
    this.#events.clear()
    this.#noteSeen()
    if (this.#client) this.#giveBack(this.#client)
    this.#client = undefined
  }
  #noteSeen(): void {
    if (this.#client?.device !== undefined) this.#shared.seen.note(this.#client.device)
  }
  #forgetHandshake(): void {
    if (!this.#handshake) return
    idleAlarms.clear(this.#handshake.tooLate)
    this.#handshake = undefined
  }
}

/** Stands in the log; what reasons there are for one that the server closes, its code says. */
type End = 'closed by the server' | 'bad handshake' | 'invalid data' | 'websocket error' | 'client has left'
/** Of errors of `ws`, which has closed the connection with 1009 or 1008 by then. */
const TOO_LARGE = 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
const TOO_MANY_FRAMES = 'WS_ERR_TOO_MANY_BUFFERED_PARTS'
const limitOf = (kind: ConnectionKind) => ({
  limit: (kind === 'handshake'
    ? limits.handshake_message
    : kind === 'authenticated'
      ? limits.message
      : limits.unauthenticated_message
  ).what,
})
type Farewell = { readonly code: number; readonly why: string }
const INVITATION_DELETED: Farewell = { code: CLOSE_NORMAL, why: 'invitation deleted' }
const CLIENT_GONE = new Unavailable('the client has left')
const TEXT_MESSAGE = { spec: undefined, status: 'invalid_msg_format' } as const

/** Keys of log lines. */
function whoIs(context: Context): LogKeys {
  switch (context.kind) {
    case 'authenticated':
      return { organization_id: context.organization_id, device_id: context.device_id }
    case 'administration':
      return {}
    default:
      return { organization_id: context.organization_id }
  }
}
