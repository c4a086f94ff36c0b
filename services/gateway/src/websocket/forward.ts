/**
 * From a client's message to the service that owns the command. Client's bytes and service's reply pass untouched;
 * the message is decoded here only to know what it asks for.
 */
import { randomBytes } from 'node:crypto'
import type { Bus } from '@parsec/shared/bus/bus'
import { type EncodedContext, Envelope } from '@parsec/shared/bus/envelope'
import { ask, serviceShare } from '@parsec/shared/bus/rpc'
import * as subjects from '@parsec/shared/bus/subjects'
import type { Cancellation } from '@parsec/shared/cancellation'
import {
  CLIENT_MESSAGE,
  decodeMap,
  encode,
  STRANGER_MESSAGE,
  shortTextAt,
  type Value,
} from '@parsec/shared/codec/msgpack'
import { type Asked, type CommandSpec, deadlineOf } from '@parsec/shared/protocol/command'
import type { Context } from '@parsec/shared/protocol/context'
import { findCommand } from '@parsec/shared/protocol/registry'
import type { ClientKind } from '@parsec/shared/protocol/types'
import type { Work } from '@parsec/shared/tracing'

/** A message that names a command which its sender may call, or why it does not. */
export type Reading =
  | { spec: CommandSpec; message: { [field: string]: Value } }
  | { spec: undefined; status: 'invalid_msg_format' | 'unknown_command' }

const INVALID_MSG_FORMAT = { spec: undefined, status: 'invalid_msg_format' } as const
const UNKNOWN_COMMAND = { spec: undefined, status: 'unknown_command' } as const

/** Looks up what a message asks for (spec 01 §8.1). Never throws. */
export function readMessage(bytes: Buffer, kind: ClientKind, major: number): Reading {
  let message: { [field: string]: Value }
  try {
    message = decodeMap(bytes, kind === 'authenticated' ? CLIENT_MESSAGE : STRANGER_MESSAGE)
  } catch {
    return INVALID_MSG_FORMAT
  }
  const spec = findCommand(message.cmd, kind, major)
  return spec ? { spec, message } : UNKNOWN_COMMAND
}

/** The generic error replies of a WebSocket (spec 01 §8.2). */
export const GENERIC_REPLIES = {
  invalid_msg_format: encode({ status: 'invalid_msg_format', reason: 'Invalid message format' }),
  unknown_command: encode({ status: 'unknown_command', reason: 'Unknown command' }),
}

export const isSequestered = (context: Context): boolean => context.kind === 'authenticated' && context.is_sequestered

export class Forwarder {
  readonly #bus: Bus
  readonly #subjects = new Map<CommandSpec, string>()
  /** Request ids: eight random digits of this process, then a counter. */
  readonly #prefix = randomBytes(4).toString('hex')
  #count = 0
  constructor(bus: Bus) {
    this.#bus = bus
  }

  /** A new id of a request, 16 hex digits. */
  requestId(): string {
    this.#count = (this.#count + 1) >>> 0
    return this.#prefix + this.#count.toString(16).padStart(8, '0')
  }
  /**
   * Asks the service that owns the command, which gets the message for its own; resolves to the encoded reply. Rejects
   * with `Unavailable`, also after the command's deadline, or with `RemoteFailure`. `signal` fires when the client has gone.
   */
  forward(
    spec: CommandSpec,
    context: EncodedContext,
    request_id: string,
    bytes: Buffer,
    asked: Asked,
    signal: Cancellation,
  ): Promise<Buffer> {
    let subject = this.#subjects.get(spec)
    if (!subject) {
      subject = subjects.command(spec.service, spec.name)
      this.#subjects.set(spec, subject)
    }
    const timeoutMs = deadlineOf(spec, asked)
    const { message } = asked
    const told = { context, request_id, msLeft: serviceShare(timeoutMs), message }
    return ask(this.#bus, subject, new Envelope(told, bytes), { timeoutMs, signal })
  }
}

const STATUS = 'status'
/** The status of an encoded reply, without decoding it: every reply of ours begins with it. Otherwise `?`. */
export function statusOf(reply: Buffer): string {
  const start = reply[0] === 0xde ? 3 : 1
  return (shortTextAt(reply, start) === STATUS && shortTextAt(reply, start + 1 + STATUS.length)) || '?'
}

/** Key of a log line: the fields of which a `bad_message` complains. Never what was in them. */
export function fieldsAtFault(reply: Buffer, status: string): { fields?: string[] } {
  if (status !== 'bad_message') return {}
  const { errors } = decodeMap(reply)
  if (typeof errors !== 'object' || errors === null) return {}
  return { fields: errors instanceof Map ? [...errors.keys()].map(String) : Object.keys(errors) }
}

/** A trace begins: with what a client asks. */
export const beginning = (name: string, conn_id: string, more: Work['attributes'] = {}): Work => ({
  name,
  kind: 'server',
  service: 'gateway',
  attributes: { 'parsec.conn_id': conn_id, ...more },
  parent: null,
})

/** Of milliseconds. */
export const toTenths = (ms: number): number => Math.round(ms * 10) / 10
