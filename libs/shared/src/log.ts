/**
 * Log lines of spec 06 §9: a fixed event text and keys, as JSON or for the console.
 * Never log payloads, tokens, keys or passwords.
 */
import { isatty } from 'node:tty'
import { styleText } from 'node:util'
import { pino } from 'pino'
import { DateTime } from './codec/values.ts'
import { OperatorError } from './errors.ts'
import { limits } from './limits.ts'
import { ATOMIC_BYTES, LogDestination } from './log-destination.ts'
import type { LogWarning } from './protocol/replica.ts'
import { Repetitions } from './repetitions.ts'

export const LOG_LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['CONSOLE', 'JSON'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export type LogKeys = { readonly [key: string]: unknown; error?: unknown }

/**
 * `error` among the keys may be an `Error`: it is printed with its stack under `exception`. From `warning` on, what is
 * told again within a minute is told once more at its end, with how many others there were.
 */
export type Log = {
  /** `keys`: or how to find them, where that costs something. */
  debug(event: string, keys?: LogKeys | (() => LogKeys)): void
  info(event: string, keys?: LogKeys): void
  warning(event: string, keys?: LogKeys): void
  error(event: string, keys?: LogKeys): void
  critical(event: string, keys?: LogKeys): void
  /** The same log with keys bound to every line. */
  child(keys: LogKeys): Log
}

export type LogOptions = {
  level: LogLevel
  format: LogFormat
  /** Path of a file to append to; null is stderr. */
  file: string | null
  /** Whether other processes write to the same: then what is written at once must arrive in one piece. */
  isShared?: boolean
}

/** Level names as they appear in lines, with pino's numbers. */
const RANKS = { debug: 20, info: 30, warning: 40, error: 50, critical: 60 } as const
type Level = keyof typeof RANKS
const COLOURS = { debug: 'cyan', info: 'green', warning: 'yellow', error: 'red', critical: 'magenta' } as const

const STDERR = 2
const LEVEL_WIDTH = 9
const EVENT_WIDTH = 30
const MAX_CAUSES = 8

/** The fields of a line that no key may take: such a key gets a `_` behind. */
const RESERVED: ReadonlySet<string> = new Set(['event', 'level', 'timestamp', 'exception'])

/** `exception` of the fields is the error itself: its stack is made only for a line that is written. */
type Sink = { rank: number; write(level: Level, event: string, fields: Fields): void }
type Fields = { [key: string]: unknown }
/** Hears lines, with the error of a line under `exception`. */
export type LogListener = (level: Level, event: string, fields: Readonly<Fields>) => void

/** What differs between lines that say the same: of whom or of how many they speak. */
const PARTICULARS: ReadonlySet<string> = new Set([
  'conn_id',
  'request_id',
  'organization_id',
  'device_id',
  'block_id',
  'address',
  'connections',
  'spans',
])

export type ProcessLog = Log & {
  /** Lets `listener` hear each line from `info` on, whatever the level of the log. */
  watch(listener: LogListener): void
  reopen(): void
  close(): Promise<void>
  /** The last warnings and errors, oldest first. */
  warnings(): LogWarning[]
}

/** For administrators who look at a server without its log. */
class KeptWarnings {
  readonly list: LogWarning[] = []
  add(level: LogWarning['level'], event: string, { service, ...fields }: Fields): void {
    const json = JSON.stringify(fields)
    const keys = json.length <= MAX_KEPT ? json : JSON.stringify({ cut: json.slice(0, MAX_KEPT) })
    this.list.push({ at: DateTime.now(), level, event, ...(typeof service === 'string' && { service }), keys })
    if (this.list.length > limits.kept_warnings.value) this.list.shift()
  }
}
/** Of the keys of a kept warning, in characters. */
const MAX_KEPT = 4096

/**
 * Opens the log; throws `OperatorError` when the file cannot be appended to. `reopen` follows a rotation of the file;
 * `close` resolves when everything is written, or cannot be within a second. What an exiting process has not yet written
 * is written at its exit, as far as that needs no waiting.
 */
export function createLog({ level, format, file, isShared = false }: LogOptions): ProcessLog {
  const path = file === null || file === '-' ? null : file
  const destination = openDestination(path, isShared)
  const rank = RANKS[level.toLowerCase() as Level]
  const write =
    format === 'JSON' ? jsonWriter(destination) : consoleWriter(destination, path === null && isatty(STDERR))
  const kept = new KeptWarnings()
  const repetitions = new Repetitions()
  let listener: LogListener | undefined
  const tell = (level: Level, event: string, fields: Fields) => {
    listener?.(level, event, fields)
    if (RANKS[level] < rank) return
    if ('exception' in fields) fields.exception = describe(fields.exception)
    if (RANKS[level] >= RANKS.warning) kept.add(level as LogWarning['level'], event, fields)
    write(level, event, fields)
  }
  const sink: Sink = {
    rank,
    write(level, event, fields) {
      if (RANKS[level] < RANKS.warning) return tell(level, event, fields)
      const coarse = `${level} ${event}`
      repetitions.tell(coarse + kindOf(fields), coarse, repetition => tell(level, event, { ...fields, ...repetition }))
    },
  }
  return Object.assign(new Logger(sink, null, {}), {
    watch(by: LogListener) {
      listener = by
      sink.rank = Math.min(rank, RANKS.info)
    },
    warnings: () => [...kept.list],
    reopen: () => destination.reopen(),
    close() {
      repetitions.flush()
      return destination.close()
    },
  })
}

function openDestination(path: string | null, isShared: boolean): LogDestination {
  try {
    return new LogDestination(path, isShared ? ATOMIC_BYTES : undefined)
  } catch (error) {
    throw new OperatorError(`cannot write the log file ${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** A child costs one object: its keys are merged only into lines that are written. */
class Logger implements Log {
  readonly #sink: Sink
  readonly #parent: Logger | null
  readonly #keys: LogKeys
  constructor(sink: Sink, parent: Logger | null, keys: LogKeys) {
    this.#sink = sink
    this.#parent = parent
    this.#keys = keys
  }
  debug(event: string, keys?: LogKeys | (() => LogKeys)): void {
    if (this.#sink.rank <= RANKS.debug) this.#write('debug', event, typeof keys === 'function' ? keys() : keys)
  }
  info(event: string, keys?: LogKeys): void {
    if (this.#sink.rank <= RANKS.info) this.#write('info', event, keys)
  }
  warning(event: string, keys?: LogKeys): void {
    if (this.#sink.rank <= RANKS.warning) this.#write('warning', event, keys)
  }
  error(event: string, keys?: LogKeys): void {
    if (this.#sink.rank <= RANKS.error) this.#write('error', event, keys)
  }
  critical(event: string, keys?: LogKeys): void {
    if (this.#sink.rank <= RANKS.critical) this.#write('critical', event, keys)
  }
  child(keys: LogKeys): Log {
    return new Logger(this.#sink, this, keys)
  }

  #write(level: Level, event: string, keys: LogKeys | undefined): void {
    const fields: Fields = {}
    this.#collect(fields)
    if (keys) addTo(fields, keys)
    this.#sink.write(level, event, fields)
  }
  #collect(fields: Fields): void {
    if (this.#parent) this.#parent.#collect(fields)
    addTo(fields, this.#keys)
  }
}

function addTo(fields: Fields, keys: LogKeys): void {
  for (const key of Object.keys(keys)) {
    const value = keys[key]
    if (value === undefined) continue
    if (key === 'error') fields.exception = value
    else fields[RESERVED.has(key) ? `${key}_` : key] = printable(value)
  }
}

/** What lines have in common that say the same. */
function kindOf(fields: Fields): string {
  const common: unknown[] = []
  for (const key of Object.keys(fields)) {
    if (PARTICULARS.has(key)) continue
    common.push(key, CAUSES.has(key) ? textOf(fields[key]).replace(/\d+/g, '0') : fields[key])
  }
  return JSON.stringify(common).slice(0, MAX_KIND)
}

/** Their numbers are times, sizes and ports, which differ where the cause does not. */
const CAUSES: ReadonlySet<string> = new Set(['cause', 'reason', 'exception'])
/** Characters that tell kinds apart. */
const MAX_KIND = 1024

/** An error's stack, with those of its causes. */
function describe(error: unknown): string {
  const parts: string[] = []
  for (let cause = error; cause !== undefined && parts.length < MAX_CAUSES; ) {
    parts.push(cause instanceof Error ? (cause.stack ?? String(cause)) : textOf(cause))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return parts.join('\nCaused by: ')
}

/** A value as JSON can say it: bins by their length only, whatever has no JSON form by its text. */
function printable(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'object':
      return value === null ? null : printableObject(value)
    default:
      return textOf(value)
  }
}
function printableObject(value: object): unknown {
  if (ArrayBuffer.isView(value)) return `bin(${value.byteLength})`
  if (value instanceof Error) return textOf(value)
  try {
    return JSON.parse(JSON.stringify(value, withoutBins)) as unknown
  } catch {
    return textOf(value)
  }
}
/** A replacer of `JSON.stringify`; `this[key]` is the value before its `toJSON` ran. */
function withoutBins(this: Fields, key: string, value: unknown): unknown {
  const original = this[key]
  if (ArrayBuffer.isView(original)) return `bin(${original.byteLength})`
  if (original instanceof Error) return textOf(original)
  if (original instanceof Map) return Object.fromEntries(original)
  if (original instanceof Set) return [...original]
  if (['bigint', 'function', 'symbol'].includes(typeof value)) return textOf(value)
  return value
}
function textOf(value: unknown): string {
  try {
    return String(value)
  } catch {
    return typeof value
  }
}

/** Tells the time as `DateTime` writes it; what only changes with the second is made once for it. */
function clock(): () => string {
  let second = Number.NaN
  let prefix = ''
  return () => {
    const now = DateTime.now()
    if (now.second !== second) {
      second = now.second
      const text = String(now)
      prefix = text.slice(0, text.indexOf('.') + 1)
    }
    return `${prefix}${String(now.microsecond).padStart(6, '0')}Z`
  }
}

function jsonWriter(destination: LogDestination): Sink['write'] {
  const time = clock()
  const json = pino<Level>(
    {
      level: 'debug',
      customLevels: RANKS,
      useOnlyCustomLevels: true,
      base: null,
      messageKey: 'event',
      timestamp: () => `,"timestamp":"${time()}"`,
      formatters: { level: label => ({ level: label }) },
    },
    destination,
  )
  return (level, event, keys) => json[level](keys, event)
}

function consoleWriter(destination: LogDestination, colours: boolean): Sink['write'] {
  const paint = (style: Parameters<typeof styleText>[0], text: string) =>
    colours ? styleText(style, text, { validateStream: false }) : text
  const time = clock()
  return (level, event, fields) => {
    const text = oneLine(event)
    let pairs = ''
    for (const key of Object.keys(fields).sort()) {
      if (key !== 'exception')
        pairs += ` ${paint('cyan', oneLine(key))}=${paint('magenta', oneLine(shown(fields[key])))}`
    }
    const head = `${paint('dim', time())} [${paint(COLOURS[level], level.padEnd(LEVEL_WIDTH))}]`
    const what = paint('bold', pairs === '' ? text : text.padEnd(EVENT_WIDTH))
    const trace = fields.exception === undefined ? '' : `\n${indented(fields.exception as string)}`
    destination.write(`${head} ${what}${pairs}${trace}\n`)
  }
}
const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** No peer can forge a line or steer a terminal. */
const oneLine = (text: string): string =>
  UNPRINTABLE.test(text)
    ? text.replace(/[\p{Cc}\u2028\u2029]/gu, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : text
/** Of an error: it may repeat what a peer has said, in as many lines. */
const indented = (text: string): string =>
  text
    .split('\n')
    .map(line => `  ${oneLine(line)}`)
    .join('\n')
const UNPRINTABLE = /[\p{Cc}\u2028\u2029]/u
