/**
 * PostgreSQL's protocol after the login: results in binary, the statements of one turn of the event loop in one write
 * with one Sync, row descriptions remembered. `pg` connects, logs in and keeps its pool; this client takes its socket over
 * with the first statement. `wire.test.ts` runs the same statements through both (ADR 8).
 *
 * A statement resolves when its Sync is confirmed: outside a transaction, only then is it committed. What is long is read
 * from the socket to where it stays, and a long value is a part of that memory; whatever is short is copied out of memory
 * that is read into again.
 */
import type { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import pg from 'pg'
import { shortText } from '../codec/short-texts.ts'
import { isWorthLending, lend } from '../lent.ts'
import { limits } from '../limits.ts'
import { type Reader, readInto } from './socket.ts'
import { type Decode, decoderOf, LONG_BYTES, type Parameter, parameterOf } from './wire-values.ts'

type Statement = { readonly name?: string; readonly text: string; readonly values?: readonly unknown[] }
export type WireResult = { rows: object[]; rowCount: number | null; command: string }
type Done = (error: unknown, result?: WireResult) => void

/** What the server says of a failed statement; named as in `pg`. */
class DatabaseError extends Error {
  readonly code: string
  readonly severity: string | undefined
  readonly detail: string | undefined
  readonly table: string | undefined
  readonly constraint: string | undefined
  constructor(fields: ReadonlyMap<string, string>) {
    super(fields.get('M') ?? 'the database gives no reason')
    this.name = 'error'
    this.severity = fields.get('V') ?? fields.get('S')
    this.code = fields.get('C') ?? ''
    this.detail = fields.get('D')
    this.table = fields.get('t')
    this.constraint = fields.get('n')
  }
}

export class WireClient extends pg.Client {
  #wire: Wire | undefined

  /** As of `pg`, of which the pool and the database use these forms: text or a statement, then perhaps a callback. */
  override query(statement: unknown, values?: unknown, callback?: unknown): never
  override query(given: string | Statement, values?: unknown, callback?: unknown): Promise<WireResult> | undefined {
    const statement = typeof given === 'string' ? { text: given } : given
    const done = [values, callback].find(argument => typeof argument === 'function') as Done | undefined
    if (done) {
      this.#send(statement, done)
      return undefined
    }
    return new Promise((resolve, reject) =>
      this.#send(statement, (error, result) => (result ? resolve(result) : reject(error))),
    )
  }
  #send(statement: Statement, done: Done): void {
    this.#wire ??= new Wire(this)
    this.#wire.send(statement, done)
  }

  /** What still runs is given up: its answer may never come. */
  override end(): Promise<void>
  override end(callback: (error: Error) => void): void
  override end(callback?: (error: Error) => void): Promise<void> | void {
    if (this.#wire?.isBusy) this.#wire.destroy()
    return callback ? super.end(callback) : super.end()
  }
}

const TO_SERVER = {
  parse: 0x50,
  bind: 0x42,
  describe: 0x44,
  execute: 0x45,
  close: 0x43,
  sync: 0x53,
  query: 0x51,
} as const
const FROM_SERVER = {
  parseComplete: 0x31,
  rowDescription: 0x54,
  noData: 0x6e,
  dataRow: 0x44,
  commandComplete: 0x43,
  emptyQuery: 0x49,
  error: 0x45,
  readyForQuery: 0x5a,
  copyIn: 0x47,
} as const

const CHUNK_BYTES = 64 * 1024

/** Messages to the server, one after the other, until they are taken. */
class Writer {
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  /** Of the chunk: where the bytes begin that were not taken yet, and where the next go. */
  #from = 0
  #at = 0
  #parts: Buffer[] = []

  /** `length`: of the body. */
  start(code: number, length: number): void {
    this.#room(5)
    this.#chunk[this.#at++] = code
    this.int32(4 + length)
  }
  int16(n: number): void {
    this.#room(2)
    this.#at = this.#chunk.writeInt16BE(n, this.#at)
  }
  int32(n: number): void {
    this.#room(4)
    this.#at = this.#chunk.writeInt32BE(n, this.#at)
  }
  /** `length`: in bytes. */
  text(value: string, length: number): void {
    this.#room(length)
    this.#at += this.#chunk.write(value, this.#at, length)
  }
  /** A text and the zero that ends it. */
  zeroEnded(value: string): void {
    this.text(`${value}\0`, Buffer.byteLength(value) + 1)
  }
  bytes(value: Uint8Array): void {
    if (value.length > LONG_BYTES) {
      this.#cut()
      this.#parts.push(Buffer.from(value.buffer, value.byteOffset, value.length))
      return
    }
    this.#room(value.length)
    this.#chunk.set(value, this.#at)
    this.#at += value.length
  }
  take(): Buffer[] {
    this.#cut()
    const parts = this.#parts
    this.#parts = []
    return parts
  }
  /** What was written stays where it is: it may still be on its way. */
  #room(n: number): void {
    if (this.#at + n <= this.#chunk.length) return
    this.#cut()
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, n))
    this.#from = this.#at = 0
  }
  #cut(): void {
    if (this.#at > this.#from) this.#parts.push(this.#chunk.subarray(this.#from, this.#at))
    this.#from = this.#at
  }
}

function writeBind(w: Writer, name: string, parameters: readonly Parameter[]): void {
  const lengths = parameters.map(p => (typeof p === 'string' ? Buffer.byteLength(p) : (p?.length ?? 0)))
  const n = parameters.length
  w.start(TO_SERVER.bind, name.length + 10 + 6 * n + lengths.reduce((sum, length) => sum + length, 0))
  w.zeroEnded('')
  w.zeroEnded(name)
  w.int16(n)
  for (const parameter of parameters) w.int16(parameter instanceof Uint8Array ? 1 : 0)
  w.int16(n)
  for (const [i, parameter] of parameters.entries()) {
    w.int32(parameter === null ? -1 : lengths[i]!)
    if (typeof parameter === 'string') w.text(parameter, lengths[i]!)
    else if (parameter) w.bytes(parameter)
  }
  // All results in binary
  w.int16(1)
  w.int16(1)
}

/** PostgreSQL's own limit of a value: no message is longer. */
const MAX_MESSAGE_BYTES = 1024 * 1024 * 1024
const HEAD_BYTES = 5
/** The same of a row, with the number of its values and the length of the first. */
const ROW_HEAD_BYTES = HEAD_BYTES + 2 + 4
/** What a row costs beside its bytes. */
const ROW_BYTES = 128
/** The server does not know the prepared statement any more, or its result would have another shape now. */
const OUTDATED = new Set(['26000', '0A000'])

type Column = { readonly name: string; readonly decode: Decode }
type Running = {
  readonly name: string
  readonly done: Done
  /** Text without parameters, perhaps several statements. */
  readonly isScript: boolean
  columns: readonly Column[] | undefined
  rows: object[]
  /** Of its rows. */
  bytes: number
  result?: WireResult
  error?: unknown
}

/** One logged-in socket. */
class Wire implements Reader {
  readonly #client: pg.Client
  readonly #stream: Duplex
  readonly #writer = new Writer()
  /** By the names of prepared statements: their columns, once they have been described. */
  readonly #prepared = new Map<string, readonly Column[] | undefined>()
  /** What was sent, in groups that end with a Sync; the last group is still open. */
  readonly #groups: Running[][] = [[]]
  /** The statement of the oldest group that runs now, and what ended the group early. */
  #current = 0
  #failure: unknown
  #inTransaction = false
  #isFlushing = false
  #lost: Error | undefined
  /** What came last, and how much of it is the beginning of a message that is not taken yet. */
  readonly #short = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #has = 0
  /** A message that is not whole, in memory of its own, and how much of it there is. */
  #long: Buffer | undefined
  #hasLong = 0
  /** Bytes to come of a row that nobody wants. */
  #unwanted = 0

  constructor(client: pg.Client) {
    this.#client = client
    this.#stream = connectionOf(client).stream
    readInto(this.#stream, this)
    this.#stream.on('error', error => this.#end(error))
    this.#stream.on('close', () => this.#end(new Error('Connection terminated unexpectedly')))
    if (this.#stream.destroyed) this.#end(new Error('Connection terminated'))
  }
  get isBusy(): boolean {
    return this.#groups.some(group => group.length > 0)
  }
  destroy(): void {
    this.#stream.destroy()
  }

  send({ name = '', text, values = [] }: Statement, done: Done): void {
    if (this.#lost) return void process.nextTick(done, this.#lost)
    const isScript = name === '' && values.length === 0
    const running: Running = { name, done, isScript, columns: this.#prepared.get(name), rows: [], bytes: 0 }
    if (isScript) this.#sendScript(text, running)
    else this.#sendStatement(text, values.map(parameterOf), running)
    if (this.#isFlushing) return
    this.#isFlushing = true
    process.nextTick(() => this.#flush())
  }
  /** It brings a Sync of its own. */
  #sendScript(text: string, running: Running): void {
    this.#sync()
    this.#writer.start(TO_SERVER.query, Buffer.byteLength(text) + 1)
    this.#writer.zeroEnded(text)
    this.#groups.at(-1)!.push(running)
    this.#groups.push([])
  }
  #sendStatement(text: string, parameters: readonly Parameter[], running: Running): void {
    const w = this.#writer
    const { name, columns } = running
    if (name === '' || !this.#prepared.has(name)) {
      // Whoever had the session before, or this client, may have used the name.
      w.start(TO_SERVER.close, name.length + 2)
      w.zeroEnded(`S${name}`)
      w.start(TO_SERVER.parse, name.length + Buffer.byteLength(text) + 4)
      w.zeroEnded(name)
      w.zeroEnded(text)
      w.int16(0)
      if (name !== '') this.#prepared.set(name, undefined)
    }
    writeBind(w, name, parameters)
    if (!columns) {
      w.start(TO_SERVER.describe, 2)
      w.zeroEnded('P')
    }
    w.start(TO_SERVER.execute, 5)
    w.zeroEnded('')
    w.int32(0)
    this.#groups.at(-1)!.push(running)
    // Outside a transaction a statement must not share the fate of the next.
    if (text === 'BEGIN') this.#inTransaction = true
    else if (text === 'COMMIT' || text === 'ROLLBACK') this.#inTransaction = false
    if (!this.#inTransaction) this.#sync()
  }
  #sync(): void {
    if (this.#groups.at(-1)!.length === 0) return
    this.#writer.start(TO_SERVER.sync, 0)
    this.#groups.push([])
  }
  #flush(): void {
    this.#isFlushing = false
    this.#sync()
    const parts = this.#writer.take()
    if (this.#lost) return
    if (parts.length > 1) this.#stream.cork()
    for (const part of parts) this.#stream.write(part)
    if (parts.length > 1) this.#stream.uncork()
  }

  room(): Buffer {
    return this.#long ? this.#long.subarray(this.#hasLong) : this.#short.subarray(this.#has)
  }
  came(bytes: number): void {
    try {
      if (this.#long) this.#lengthen(this.#long, bytes)
      else this.#takeAll(this.#has + bytes)
    } catch (error) {
      // What comes next cannot be told any more.
      this.#stream.destroy(error as Error)
    }
  }
  #lengthen(message: Buffer, bytes: number): void {
    this.#hasLong += bytes
    if (this.#hasLong < message.length) return
    this.#long = undefined
    this.#take(message, 0, message.length)
  }
  /** Takes the whole messages of the first `has` bytes. */
  #takeAll(has: number): void {
    const bytes = this.#short
    let at = Math.min(has, this.#unwanted)
    this.#unwanted -= at
    while (at + HEAD_BYTES <= has) {
      const end = at + 1 + lengthOf(bytes, at)
      if (end - at > LONG_BYTES) this.#begin(bytes.subarray(at, has), end - at)
      else if (end <= has) this.#take(bytes, at, end)
      else break
      at = Math.min(end, has)
    }
    bytes.copyWithin(0, at, has)
    this.#has = has - at
  }
  /** A long message, of which `bytes` came, with or without all of it. */
  #begin(bytes: Buffer, length: number): void {
    if (bytes[0] === FROM_SERVER.dataRow && !hasRoom(this.#running, length)) {
      this.#unwanted = Math.max(length - bytes.length, 0)
      return
    }
    const message = this.#memoryFor(bytes[0]!, length)
    this.#hasLong = bytes.copy(message)
    if (this.#hasLong === length) this.#take(message, 0, length)
    else this.#long = message
  }
  /** A value that comes alone, as a block does, is probably on its way to a client. */
  #memoryFor(code: number, length: number): Buffer {
    const { columns, rows } = this.#running ?? {}
    const isAlone = code === FROM_SERVER.dataRow && columns?.length === 1 && rows?.length === 0
    const valueBytes = length - ROW_HEAD_BYTES
    return isAlone && isWorthLending(valueBytes) ? lend(ROW_HEAD_BYTES, valueBytes) : Buffer.allocUnsafeSlow(length)
  }

  get #running(): Running | undefined {
    return this.#groups[0]![this.#current]
  }
  #take(b: Buffer, start: number, end: number): void {
    const running = this.#running
    const at = start + HEAD_BYTES
    switch (b[start]) {
      case FROM_SERVER.rowDescription:
        return this.#describe(running, this.#columns(b, at, running?.isScript === true))
      case FROM_SERVER.noData:
        return this.#describe(running, [])
      case FROM_SERVER.dataRow:
        return readRow(running, b, at, end)
      case FROM_SERVER.commandComplete:
        return this.#complete(running, tagOf(b, at, end - 1))
      case FROM_SERVER.emptyQuery:
        return this.#complete(running, NO_COMMAND)
      case FROM_SERVER.error:
        return this.#fail(running, errorOf(b, at, end))
      case FROM_SERVER.readyForQuery:
        return this.#endGroup()
      case FROM_SERVER.copyIn:
        throw new Error('COPY is not supported')
    }
  }
  #describe(running: Running | undefined, columns: readonly Column[]): void {
    if (!running) return
    running.columns = columns
    if (running.name !== '' && this.#prepared.has(running.name)) this.#prepared.set(running.name, columns)
  }
  /** Those of a script come as text. */
  #columns(b: Buffer, at: number, isText: boolean): Column[] {
    const columns: Column[] = []
    let next = at + 2
    for (let left = b.readInt16BE(at); left > 0; left--) {
      const zero = b.indexOf(0, next)
      const oid = b.readUInt32BE(zero + 7)
      const parse: (value: string) => unknown = isText ? this.#client.getTypeParser(oid, 'text') : String
      const decode: Decode = isText ? (b, at, length) => parse(b.toString('utf8', at, at + length)) : decoderOf(oid)
      columns.push({ name: b.toString('utf8', next, zero), decode })
      next = zero + 19
    }
    return columns
  }
  #complete(running: Running | undefined, { command, rowCount }: Tag): void {
    if (!running) return
    running.result = { rows: running.rows, rowCount, command }
    // A script goes on until its Sync.
    if (running.isScript) running.rows = []
    else this.#current++
  }
  /** The rest of the group is not run; a failure after the last statement is one of its commit. */
  #fail(running: Running | undefined, error: DatabaseError): void {
    const failed = running ?? this.#groups[0]!.at(-1)
    if (!failed) {
      // Nobody asked: the server ends the connection.
      connectionOf(this.#client).emit('errorMessage', error)
      return
    }
    this.#failure = failed.error = error
    if (OUTDATED.has(error.code)) this.#forget(failed)
  }
  #endGroup(): void {
    const group = this.#groups.shift()!
    const failure = this.#failure
    this.#failure = undefined
    this.#current = 0
    for (const running of group) {
      // What was skipped may not have been prepared.
      if (!running.columns) this.#forget(running)
      settle(running, failure)
    }
  }
  #forget({ name }: Running): void {
    this.#prepared.delete(name)
  }

  #end(error: Error): void {
    if (this.#lost) return
    this.#lost = error
    const reason = this.#failure ?? error
    for (const running of this.#groups.splice(0).flat()) {
      delete running.result
      settle(running, reason)
    }
    this.#groups.push([])
  }
}

/** What `pg` has no name for: the messages of a client, and its bytes. */
export const connectionOf = (client: pg.Client): EventEmitter & { stream: Duplex } =>
  (client as unknown as { connection: EventEmitter & { stream: Duplex } }).connection

function settle({ done, result, error }: Running, failure: unknown): void {
  if (error !== undefined || !result) done(error ?? failure ?? new Error('the database gave no result'))
  else done(undefined, result)
}

function lengthOf(b: Buffer, at: number): number {
  const length = b.readUInt32BE(at + 1)
  if (length < 4 || length > MAX_MESSAGE_BYTES) throw new Error(`not a message of PostgreSQL: ${length} bytes`)
  return length
}

/** Whether the result may have a row of so many bytes more; else its statement has failed, and keeps nothing of it. */
function hasRoom(running: Running | undefined, bytes: number): running is Running {
  if (!running || running.error !== undefined) return false
  if (running.bytes + bytes + ROW_BYTES <= limits.result.value) return true
  running.error = new RangeError(`result of more than ${limits.result.value} bytes`)
  running.rows = []
  return false
}

/** A value that cannot be read fails its statement only. */
function readRow(running: Running | undefined, b: Buffer, at: number, end: number): void {
  if (!hasRoom(running, end - at)) return
  running.bytes += end - at + ROW_BYTES
  try {
    running.rows.push(rowOf(b, at, running.columns ?? []))
  } catch (error) {
    running.error = error
  }
}

function rowOf(b: Buffer, at: number, columns: readonly Column[]): object {
  const row: { [name: string]: unknown } = {}
  let next = at + 2
  for (const { name, decode } of columns) {
    const length = b.readInt32BE(next)
    next += 4
    row[name] = length < 0 ? null : decode(b, next, length)
    next += Math.max(length, 0)
  }
  return row
}

/** What a statement did, and to how many rows: of `INSERT 0 5` the first word and the last, of `COMMIT` no number. */
type Tag = { readonly command: string; readonly rowCount: number | null }
const NO_COMMAND: Tag = { command: '', rowCount: null }
const [BLANK, ZERO] = [0x20, 0x30]
const isDigit = (byte: number): boolean => byte >= ZERO && byte <= ZERO + 9
function tagOf(b: Buffer, at: number, end: number): Tag {
  let wordEnd = at
  while (wordEnd < end && b[wordEnd] !== BLANK) wordEnd++
  let rowCount = 0
  let digits = end
  for (let unit = 1; isDigit(b[digits - 1]!); unit *= 10) rowCount += (b[--digits]! - ZERO) * unit
  return { command: shortText(b, at, wordEnd) ?? '', rowCount: digits === end ? null : rowCount }
}
function errorOf(b: Buffer, at: number, end: number): DatabaseError {
  const fields = b.toString('utf8', at, end).split('\0')
  return new DatabaseError(new Map(fields.map(field => [field.slice(0, 1), field.slice(1)])))
}
