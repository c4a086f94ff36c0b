/**
 * One WebSocket: a handshake, then commands strictly one at a time, answered in order (spec 01 §6, §9).
 *
 * There may be many thousands, most of them idle: no timers, closures or decoded contexts are kept for an idle one.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Bus } from '@parsec/shared/bus/bus'
import { parse } from '@parsec/shared/codec/fields'
import { encode, type Value } from '@parsec/shared/codec/msgpack'
import { Unavailable } from '@parsec/shared/errors'
import type { Log, LogKeys } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import type { CommandSpec } from '@parsec/shared/protocol/command'
import type { Context } from '@parsec/shared/protocol/context'
import { CHALLENGE_BYTES, challengeMessage, resultMessage } from '@parsec/shared/protocol/handshake'
import type { ClientKind } from '@parsec/shared/protocol/types'
import { formatVersion } from '@parsec/shared/protocol/versions'
import { WebSocket } from 'ws'
import { GONE, LATER, LocalCall, type LocalCaller, type LocalCommands, type LocalReply } from '../events/commands.ts'
import type { EventHub } from '../events/hub.ts'
import { EventQueue } from '../events/queue.ts'
import type { Organization, Peer, Session } from '../events/session.ts'
import type { Claimer } from '../invite/claimer.ts'
import { encodeContext, type Forwarder, GENERIC_REPLIES, isSequestered, readMessage, statusOf } from './forward.ts'
import { HANDSHAKE_MS, type Judge, judgeAnswer, TEXT_ANSWER, type Verdict } from './handshake.ts'

/** Close codes (RFC 6455 §7.4.1). Clients treat all alike; proxies and operators do not. */
export const CLOSE_NORMAL = 1000
export const CLOSE_TOO_BIG = 1009
export const CLOSE_RESTART = 1012
export const CLOSE_UNAVAILABLE = 1013

/** Most bytes that a client may send before it is known. */
const MAX_HANDSHAKE_BYTES = 64 * 1024
/** With more than this unsent, the next command waits until the client has read its replies. */
const MAX_UNSENT_BYTES = 1024 * 1024

/** What all connections of a gateway share. */
export type Surroundings = {
  readonly bus: Bus
  readonly hub: EventHub
  readonly log: Log
  readonly judge: Judge
  readonly forwarder: Forwarder
  readonly local: LocalCommands
  readonly metrics: Metrics
  /** Told once per connection: when its client is known, and when its socket is gone. */
  readonly known: (connection: Connection) => void
  readonly gone: (connection: Connection) => void
}

/** A socket that knows its connection, so that its listeners need no closures. */
export class ClientSocket extends WebSocket {
  connection: Connection | undefined
}

/** Until the client is known. */
type Handshake = { challenge: Buffer; timer: NodeJS.Timeout; release: Context['release']; stopCounting: () => void }

export class Connection implements Peer, LocalCaller {
  readonly conn_id = randomUUID().replaceAll('-', '')
  /** With keys that tell who it is. */
  #log: Log
  /** Address of the peer while its handshake counts as half-open. */
  address: string | undefined
  readonly #all: Surroundings
  readonly #socket: ClientSocket
  #handshake: Handshake | undefined
  #kind: ClientKind = 'anonymous'
  #major = 0
  #context: Buffer | undefined
  #isSequestered = false
  #organization: Organization | null = null
  #session: Session | null = null
  #claimer: Claimer | undefined
  /** Counts commands: a reply that comes back for another turn than the current one is too late. */
  #turn = 0
  #startedAt = 0
  #busy = false
  #cancellable = false
  #listening = false
  #local: LocalCall | undefined
  #ended = false
  /** How the connection ends after the command in progress. */
  #leaving: Farewell | undefined
  /** Messages that came while a command ran; null is a text message. */
  #pending: (Buffer | null)[] | undefined
  readonly #events = new EventQueue()

  /** Greets the client; from here on the connection lives by itself. */
  constructor(all: Surroundings, socket: ClientSocket, raw: Socket, address: string, release: Context['release']) {
    this.#all = all
    this.#socket = socket
    this.address = address
    this.#log = all.log.child({ conn_id: this.conn_id })
    socket.connection = this
    socket.on('message', onMessage)
    socket.on('error', onError)
    socket.on('close', onClose)
    const challenge = randomBytes(CHALLENGE_BYTES)
    const timer = setTimeout(() => this.end('handshake took too long'), HANDSHAKE_MS)
    this.#handshake = { challenge, timer, release, stopCounting: this.#countBytes(raw) }
    socket.send(challengeMessage(challenge))
  }
  #countBytes(raw: Socket): () => void {
    const start = raw.bytesRead
    const count = () => {
      if (raw.bytesRead - start > MAX_HANDSHAKE_BYTES) this.end('handshake too long', CLOSE_TOO_BIG)
    }
    raw.on('data', count)
    return () => raw.off('data', count)
  }

  get isKnown(): boolean {
    return this.#context !== undefined
  }

  // What the socket tells

  /** A message of the client; null when it was text. */
  receive(data: Buffer | null): void {
    if (this.#ended) return
    if (this.#handshake) return void this.#answer(this.#handshake, data)
    if (this.#busy && !this.#cancellable) {
      this.#pending ??= []
      this.#pending.push(data)
      this.#socket.pause()
      return
    }
    if (this.#busy) this.#cancel()
    this.#start(data)
    if (this.#pending) this.#continue()
  }
  socketFailed(error: Error & { code?: string }): void {
    const invalid = error.code?.startsWith('WS_ERR_') === true
    this.#drop(invalid ? 'Connection dropped: invalid data' : 'Connection dropped: websocket error', {
      reason: error.message,
    })
  }
  socketClosed(): void {
    this.#drop('Connection dropped: client has left')
    this.#all.gone(this)
  }

  // Handshake

  async #answer(handshake: Handshake, data: Buffer | null): Promise<void> {
    this.#handshake = undefined
    this.#busy = true
    handshake.stopCounting()
    let verdict: Verdict
    try {
      const caller = { conn_id: this.conn_id, release: handshake.release, peer: this }
      verdict =
        data === null ? { refused: TEXT_ANSWER } : await judgeAnswer(this.#all.judge, caller, handshake.challenge, data)
    } catch (error) {
      clearTimeout(handshake.timer)
      return this.#fail('handshake', error)
    }
    clearTimeout(handshake.timer)
    if ('refused' in verdict) {
      if (this.#ended) return
      this.#socket.send(resultMessage(verdict.refused))
      return this.#endAs('Connection dropped: bad handshake', {
        reason: `${verdict.refused.result}: ${verdict.refused.help}`,
      })
    }
    const { context, organization, session, claimer } = verdict.accepted
    if (this.#ended) {
      claimer?.leave()
      if (organization) this.#all.hub.exit(organization, session)
      return
    }
    this.#organization = organization
    this.#session = session
    this.#claimer = claimer
    this.#context = encodeContext(context)
    this.#isSequestered = isSequestered(context)
    this.#kind = context.kind
    this.#major = context.api_version[0]
    const { conn_id } = this
    if (context.kind === 'authenticated') {
      const { organization_id, device_id } = context
      this.#log = this.#all.log.child({ conn_id, organization_id, device_id })
    } else if (context.kind !== 'administration') {
      const { organization_id } = context
      this.#log = this.#all.log.child({ conn_id, organization_id })
    }
    this.#all.known(this)
    this.#log.info('Connection established', { client_api_version: formatVersion(context.api_version) })
    // READY is told before the claimer is let in, so that it never comes after what the claimer does next.
    await claimer?.arrive(() => this.#invitationDeleted())
    if (this.#ended) return
    this.#send(resultMessage({ result: 'ok' }))
    this.#continue()
  }

  // Commands

  /** Takes a message up. Afterwards the connection is busy, unless the reply is already sent. */
  #start(data: Buffer | null): void {
    this.#turn++
    this.#startedAt = performance.now()
    this.#busy = true
    const reading = data === null ? TEXT_MESSAGE : readMessage(data, this.#kind, this.#major)
    if (!reading.spec) {
      this.#logRequest('-', reading.status)
      return this.#send(GENERIC_REPLIES[reading.status])
    }
    if (reading.spec.service === 'gateway') this.#runLocal(reading.spec, reading.message)
    else void this.#forward(reading.spec, data!)
  }
  async #forward(spec: CommandSpec, message: Buffer): Promise<void> {
    const turn = this.#turn
    const { forwarder } = this.#all
    let reply: Buffer
    try {
      reply = await forwarder.forward(spec, this.#context!, forwarder.requestId(), message, this.#isSequestered)
    } catch (error) {
      if (turn === this.#turn) this.#fail(spec.cmd, error)
      return
    }
    if (turn !== this.#turn) return
    this.#logRequest(spec.cmd, statusOf(reply))
    this.#send(reply)
    this.#continue()
  }
  #runLocal(spec: CommandSpec, message: { [field: string]: Value }): void {
    const request = parse(spec.request, message)
    if (!request.ok)
      return this.#sendLocal(spec.cmd, { status: 'bad_message', reason: 'Invalid message.', errors: request.errors })
    const handler = this.#all.local.get(spec.name)
    if (!handler) return this.#fail(spec.cmd, new Error(`no handler for ${spec.name}`))
    this.#cancellable = spec.cancellable
    const call = new LocalCall(this.#context!, this.#all.forwarder.requestId(), this)
    let reply: LocalReply | Promise<LocalReply>
    try {
      reply = handler(call, request.value as never)
    } catch (error) {
      return this.#fail(spec.cmd, error)
    }
    if (reply instanceof Promise) {
      this.#local = call
      void this.#waitLocal(spec.cmd, reply)
    } else if (reply !== LATER && reply !== GONE) this.#sendLocal(spec.cmd, reply)
  }
  async #waitLocal(cmd: string, promise: Promise<LocalReply>): Promise<void> {
    const turn = this.#turn
    try {
      const reply = await promise
      if (turn !== this.#turn || reply === LATER) return
      if (reply === GONE) return this.end(INVITATION_DELETED.why, INVITATION_DELETED.code)
      this.#sendLocal(cmd, reply)
      this.#continue()
    } catch (error) {
      if (turn === this.#turn) this.#fail(cmd, error)
    }
  }
  #sendLocal(cmd: string, reply: Exclude<LocalReply, typeof LATER | typeof GONE>): void {
    const bytes = Buffer.isBuffer(reply) ? reply : encode(reply)
    this.#logRequest(cmd, statusOf(bytes))
    this.#send(bytes)
  }
  /** Gives up the waiting command; it gets no reply. */
  #cancel(): void {
    this.#turn++
    this.#busy = this.#cancellable = this.#listening = false
    this.#local?.abort()
    this.#local = undefined
  }
  /** Takes up what has come meanwhile. */
  #continue(): void {
    while (this.#pending && !this.#ended && (!this.#busy || this.#cancellable)) {
      if (this.#busy) this.#cancel()
      const data = this.#pending.shift()!
      if (this.#pending.length === 0) {
        this.#pending = undefined
        this.#socket.resume()
      }
      this.#start(data)
    }
  }
  #send(reply: Buffer): void {
    this.#cancellable = false
    this.#local = undefined
    if (this.#leaving) {
      this.#socket.send(reply)
      return this.end(this.#leaving.why, this.#leaving.code)
    }
    if (this.#socket.bufferedAmount + reply.length <= MAX_UNSENT_BYTES) {
      this.#busy = false
      this.#socket.send(reply)
      return
    }
    // Stays busy: a client that asks without reading must not fill our memory.
    const turn = this.#turn
    this.#socket.send(reply, error => {
      if (error || turn !== this.#turn) return
      this.#busy = false
      if (this.#leaving) this.end(this.#leaving.why, this.#leaving.code)
      else this.#continue()
    })
  }

  // Events

  async subscribe(hub: EventHub, keys: { organization: number; user: number }): Promise<void> {
    if (this.#session && this.#organization) await hub.subscribe(this.#organization, this.#session, keys)
  }
  nextEvent(wait: boolean): Buffer | undefined {
    const event = this.#events.shift()
    if (!event) this.#listening = wait
    return event
  }
  setCancellable(cancellable: boolean): void {
    this.#cancellable = cancellable
    if (cancellable) this.#continue()
  }
  offer(event: Buffer): void {
    if (this.#ended) return
    if (this.#listening) {
      this.#listening = false
      this.#logRequest('events_listen', 'ok')
      this.#send(event)
      this.#continue()
    } else if (!this.#events.push(event)) this.end('event queue is full')
  }

  // The end

  /** Ends the connection at once; a command in progress gets no reply. */
  end(why: string, code = CLOSE_NORMAL): void {
    this.#endAs('Connection dropped: closed by the server', { reason: why }, code)
  }
  /** Ends the connection as soon as a command that a service works on is answered. */
  leave(code: number): void {
    if (this.#busy && !this.#cancellable && !this.#local && this.#context) this.#leaving = { code, why: 'server stops' }
    else this.end('server stops', code)
  }
  /**
   * No claimer stays with a deleted invitation. An exchange in progress finds out by itself: what the greeter has taken
   * already is still answered (spec 04 §8.4).
   */
  #invitationDeleted(): void {
    if (this.#local) this.#leaving = INVITATION_DELETED
    else this.end(INVITATION_DELETED.why, INVITATION_DELETED.code)
  }
  /** Ends the socket without any manners. */
  terminate(): void {
    this.#socket.terminate()
  }
  #fail(cmd: string, error: unknown): void {
    if (error instanceof Unavailable) {
      this.#log.warning('Service unavailable', { cmd, cause: error.message })
      return this.end('service unavailable', CLOSE_UNAVAILABLE)
    }
    this.#log.error('Unexpected crash', { cmd, error })
    this.end('internal error')
  }
  #endAs(event: string, keys: LogKeys, code = CLOSE_NORMAL): void {
    if (this.#ended) return
    this.#drop(event, keys)
    this.#socket.close(code)
    // The close frame of the client comes behind whatever else it has sent.
    this.#socket.resume()
  }
  /** Lets go of everything but the socket. */
  #drop(event: string, keys: LogKeys = {}): void {
    if (this.#ended) return
    this.#ended = true
    this.#log.info(event, keys)
    if (this.#handshake) {
      clearTimeout(this.#handshake.timer)
      this.#handshake.stopCounting()
      this.#handshake = undefined
    }
    this.#cancel()
    this.#pending = undefined
    this.#claimer?.leave()
    this.#claimer = undefined
    if (this.#organization) this.#all.hub.exit(this.#organization, this.#session)
    this.#organization = this.#session = null
  }

  #logRequest(cmd: string, status: string): void {
    this.#log.info('Request', { cmd, status })
    this.#all.metrics.request(cmd, status, (performance.now() - this.#startedAt) / 1000)
  }
}

type Farewell = { readonly code: number; readonly why: string }
const INVITATION_DELETED: Farewell = { code: CLOSE_NORMAL, why: 'invitation deleted' }
const TEXT_MESSAGE = { spec: undefined, status: 'invalid_msg_format' } as const

function onMessage(this: WebSocket, data: unknown, isBinary: boolean): void {
  ;(this as ClientSocket).connection?.receive(isBinary ? (data as Buffer) : null)
}
function onError(this: WebSocket, error: Error): void {
  ;(this as ClientSocket).connection?.socketFailed(error)
}
function onClose(this: WebSocket): void {
  ;(this as ClientSocket).connection?.socketClosed()
}
