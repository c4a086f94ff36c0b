/** Finds secrets in log lines, in every form in which bytes and identifiers get into a log. */

/** Hexadecimal digits of a payload's beginning, as `record-secrets.mjs` keeps them. */
const HEX_DIGITS = 32
/** The same bytes in base64, as far as whole groups of three bytes go. */
const BASE64_CHARACTERS = 20
/** Numbers of a list that are looked for. */
const LISTED_BYTES = 8
/** Characters of a payload that is text. */
const TEXT_CHARACTERS = 12

const HEX_RUN = /[0-9a-fA-F]{32,}/g
const BASE64_RUN = /[A-Za-z0-9+/_-]{20,}/g
/** Bytes as JSON or as an array is printed, `[1, 2`, and as Node prints a buffer, `<Buffer 01 02`. */
const LIST = /(?:\d{1,3},\s*){8,}|(?:"\d+":\s*\d{1,3},\s*){8,}/g
const DUMP = /(?:[0-9a-f]{2} ){8,}/g
const CANONICAL_UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi
/** What differs between two lines that the same code has written. */
const VARIABLE = /[0-9a-f]{6,}|\d+/gi

export type Leak = { secret: string; form: string }

export class LeakFinder {
  readonly #hex = new Set<string>()
  readonly #base64 = new Set<string>()
  readonly #lists = new Set<string>()
  readonly #dumps = new Set<string>()
  readonly #texts = new Set<string>()
  readonly #words: readonly string[]
  readonly #ids = new Set<string>()
  readonly #seen = new Set<string>()

  /** `payloads`: hex of at least 16 bytes; `texts`: passwords and tokens, also UUIDs as hexadecimal digits. */
  constructor({ payloads, texts }: { payloads: Iterable<string>; texts: Iterable<string> }) {
    for (const payload of payloads) {
      const bytes = Buffer.from(payload, 'hex')
      this.#hex.add(payload.slice(0, HEX_DIGITS))
      for (const form of ['base64', 'base64url'] as const)
        this.#base64.add(bytes.toString(form).slice(0, BASE64_CHARACTERS))
      this.#lists.add([...bytes.subarray(0, LISTED_BYTES)].join())
      this.#dumps.add(dumped(payload))
      const text = bytes.toString('latin1').slice(0, TEXT_CHARACTERS)
      if (/^[\x20-\x7e]+$/.test(text)) this.#texts.add(text)
    }
    const words = new Set<string>()
    for (const text of texts) {
      if (/^[0-9a-f]{32,}$/.test(text)) this.#ids.add(text.slice(0, HEX_DIGITS))
      else words.add(text)
    }
    this.#words = [...words]
  }

  /** The first secret in a line, undefined when there is none. */
  find(line: string): Leak | undefined {
    for (const run of line.match(HEX_RUN) ?? []) {
      const digits = run.toLowerCase()
      const secret = windowIn(this.#hex, digits, HEX_DIGITS) ?? windowIn(this.#ids, digits, HEX_DIGITS)
      if (secret) return { secret, form: 'hexadecimal' }
    }
    for (const run of line.match(BASE64_RUN) ?? []) {
      const secret = windowIn(this.#base64, run, BASE64_CHARACTERS)
      if (secret) return { secret, form: 'base64' }
    }
    for (const id of line.match(CANONICAL_UUID) ?? [])
      if (this.#ids.has(id.toLowerCase().replaceAll('-', ''))) return { secret: id, form: 'UUID' }
    for (const list of line.match(LIST) ?? []) {
      const bytes = list.replaceAll(/"\d+":/g, '').match(/\d+/g)!
      const secret = bytes.slice(0, LISTED_BYTES).join()
      if (this.#lists.has(secret)) return { secret, form: 'list of numbers' }
    }
    for (const dump of line.match(DUMP) ?? [])
      if (this.#dumps.has(dump.slice(0, dumpLength))) return { secret: dump, form: 'dump' }
    return this.#findText(line)
  }

  /** Looks once at each kind of line: this is slow, and what one line of a kind shows the others do as well. */
  #findText(line: string): Leak | undefined {
    const word = this.#words.find(each => line.includes(each))
    if (word) return { secret: word, form: 'text' }
    const kind = line.replaceAll(VARIABLE, '#')
    if (this.#seen.has(kind)) return undefined
    this.#seen.add(kind)
    const secret = windowIn(this.#texts, line, TEXT_CHARACTERS)
    return secret ? { secret, form: 'payload as text' } : undefined
  }
}

const dumpLength = LISTED_BYTES * 3
const dumped = (payload: string): string => payload.slice(0, LISTED_BYTES * 2).replaceAll(/../g, '$& ')

/** The first part of `text` of that length that is in `secrets`. */
function windowIn(secrets: ReadonlySet<string>, text: string, length: number): string | undefined {
  if (secrets.size === 0) return undefined
  for (let at = 0; at + length <= text.length; at++) {
    const part = text.slice(at, at + length)
    if (secrets.has(part)) return part
  }
  return undefined
}
