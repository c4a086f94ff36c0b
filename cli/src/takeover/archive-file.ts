/**
 * A file with one organization: a magic line, then sections. A section is a head (JSON, its length before it), pieces
 * (length and bytes), an empty piece, and the SHA-256 of everything in the file before. So it is written and read as a
 * stream, and what is altered or cut off is noticed at the end of its section.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { OperatorError } from '@parsec/shared/errors'

const MAGIC = Buffer.from('parsec organization archive 1\n')
/** Bytes of small pieces that are written at once. */
const WRITE_BYTES = 1024 * 1024
/** Longest piece: a block of the largest message, and its id. */
const MAX_PIECE = 17 * 1024 * 1024
const MAX_HEAD = 64 * 1024
const DIGEST_BYTES = 32

export type Head =
  | {
      section: 'archive'
      organization_id: string
      level: number
      release: string
      exported_on: string
      blocks: boolean
    }
  | { section: 'rows'; table: string; columns: readonly string[]; types: readonly string[] }
  | { section: 'blocks' }
  | { section: 'end'; rows: { readonly [table: string]: number }; blocks: number }

export class ArchiveWriter {
  readonly #path: string
  readonly #file: FileHandle
  readonly #hash = createHash('sha256')
  #waiting: Buffer[] = []
  #bytes = 0

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }
  /** Under another name until it is whole. Refuses to replace a file. */
  static async create(path: string): Promise<ArchiveWriter> {
    const exists = await open(path, 'r').catch(() => null)
    if (exists) {
      await exists.close()
      throw new OperatorError(`--output: ${path} exists already`)
    }
    // What is left of an interrupted one may be somebody else's to read.
    await rm(`${path}.part`, { force: true })
    const writer = new ArchiveWriter(path, await open(`${path}.part`, 'wx', 0o600))
    await writer.#write(MAGIC)
    return writer
  }
  async begin(head: Head): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(head))
    await this.#write(lengthOf(bytes))
    await this.#write(bytes)
  }
  async piece(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    await this.#write(lengthOf(bytes))
    await this.#write(bytes)
  }
  async finish(): Promise<void> {
    await this.#write(Buffer.alloc(4))
    await this.#write(this.#hash.copy().digest())
  }
  async close(): Promise<void> {
    await this.#flush()
    await this.#file.sync()
    await this.#file.close()
    await rename(`${this.#path}.part`, this.#path)
  }
  async abandon(): Promise<void> {
    await this.#file.close()
    await rm(`${this.#path}.part`, { force: true })
  }
  async #write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes)
    if (this.#bytes + bytes.length > WRITE_BYTES) await this.#flush()
    if (bytes.length >= WRITE_BYTES) return this.#file.writeFile(bytes)
    this.#waiting.push(bytes)
    this.#bytes += bytes.length
  }
  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#bytes = 0
    await this.#file.writeFile(bytes)
  }
}
const lengthOf = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return length
}

export class ArchiveReader {
  readonly #path: string
  readonly #file: FileHandle
  readonly #hash = createHash('sha256')

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }
  static async open(path: string): Promise<ArchiveReader> {
    const file = await open(path, 'r').catch((error: Error) => {
      throw new OperatorError(`--from: ${error.message}`, { cause: error })
    })
    const reader = new ArchiveReader(path, file)
    const magic = await reader.#read(MAGIC.length).catch(() => Buffer.alloc(0))
    if (magic.equals(MAGIC)) return reader
    await file.close()
    throw new OperatorError(
      `--from: ${path} is no archive of an organization that this release can read: it is made by \`parsec backend export\``,
    )
  }
  async head(): Promise<Head> {
    const length = (await this.#read(4)).readUInt32BE()
    if (length > MAX_HEAD) throw this.#damaged()
    try {
      return JSON.parse((await this.#read(length)).toString()) as Head
    } catch (error) {
      throw error instanceof OperatorError ? error : this.#damaged()
    }
  }
  /** The pieces of a section; throws after the last when the file is not what was written. */
  async *pieces(): AsyncGenerator<Buffer> {
    for (;;) {
      const length = (await this.#read(4)).readUInt32BE()
      if (length > MAX_PIECE) throw this.#damaged()
      if (length === 0) break
      yield await this.#read(length)
    }
    const expected = this.#hash.copy().digest()
    if (!(await this.#read(DIGEST_BYTES)).equals(expected)) throw this.#damaged()
  }
  /** Of all that was read. */
  get digest(): string {
    return this.#hash.copy().digest('hex')
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close()
  }
  async #read(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    for (let have = 0; have < length; ) {
      const { bytesRead } = await this.#file.read(bytes, have, length - have)
      if (bytesRead === 0) throw this.#damaged()
      have += bytesRead
    }
    this.#hash.update(bytes)
    return bytes
  }
  #damaged(): OperatorError {
    return new OperatorError(`--from: ${this.#path} is damaged or cut off; nothing of it was taken`)
  }
}
