/**
 * How services talk: requests to one replica of a service, events to whoever listens. The drivers `local.ts`,
 * `nats.ts` and `relay.ts` exchange encoded bytes and behave alike; `bus.test.ts` proves it. Bytes that were handed over must not change
 * before the next turn of the event loop; bytes that were received belong to the receiver.
 *
 * Subjects are tokens joined by dots; in a pattern `*` stands for one token and a final `>` for one or more.
 */
import type { Cancellation } from '../cancellation.ts'
import { limits } from '../limits.ts'

export type RequestOptions = {
  /** After so many milliseconds without an answer the request fails with `Unavailable`. */
  timeoutMs: number
  /** Aborting rejects the request with the signal's reason, and the server is told. */
  signal?: Cancellation | undefined
  /** The caller gives the payload away and will not touch it again, so that it need not be copied. */
  owned?: boolean
  /** What it is a part of, as W3C Trace Context has it, for a server that traces. */
  traceparent?: string | undefined
}

/** A request that only a wire needs the bytes of: within a process it is handed over as it is. Its maker gives it away. */
export interface Parcel {
  /** Of its bytes. */
  readonly length: number
  toBytes(): Buffer
}

/** What a wire carries of a request. */
export const bytesOf = (payload: Uint8Array | Parcel): Uint8Array =>
  payload instanceof Uint8Array ? payload : payload.toBytes()
/** The same bytes, not copied. */
export const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Whoever waits for an answer. */
export type Caller = {
  /** To be set by the server: called when nobody waits any more, at most once and only before the answer. */
  onGone: (() => void) | undefined
  /** What its request is a part of, where it is traced. */
  readonly traceparent?: string | undefined
}

/**
 * Answers a request, and gives the reply away; what it throws, or rejects with, reaches the caller as `Unavailable` or `RemoteFailure`.
 * A parcel comes as its bytes, or, when it did not go over a wire, as itself beside an empty payload.
 */
export type Server = (payload: Buffer, subject: string, parcel: Parcel | undefined, caller: Caller) => Promise<Buffer>
export type Listener = (payload: Buffer, subject: string) => void

export interface Subscription {
  /** Takes nothing new; resolves when all that was taken is answered. */
  close(): Promise<void>
}

/** Most bytes of a reply, whatever the broker's messages hold (DESIGN §11). */
export const MAX_REPLY_BYTES = limits.reply.value

export interface Bus {
  /** Most bytes that a request or an event may have. */
  readonly maxPayload: number
  /** Whether processes may be on it that somebody else has started. */
  readonly isShared: boolean
  /** False while the connection to the broker is lost: requests and publications then fail at once. */
  readonly connected: boolean
  /**
   * Grows with each connection that is lost, and with each division of the brokers. What was published on a connection
   * may have gone with it, and a flush on a later one says nothing about it.
   */
  readonly epoch: number
  /**
   * Asks one replica. Rejects with `Unavailable` (nobody serves the subject, connection lost, time-out),
   * `RemoteFailure` (the server threw) or `RangeError` (payload over `maxPayload`).
   */
  request(subject: string, payload: Uint8Array | Parcel, options: RequestOptions): Promise<Buffer>
  /**
   * Serves requests of a pattern, shared with the other members of `queue`. Active when resolved. The pattern does not
   * end with `>`: below each subject lies the one on which its callers say that they have gone.
   */
  serve(pattern: string, queue: string, server: Server): Promise<Subscription>
  /** Tells every subscriber. Throws `Unavailable` when the connection is lost, `RangeError` over `maxPayload`. */
  publish(subject: string, payload: Uint8Array): void
  /** False when it is certain that nobody would hear what is published now, so that it need not even be made. */
  isHeard(subject: string): boolean
  /** Hears what is published from the moment that it resolves. A listener must not throw. */
  subscribe(pattern: string, listener: Listener): Promise<Subscription>
  /** Resolves when the broker has everything that was published so far. */
  flush(): Promise<void>
  /**
   * Calls back whenever the connection is lost and found again, and with one after the other when parts of the cluster of
   * brokers were divided; returns how to stop. Messages in between are lost.
   */
  onStatus(listener: (connected: boolean) => void): () => void
  /** Answers what was taken, then closes. Later calls fail with `Unavailable`. */
  drain(): Promise<void>
}
