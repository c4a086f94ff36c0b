/** What both halves of the NATS ceiling agree on. */
import { encode } from '@parsec/shared/codec/msgpack'

export const ECHO_SUBJECT = 'bench.ceiling.echo'
export const TIMEOUT_MS = 5_000
/** Text of every ping of the bench, so that a message has about 200 bytes. */
export const PING_TEXT = 'x'.repeat(180)
/** A reply made once: the ceiling looks at nothing. */
export const REPLY = encode({ status: 'ok', pong: PING_TEXT })
