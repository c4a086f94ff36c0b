/**
 * What a service gets of a client's command, and how that travels between processes. Within one the envelope itself is
 * handed over (ADR 1): a service reads the same message, and the same context, that it would decode.
 */
import { CLIENT_MESSAGE, decode, decodeMap, decodeOwn, encode, type Value } from '../codec/msgpack.ts'
import { Unavailable } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Context } from '../protocol/context.ts'
import type { Parcel } from './bus.ts'

/**
 * Forms of what services send each other: the one that this release speaks, and those that it understands. Two releases
 * that follow one another work side by side, in both directions: a new form is understood by one release and spoken by
 * the next one. Within a form only new keys of maps and new items at the end of arrays may come, and whoever does not
 * know them does without. Anything else is refused as `Unavailable`.
 */
export const SPOKEN = 1
const UNDERSTOOD: readonly number[] = [1]

/** Throws `Unavailable`. */
export function requireUnderstood(form: number | undefined): void {
  if (form === undefined || !UNDERSTOOD.includes(form))
    throw new Unavailable(`another release speaks form ${form}, which is not understood here`)
}

/** A context as it travels, a character for each byte: something this small takes half as much memory as in a buffer. */
export type EncodedContext = string
export const encodeContext = (context: Context): EncodedContext => encode(context).toString('latin1')
export const decodeContext = <C extends Context>(context: EncodedContext): C =>
  decodeOwn(Buffer.from(context, 'latin1'))

const REQUEST_ID_BYTES = 16
/** The tag of a text of so many bytes. */
const TEXT_OF_16 = 0xa0 | REQUEST_ID_BYTES
const ARRAY_OF_5 = 0x95
const UINT_32 = 0xce
const BIN_32 = 0xc6
/** The tag and length of a bin; a number with its tag. */
const BIN_HEADER_BYTES = 5
const UINT_BYTES = 5
/** Of everything but the context and the message. */
const FRAME_BYTES = 2 + BIN_HEADER_BYTES + 1 + REQUEST_ID_BYTES + UINT_BYTES + BIN_HEADER_BYTES

/** What a service is told of a command. */
type Told = {
  /** The same text for each command of a connection. */
  readonly context: EncodedContext
  readonly request_id: string
  /** What the service may take, in milliseconds. */
  readonly msLeft: number
  /** What the client has sent, which is the service's from now on. */
  readonly message: { readonly [field: string]: Value }
}

/** A command on its way from the gateway. */
export class Envelope implements Parcel {
  readonly told: Told
  readonly #bytes: Buffer
  /** `bytes`: those that the message was decoded from. */
  constructor(told: Told, bytes: Buffer) {
    this.told = told
    this.#bytes = bytes
  }
  get length(): number {
    return FRAME_BYTES + this.told.context.length + this.#bytes.length
  }
  /** `[form, encoded context, request_id, milliseconds left, message]`, the message as it came from the client. */
  toBytes(): Buffer {
    const { context, request_id, msLeft } = this.told
    const bytes = Buffer.allocUnsafe(this.length)
    bytes[0] = ARRAY_OF_5
    bytes[1] = SPOKEN
    let at = writeTagged(bytes, 2, BIN_32, context.length)
    at += bytes.write(context, at, 'latin1')
    bytes[at++] = TEXT_OF_16
    at += bytes.write(request_id, at, REQUEST_ID_BYTES, 'latin1')
    at = writeTagged(bytes, at, UINT_32, msLeft)
    at = writeTagged(bytes, at, BIN_32, this.#bytes.length)
    this.#bytes.copy(bytes, at)
    return bytes
  }
}
/** Returns where it ends. */
function writeTagged(bytes: Buffer, at: number, tag: number, value: number): number {
  bytes[at] = tag
  return bytes.writeUInt32BE(value, at + 1)
}

/** Reads what `toBytes` has written. Throws `Unavailable` for a form that is not understood, `MalformedMessage`. */
export function opened(envelope: Buffer): Told {
  requireUnderstood(envelope[1])
  const [, context, request_id, msLeft, message] = decode(envelope, {
    maxBinBytes: limits.message.value,
  }) as [number, Buffer, string, number, Buffer]
  return { context: context.toString('latin1'), request_id, msLeft, message: decodeMap(message, CLIENT_MESSAGE) }
}

/** Contexts that a replica remembers for certain; up to twice as many, those that were used last. */
const REMEMBERED_CONTEXTS = 1_000

/** A connection sends the same context with each of its commands: it is decoded once. Handlers must not change it. */
export class Contexts {
  #recent = new Map<EncodedContext, Context>()
  #older = new Map<EncodedContext, Context>()
  read(encoded: EncodedContext): Context {
    const recent = this.#recent.get(encoded)
    if (recent) return recent
    if (this.#recent.size >= REMEMBERED_CONTEXTS) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    const context = this.#older.get(encoded) ?? Object.freeze(decodeContext<Context>(encoded))
    this.#recent.set(encoded, context)
    return context
  }
}
