/**
 * Clients that write and read without pause, for a real cluster: `load.ts GATEWAY_URL ADMINISTRATION_URL TOKEN`. On a line
 * `mark NAME` at its input it prints what clients saw since the last one; at the end of its input it reads back every
 * write that was acknowledged, and exits with 1 when one is lost.
 */
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { type Connection, Context, type Device, Time, Uuid } from '../harness/client.ts'

const WORKERS = 12
const RECONNECT_MS = 100
const ANSWER_MS = 60_000
const BETWEEN_MS = 20
const BLOCK_EVERY = 10
const BLOCK_BYTES = 20_000
const MOST_REASONS = 4

/** The services are reached at addresses of their own. */
class Outside extends Context {
  readonly #administration: string
  constructor(url: string, administration: string, token: string) {
    super({ url, token, target: 'ours', features: new Set() })
    this.#administration = administration
  }
  override async admin(method: string, path: string, body?: unknown): ReturnType<Context['admin']> {
    const reply = await fetch(`${this.#administration}/administration${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const bytes = Buffer.from(await reply.arrayBuffer())
    return { status: reply.status, body: bytes, json: JSON.parse(bytes.toString()) }
  }
}

const [gateway, administration, token] = process.argv.slice(2)
const client = new Outside(gateway!, administration!, token!)
const { alice } = await client.org()
const first = await client.connect(alice)
const realm_id = await client.realm(first, alice)
await first.close()

/** What clients saw since the last mark. */
const seen = {
  answered: 0,
  cutOff: 0,
  refused: 0,
  reasons: new Map<string, number>(),
  longestMs: 0,
  lastAnswer: performance.now(),
}
const state = { isOver: false }

class Worker {
  readonly #device: Device
  readonly #vlob_id = new Uuid()
  readonly blobs: Buffer[] = []
  readonly blocks: { block_id: Uuid; block: Buffer }[] = []
  #connection: Connection | undefined
  constructor(device: Device) {
    this.#device = device
  }
  async run(): Promise<void> {
    while (!state.isOver) {
      if (this.blobs.length % BLOCK_EVERY === BLOCK_EVERY - 1 && this.blocks.length * BLOCK_EVERY < this.blobs.length)
        await this.#addBlock()
      else await this.#addVersion()
      await pause(BETWEEN_MS)
    }
  }
  async #addVersion(): Promise<void> {
    const version = this.blobs.length + 1
    const blob = randomBytes(200)
    const fields = { encryption_revision: 1, vlob_id: this.#vlob_id, timestamp: Time.now(), blob }
    const { status } = await this.#ask(c =>
      version === 1
        ? c.cmd('vlob_create', { realm_id, ...fields }, ANSWER_MS)
        : c.cmd('vlob_update', { version, ...fields }, ANSWER_MS),
    )
    // A reply that was lost: the retry finds its own version there.
    if (status === 'ok' || status === 'bad_version' || status === 'already_exists') this.blobs.push(blob)
  }
  async #addBlock(): Promise<void> {
    const [block_id, block] = [new Uuid(), randomBytes(BLOCK_BYTES)]
    const { status } = await this.#ask(c => c.cmd('block_create', { block_id, realm_id, block }, ANSWER_MS))
    if (status === 'ok' || status === 'already_exists') this.blocks.push({ block_id, block })
  }
  /** The same until it is answered, on new connections when need be. */
  async #ask(command: (connection: Connection) => ReturnType<Connection['cmd']>): ReturnType<Connection['cmd']> {
    for (;;) {
      try {
        this.#connection ??= await client.connect(this.#device)
      } catch (error) {
        this.#noted('refused', error)
        await pause(RECONNECT_MS)
        continue
      }
      try {
        const reply = await command(this.#connection)
        if (reply.status !== 'timeout') {
          this.#answered()
          return reply
        }
      } catch (error) {
        this.#noted('cutOff', error)
        this.#connection = undefined
      }
      await pause(RECONNECT_MS)
    }
  }
  #noted(what: 'refused' | 'cutOff', error: unknown): void {
    seen[what]++
    const reason = `${what}: ${error instanceof Error ? error.message : String(error)}`
    seen.reasons.set(reason, (seen.reasons.get(reason) ?? 0) + 1)
  }
  #answered(): void {
    const now = performance.now()
    seen.answered++
    seen.longestMs = Math.max(seen.longestMs, now - seen.lastAnswer)
    seen.lastAnswer = now
  }
  /** Acknowledged writes that are not there. */
  async lost(): Promise<number> {
    let lost = 0
    for (const [i, blob] of this.blobs.entries()) {
      const fields = { encryption_revision: 1, vlob_id: this.#vlob_id, version: i + 1, timestamp: null }
      const reply = await this.#ask(c => c.cmd('vlob_read', fields, ANSWER_MS))
      if (reply.status !== 'ok' || !blob.equals(reply['blob'] as Uint8Array)) lost++
    }
    for (const { block_id, block } of this.blocks) {
      const reply = await this.#ask(c => c.cmd('block_read', { block_id }, ANSWER_MS))
      if (reply.status !== 'ok' || !block.equals(reply['block'] as Uint8Array)) lost++
    }
    return lost
  }
}

function mark(name: string): void {
  const { lastAnswer, longestMs, reasons: counted, ...counts } = seen
  const reasons = [...counted].sort(([, a], [, b]) => b - a).slice(0, MOST_REASONS)
  const silentMs = performance.now() - lastAnswer
  const longest = Math.round(Math.max(longestMs, silentMs))
  process.stdout.write(`${JSON.stringify({ name, ...counts, reasons, longestMs: longest })}\n`)
  Object.assign(seen, { answered: 0, cutOff: 0, refused: 0, reasons: new Map(), longestMs: 0 })
}

const workers = Array.from({ length: WORKERS }, () => new Worker(alice))
const working = Promise.all(workers.map(worker => worker.run()))
for await (const line of createInterface({ input: process.stdin }))
  if (line.startsWith('mark ')) mark(line.slice('mark '.length))
state.isOver = true
await working
const lost = (await Promise.all(workers.map(worker => worker.lost()))).reduce((sum, n) => sum + n, 0)
const writes = workers.reduce((sum, { blobs, blocks }) => sum + blobs.length + blocks.length, 0)
process.stdout.write(`${JSON.stringify({ name: 'end', writes, lost })}\n`)
await client.end()
process.exit(lost === 0 ? 0 : 1)
