/**
 * Loaded into every process of `npm test` before anything else. Remembers what its Parsec clients send and receive and
 * nobody may ever log, for `check-logs.ts`: the beginning of each payload, and every token.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Decoder, Encoder } from '@msgpack/msgpack'

/** Bytes of a payload that are looked for. */
export const PREFIX_BYTES = 16
/** A payload of fewer different bytes would be found by chance. */
const MIN_DISTINCT_BYTES = 5
/** A token of fewer characters is one that a test made up. */
const MIN_TEXT = 12
const SECRET_FIELDS = new Set(['token', 'bootstrap_token', 'invitation_token', 'password'])

const folder = process.env.PARSEC_TEST_LOGS
if (folder) {
  const secrets = { payloads: new Set(), texts: new Set() }
  const { encode } = Encoder.prototype
  Encoder.prototype.encode = function (value) {
    remember(value, secrets)
    return encode.call(this, value)
  }
  const { decode } = Decoder.prototype
  Decoder.prototype.decode = function (bytes) {
    const value = decode.call(this, bytes)
    remember(value, secrets)
    return value
  }
  process.once('exit', () => {
    const { payloads, texts } = secrets
    if (payloads.size + texts.size === 0) return
    writeFileSync(
      join(folder, `${process.pid}.secrets.json`),
      JSON.stringify({ payloads: [...payloads], texts: [...texts] }),
    )
  })
}

function remember(value, secrets, field = '') {
  if (value instanceof Uint8Array) {
    const prefix = value.subarray(0, PREFIX_BYTES)
    if (prefix.length === PREFIX_BYTES && new Set(prefix).size >= MIN_DISTINCT_BYTES)
      secrets.payloads.add(Buffer.from(prefix).toString('hex'))
  } else if (SECRET_FIELDS.has(field)) {
    // A UUID is an object of the test client, and its bytes in hex as a text; a list says what is wrong with the field.
    if (value && !Array.isArray(value) && String(value).length >= MIN_TEXT) secrets.texts.add(String(value))
  } else if (Array.isArray(value)) for (const item of value) remember(item, secrets)
  else if (value instanceof Map) for (const [name, item] of value) remember(item, secrets, String(name))
  else if (isPlain(value)) for (const [name, item] of Object.entries(value)) remember(item, secrets, name)
}

/** Not an identifier or a time, which may be logged. */
function isPlain(value) {
  const prototype = typeof value === 'object' && value !== null ? Object.getPrototypeOf(value) : undefined
  return prototype === Object.prototype || prototype === null
}
