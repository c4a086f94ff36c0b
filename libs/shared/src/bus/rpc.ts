/**
 * Commands and internal requests over the bus: encoding, validation, dispatch. A service gives handlers by name; what
 * they return is the reply.
 *
 * A command travels as the array `[encoded context, request_id, client's own bytes]`: the gateway never re-encodes these
 * bytes, nor the service's reply, and within one process does not copy them either.
 */
import { parse } from '../codec/fields.ts'
import { CLIENT_MESSAGE, decode, decodeMap, type Encodable, encode } from '../codec/msgpack.ts'
import { Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ServiceName } from '../protocol/command.ts'
import type { Context } from '../protocol/context.ts'
import { type InternalName, type InternalReply, type InternalRequest, internalRequests } from '../protocol/internal.ts'
import { type CallerOf, type CommandName, commandsOf, type Reply, type Request } from '../protocol/registry.ts'
import type { Bus, Subscription } from './bus.ts'
import * as subjects from './subjects.ts'

/** A client's command on its way to a service. */
export type Call<C extends Context = Context> = {
  context: C
  /** 16 hex digits, chosen by the gateway; in every log line that the command causes, in any service. */
  request_id: string
  log: Log
}
/** One handler per command of the service, named as in the protocol table. */
export type Handler<N extends CommandName> = (call: Call<CallerOf<N>>, request: Request<N>) => Promise<Reply<N>>
export type Handlers<N extends CommandName> = { readonly [K in N]: Handler<K> }

/** What a message loses of the bus's `maxPayload` to its envelope. */
export const MAX_ENVELOPE_BYTES = 16 * 1024
/** Largest message from a client (spec 01 §6). */
export const MAX_CLIENT_MESSAGE_BYTES = 16 * 1024 * 1024

/** The largest message that clients may send over this bus. */
export const maxClientMessage = (bus: Bus): number =>
  Math.min(MAX_CLIENT_MESSAGE_BYTES, bus.maxPayload - MAX_ENVELOPE_BYTES)

const ARRAY_OF_3 = 0x93
const BIN_32 = 0xc6
/** The tag and length of a bin. */
const BIN_HEADER_BYTES = 5

/**
 * The envelope of a client's message, up to the message itself, which follows as it came. `context` is the encoded
 * context, made once per connection.
 */
export function seal(context: Buffer, request_id: string, message: Buffer): Buffer {
  const id = encode(request_id)
  const head = Buffer.allocUnsafe(1 + BIN_HEADER_BYTES + context.length + id.length + BIN_HEADER_BYTES)
  let at = head.writeUInt8(ARRAY_OF_3)
  at = writeBinHeader(head, at, context.length)
  at += context.copy(head, at)
  at += id.copy(head, at)
  writeBinHeader(head, at, message.length)
  return head
}
const writeBinHeader = (head: Buffer, at: number, length: number): number =>
  head.writeUInt32BE(length, head.writeUInt8(BIN_32, at))

type Envelope = [context: Buffer, request_id: string, message: Buffer]

/** Takes an envelope apart, with the message in it or beside it. */
function open(envelope: Buffer, message: Buffer | undefined): Envelope {
  if (!message) return decode(envelope, { maxBinBytes: MAX_CLIENT_MESSAGE_BYTES }) as Envelope
  const contextAt = 1 + BIN_HEADER_BYTES
  const idAt = contextAt + envelope.readUInt32BE(contextAt - 4)
  const id = envelope.subarray(idAt, -BIN_HEADER_BYTES)
  return [envelope.subarray(contextAt, idAt), decode(id) as string, message]
}

/** Contexts that a replica remembers for certain; up to twice as many, those that were used last. */
const REMEMBERED_CONTEXTS = 1_000

/** A connection sends the same context with each of its commands: it is decoded once. Handlers must not change it. */
class Contexts {
  #recent = new Map<string, Context>()
  #older = new Map<string, Context>()
  read(bytes: Buffer): Context {
    const key = bytes.toString('latin1')
    let context = this.#recent.get(key)
    if (context) return context
    if (this.#recent.size >= REMEMBERED_CONTEXTS) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    context = this.#older.get(key) ?? decoded(bytes)
    this.#recent.set(key, context)
    return context
  }
}
/** From a copy of its own: a context must keep neither its first command in memory nor a share of Node's pool. */
function decoded(bytes: Buffer): Context {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return Object.freeze(decode(own) as unknown as Context)
}

/** Serves the commands of a service: decodes, validates (`bad_message`), calls the handler, encodes. */
export async function serveCommands<N extends CommandName>(
  bus: Bus,
  service: ServiceName,
  handlers: Handlers<N>,
  log: Log,
): Promise<Subscription> {
  const table = new Map(
    commandsOf(service).map(spec => {
      const handler = (handlers as { [name: string]: Handler<CommandName> | undefined })[spec.name]
      if (!handler) throw new Error(`${service} has no handler for ${spec.name}`)
      return [spec.name, { spec, handler }] as const
    }),
  )
  const contexts = new Contexts()
  return bus.serve(subjects.everyCommandOf(service), service, async (payload, subject, tail) => {
    const entry = table.get(subjects.nameOf(subject))
    if (!entry) throw new Error(`unknown command on ${subject}`)
    const [sender, request_id, message] = open(payload, tail)
    const context = contexts.read(sender)
    if (entry.spec.adminOnly && context.kind === 'authenticated' && context.profile !== 'ADMIN')
      return encode({ status: 'not_allowed', reason: `User \`${context.user_id}\` is not admin` })
    const request = parse(entry.spec.request, decodeMap(message, CLIENT_MESSAGE))
    if (!request.ok) return encode({ status: 'bad_message', reason: 'Invalid message.', errors: request.errors })
    const call = { context, request_id, log: log.child({ conn_id: context.conn_id, request_id }) }
    try {
      return encode((await entry.handler(call as never, request.value as never)) as Encodable)
    } catch (error) {
      reportFailure(call.log, entry.spec.name, error)
      throw error
    }
  })
}

export type InternalHandlers<N extends InternalName> = {
  readonly [K in N]: (request: InternalRequest<K>) => Promise<InternalReply<K>>
}

/** Serves internal requests of a service. */
export async function serveInternal<N extends InternalName>(
  bus: Bus,
  service: ServiceName,
  handlers: InternalHandlers<N>,
  log: Log,
): Promise<Subscription> {
  return bus.serve(subjects.everyInternalOf(service), service, async (payload, subject) => {
    const name = subjects.nameOf(subject)
    const handler = (handlers as { [name: string]: ((request: unknown) => Promise<unknown>) | undefined })[name]
    if (!handler) throw new Error(`unknown request on ${subject}`)
    try {
      return encode((await handler(decode(payload))) as Encodable)
    } catch (error) {
      reportFailure(log, name, error)
      throw error
    }
  })
}

/** Asks the service that answers `name`. Rejects with `Unavailable` or `RemoteFailure`. */
export async function callInternal<N extends InternalName>(
  bus: Bus,
  name: N,
  request: InternalRequest<N>,
  signal?: AbortSignal,
): Promise<InternalReply<N>> {
  const { service, deadlineMs } = internalRequests[name]
  const reply = await bus.request(subjects.internal(service, name), encode(request as unknown as Encodable), {
    timeoutMs: deadlineMs,
    owned: true,
    ...(signal && { signal }),
  })
  return decode(reply) as unknown as InternalReply<N>
}

function reportFailure(log: Log, name: string, error: unknown): void {
  if (error instanceof Unavailable) log.warning('Service unavailable', { cmd: name, cause: error.message })
  else log.error('Unexpected crash', { cmd: name, error })
}
