/**
 * What this server needs of the inside of `ws`, which has no public name for it: how much of an unfinished message has
 * come, and a limit for messages that rises when the client is known. Nothing else may look inside; an upgrade of `ws`
 * that moves these fields fails at the first connection, thus in every test.
 */
import { Writable } from 'node:stream'
import type { WebSocket } from 'ws'

export type Receiver = Writable & {
  /** Largest message, all its fragments together. */
  _maxPayload: number
  /** Bytes that came and are not yet taken, and the pieces in which they came. */
  readonly _bufferedBytes: number
  readonly _buffers: { readonly length: number }
  /** Bytes of the fragments that are complete, and these. */
  readonly _messageLength: number
  readonly _fragments: { readonly length: number }
  /** Opcode of a message whose last fragment is yet to come, else 0. */
  readonly _fragmented: number
  /** 0 between two frames. */
  readonly _state: number
}
const NUMBERS = ['_maxPayload', '_bufferedBytes', '_messageLength', '_fragmented', '_state'] as const

export function receiverOf(socket: WebSocket): Receiver {
  const receiver: unknown = Reflect.get(socket, '_receiver')
  if (!isReceiver(receiver)) throw new Error('the receiver of `ws` has changed')
  return receiver
}
/**
 * To end what has ended changes nothing from now on. `ws` does that three times at the end of each connection, to its
 * receiver and to the socket, and each time Node makes an error, with its stack, that nobody ever sees.
 */
export function endOnce(stream: Writable): void {
  stream.end = end
}
function end(this: Writable, ...args: unknown[]): Writable {
  return args.length === 0 && this.writableEnded ? this : Reflect.apply(Writable.prototype.end, this, args)
}
const isReceiver = (value: unknown): value is Receiver =>
  value instanceof Writable &&
  NUMBERS.every(name => typeof Reflect.get(value, name) === 'number') &&
  ['_buffers', '_fragments'].every(name => Array.isArray(Reflect.get(value, name)))

/** What a piece costs beside its bytes, however few they are. */
const PIECE_BYTES = 256

/** Memory of a message that has begun and is not complete; undefined when there is none. */
export function unfinishedBytes(receiver: Receiver): number | undefined {
  const { _bufferedBytes, _buffers, _messageLength, _fragments, _fragmented, _state } = receiver
  if (_state === 0 && _fragmented === 0 && _bufferedBytes === 0) return undefined
  return _bufferedBytes + _messageLength + (_buffers.length + _fragments.length) * PIECE_BYTES
}
