/**
 * Where log lines go: a file, or a stream of the process. Whoever reads them may stop reading, the disk may be full, the
 * pipe broken: lines are then dropped and counted, and nothing waits for them, least of all the end of the process.
 * (The destination that comes with pino tries for ever at the exit of the process.)
 */
import { close, constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { LOG_CLOSE_MS, LOG_RETRY_MS } from './deadlines.ts'
import { limits } from './limits.ts'

/** Bytes of one write, so that a failed one loses few lines. */
const CHUNK_BYTES = 64 * 1024
/** What a pipe takes in one piece or not at all, whoever else writes to it (`PIPE_BUF`). */
export const ATOMIC_BYTES = 4096

export class LogDestination {
  readonly #path: string | null
  readonly #chunkBytes: number
  #fd: number
  /** Where the descriptor is a socket, which only blocks or not for all who share it: so libuv waits for it. */
  readonly #socket: Socket | undefined
  #pending: string[] = []
  #pendingLength = 0
  /** What is being written, less what has been. */
  #chunk: Buffer | undefined
  /** Whether the system has the chunk: it will write it before the process has ended. */
  #inFlight = false
  #dropped = 0
  /** Nobody will ever read this again. */
  #broken = false
  #reopens = false
  #idle: (() => void)[] = []

  /**
   * `path`: a file to append to; null is the standard error stream. `chunkBytes`: most of one write, unless a line alone
   * is longer. Throws what `open` throws.
   */
  constructor(path: string | null, chunkBytes = CHUNK_BYTES) {
    this.#path = path
    this.#chunkBytes = chunkBytes
    this.#fd = path === null ? openStandardStream(2) : openAppending(path)
    if (path === null && fstatSync(this.#fd).isSocket()) {
      this.#socket = new Socket({ fd: this.#fd, readable: false, writable: true })
      this.#socket.on('error', () => this.#break())
      this.#socket.unref()
    }
    process.once('exit', this.#flushAtExit)
  }

  /** Takes whole lines, each with its line end. Never blocks, never throws. */
  write(lines: string): void {
    if (this.#broken) return
    if (this.#pendingLength + lines.length > limits.log_pending.value) {
      this.#dropped++
      return
    }
    this.#pending.push(lines)
    this.#pendingLength += lines.length
    if (!this.#chunk) this.#next()
  }

  /** Goes on in a new file of the same path, behind what was written so far. */
  reopen(): void {
    if (this.#path === null) return
    this.#reopens = true
    if (!this.#chunk) this.#next()
  }

  /** Resolves when everything is written, or cannot be written within a second. */
  async close(): Promise<void> {
    if (this.#chunk) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#idle.push(resolve)
      const timer = setTimeout(resolve, LOG_CLOSE_MS)
      await promise
      clearTimeout(timer)
    }
    this.#broken = true
    process.off('exit', this.#flushAtExit)
    if (this.#path !== null && !this.#chunk) close(this.#fd)
  }

  #next(): void {
    if (this.#reopens) this.#open()
    if (this.#dropped > 0 && this.#pendingLength === 0) {
      this.#pending.push(`${this.#dropped} log lines dropped: nobody takes them\n`)
      this.#dropped = 0
    }
    if (this.#pending.length === 0) {
      this.#chunk = undefined
      for (const resolve of this.#idle.splice(0)) resolve()
      return
    }
    let [count, length, bytes] = [0, 0, 0]
    for (const lines of this.#pending) {
      bytes += Buffer.byteLength(lines)
      if (count > 0 && bytes > this.#chunkBytes) break
      length += lines.length
      count++
    }
    this.#pendingLength = Math.max(this.#pendingLength - length, 0)
    this.#chunk = Buffer.from(this.#pending.splice(0, count).join(''))
    this.#write()
  }
  #write(): void {
    if (this.#socket) this.#writeSocket(this.#socket)
    else this.#writeFile()
  }
  #writeSocket(socket: Socket): void {
    this.#inFlight = true
    socket.write(this.#chunk!, error => {
      this.#inFlight = false
      if (!error && !this.#broken) this.#next()
    })
  }
  #writeFile(): void {
    this.#inFlight = true
    write(this.#fd, this.#chunk!, (error, written) => {
      this.#inFlight = false
      if (this.#broken) return
      if (!error) {
        this.#chunk = this.#chunk!.subarray(written)
        if (this.#chunk.length > 0) this.#writeFile()
        else this.#next()
      } else if (error.code === 'EPIPE') this.#break()
      // A slow reader, a full disk: perhaps later.
      else setTimeout(() => this.#broken || this.#writeFile(), LOG_RETRY_MS).unref()
    })
  }
  #break(): void {
    this.#broken = true
    this.#pending = []
    for (const resolve of this.#idle.splice(0)) resolve()
  }
  #open(): void {
    this.#reopens = false
    try {
      const fd = openAppending(this.#path!)
      close(this.#fd)
      this.#fd = fd
    } catch {
      // The file that is open goes on serving.
    }
  }

  /** One try: the process may not wait. */
  readonly #flushAtExit = (): void => {
    const rest = [...(this.#chunk && !this.#inFlight ? [this.#chunk] : []), Buffer.from(this.#pending.join(''))]
    try {
      for (const bytes of rest) writeSync(this.#fd, bytes)
    } catch {
      // Lost.
    }
  }
}

const openAppending = (path: string): number =>
  openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK, 0o640)

/** Says something on standard output, unless nobody takes it: then it is lost. */
export function sayIfHeard(text: string): void {
  try {
    const fd = openStandardStream(1)
    // A socket would block, and its flags are shared; libuv waits for it, for as long as the process lives.
    if (fstatSync(fd).isSocket()) process.stdout.write(text)
    else writeSync(fd, text)
  } catch {
    // Not heard.
  }
}

/**
 * A descriptor for standard output (1) or error (2) on which writing never blocks, where the system can give one: a pipe
 * or terminal is opened once more, since its flags belong to every process that shares it.
 */
function openStandardStream(fd: 1 | 2): number {
  try {
    const kind = fstatSync(fd)
    if (!kind.isFIFO() && !kind.isCharacterDevice()) return fd
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK)
  } catch {
    return fd
  }
}
