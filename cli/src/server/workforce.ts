/**
 * A server of several workers: each is a process with all services that listens on the same port, and this one watches
 * them, relays between them, and speaks for them at the monitor port (ADR 27). A worker that ends or hangs is replaced.
 */

import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { duplexPair } from 'node:stream'
import { RelayBus } from '@parsec/shared/bus/relay'
import { RelayHub } from '@parsec/shared/bus/relay-hub'
import { ENDED } from '@parsec/shared/bus/relay-link'
import * as subjects from '@parsec/shared/bus/subjects'
import { decode } from '@parsec/shared/codec/msgpack'
import {
  WORKER_AGAIN_MAX_MS,
  WORKER_AGAIN_MS,
  WORKER_DEADLINE_MS,
  WORKER_END_MS,
  WORKER_SETTLED_MS,
} from '@parsec/shared/deadlines'
import { OperatorError, reasonOf } from '@parsec/shared/errors'
import { withoutBrackets } from '@parsec/shared/http/netloc'
import type { Log } from '@parsec/shared/log'
import { mergeExpositions } from '@parsec/shared/metrics'
import { type Monitor, monitorServer } from '@parsec/shared/monitor'
import type { Readiness } from '@parsec/shared/service'
import type { ServerSettings } from '../settings.ts'
import { WorkerProcess } from './worker-process.ts'

/** A worker's number, whoever has it at the moment, and how often in a row it ended soon. */
type Post = { readonly number: number; worker: WorkerProcess | null; failures: number; again: NodeJS.Timeout | null }

export class Workforce {
  readonly #settings: ServerSettings
  readonly #log: Log
  readonly #hub = new RelayHub()
  readonly #posts: Post[]
  readonly #onReady = new Map<number, () => void>()
  #bus: RelayBus | undefined
  #port = 0
  #monitor: Monitor | undefined
  #isStarted = false
  #stopping: Promise<void> | undefined

  constructor(settings: ServerSettings, log: Log) {
    this.#settings = settings
    this.#log = log
    this.#posts = Array.from({ length: settings.workers }, (_, i) => ({
      number: i + 1,
      worker: null,
      failures: 0,
      again: null,
    }))
  }

  /** Resolves when all workers serve. What keeps the first one from it would keep the others, too: it is told once. */
  async start(): Promise<void> {
    const { monitor, http } = this.#settings
    if (monitor)
      this.#monitor = await monitorServer({
        ...monitor,
        readiness: () => this.readiness(),
        expose: () => this.#exposeMetrics(),
      })
    this.#port = await claimPort(http!)
    const [hubSide, ownSide] = duplexPair()
    this.#hub.attach(hubSide, () => {})
    this.#bus = await RelayBus.open(ownSide)
    await this.#bus.subscribe(subjects.workerReady, payload => {
      this.#onReady.get((decode(payload) as { number: number }).number)?.()
    })
    const [first, ...others] = this.#posts
    await this.#startFirst(first!)
    await Promise.all(others.map(post => this.#startFirst(post)))
    this.#isStarted = true
  }
  async #startFirst(post: Post): Promise<void> {
    const worker = this.#fill(post)
    const ready = new Promise<true>(resolve => this.#onReady.set(post.number, () => resolve(true)))
    const outcome = await Promise.race([ready, worker.ended])
    if (outcome !== true) throw new OperatorError(`worker ${post.number} could not start (${outcome})`)
    this.#settle(post, worker)
  }

  #fill(post: Post): WorkerProcess {
    const { workers } = this.#settings
    const worker = new WorkerProcess({ number: post.number, of: workers, port: this.#port })
    post.worker = worker
    let isOver = false
    if (worker.stream)
      this.#hub.attach(worker.stream, reason => {
        if (!isOver) worker.lost(reason, reason === ENDED)
      })
    void worker.ended.then(() => {
      isOver = true
      worker.isReady = false
    })
    return worker
  }
  /** It serves; when it ends, another one takes its post. */
  #settle(post: Post, worker: WorkerProcess): void {
    worker.isReady = true
    this.#log.info('Worker serves', { worker: post.number, pid: worker.pid })
    void worker.ended.then(reason => this.#replace(post, worker, reason))
  }
  #replace(post: Post, worker: WorkerProcess, reason: string): void {
    post.worker = null
    if (this.#stopping) return
    post.failures = performance.now() - worker.startedAt > WORKER_SETTLED_MS ? 0 : post.failures + 1
    const again_ms = Math.min(WORKER_AGAIN_MS * 2 ** Math.max(post.failures - 1, 0), WORKER_AGAIN_MAX_MS)
    this.#log.error('Worker ended', { worker: post.number, pid: worker.pid, reason, again_ms })
    post.again = setTimeout(() => this.#fillAgain(post), again_ms)
  }
  #fillAgain(post: Post): void {
    const worker = this.#fill(post)
    let hasServed = false
    this.#onReady.set(post.number, () => {
      hasServed = true
      this.#settle(post, worker)
    })
    void worker.ended.then(reason => {
      if (!hasServed) this.#replace(post, worker, reason)
    })
  }

  reload(): void {
    this.#bus?.publish(subjects.workersReload, Buffer.alloc(0))
  }
  /** All drain at once; whoever is late is ended. Never rejects; a second call waits for the first. */
  stop(drainMs: number): Promise<void> {
    this.#stopping ??= this.#stopAll(drainMs)
    return this.#stopping
  }
  async #stopAll(drainMs: number): Promise<void> {
    const workers = this.#posts.flatMap(({ worker, again }) => {
      if (again) clearTimeout(again)
      return worker ? [worker] : []
    })
    // Whoever serves nobody yet has nothing to drain.
    for (const worker of workers) if (!worker.isReady) worker.kill(NOT_NEEDED)
    this.#bus?.publish(subjects.workersStop, Buffer.alloc(0))
    const late = setTimeout(() => this.kill('it did not stop in time'), drainMs + WORKER_END_MS)
    for (const outcome of await Promise.allSettled(workers.map(worker => worker.ended)))
      if (outcome.status === 'fulfilled' && outcome.value !== STOPPED && outcome.value !== NOT_NEEDED)
        this.#log.warning('Worker did not stop in order', { reason: outcome.value })
    clearTimeout(late)
    await this.#bus?.drain()
    this.#hub.close()
    await this.#monitor?.close()
  }
  kill(reason: string): void {
    for (const { worker } of this.#posts) worker?.kill(reason)
  }

  /** Ready as long as a worker is: the others of a host are not told to go elsewhere because one is being replaced. */
  async readiness(): Promise<Readiness[]> {
    const answers = await Promise.all(
      this.#posts.map(async ({ number, worker }): Promise<readonly Readiness[]> => {
        if (!worker?.isReady) return [{ ready: false, detail: { process: worker ? 'starting' : 'replaced' } }]
        try {
          return decode(await this.#ask(number, 'readiness')) as unknown as Readiness[]
        } catch (error) {
          return [{ ready: false, detail: { process: reasonOf(error) } }]
        }
      }),
    )
    const serving = this.#isStarted && !this.#stopping
    const detail = Object.fromEntries(
      answers.flatMap((parts, i) =>
        parts.flatMap(part => Object.entries(part.detail).map(([key, text]) => [`worker ${i + 1} ${key}`, text])),
      ),
    )
    const ready = serving && answers.some(parts => parts.every(part => part.ready))
    return [{ ready, detail: { ...(!serving && { process: this.#stopping ? 'stopping' : 'starting' }), ...detail } }]
  }
  /** Each worker's, which carry its number as a label. */
  async #exposeMetrics(): Promise<{ contentType: string; body: string }> {
    const answers = await Promise.allSettled(
      this.#posts.flatMap(({ number, worker }) => (worker?.isReady ? [this.#ask(number, 'metrics')] : [])),
    )
    return mergeExpositions(
      answers.flatMap(answer =>
        answer.status === 'fulfilled' ? [decode(answer.value) as { contentType: string; body: string }] : [],
      ),
    )
  }
  #ask(number: number, name: string): Promise<Buffer> {
    const options = { timeoutMs: WORKER_DEADLINE_MS }
    return this.#bus!.request(subjects.workerRequest(number, name), Buffer.alloc(0), options)
  }
}

/** What becomes of a worker that stopped as it should. */
const STOPPED = 'exit code 0'
/** … and of one that had not begun to serve. */
const NOT_NEEDED = 'the server stops'

/**
 * The port that the workers will share: they would not notice another server that shares it, too, and each would have
 * some of the clients.
 */
async function claimPort({ host, port }: { host: string; port: number }): Promise<number> {
  const address = withoutBrackets(host)
  if (port === 0) return freePort(address)
  if (await answers(ANY[address] ?? address, port))
    throw new OperatorError(`cannot listen on ${host} port ${port}: something listens there already`)
  return port
}
/** Where to reach whoever listens on every interface. */
const ANY: { readonly [address: string]: string } = { '0.0.0.0': '127.0.0.1', '::': '::1' }

function answers(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: WORKER_DEADLINE_MS })
    const settle = (isAnswered: boolean) => {
      socket.destroy()
      resolve(isAnswered)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
  })
}
async function freePort(host: string): Promise<number> {
  const server = createServer().listen({ host, port: 0 })
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new OperatorError(`cannot listen on ${host}: ${reasonOf(error)}`, { cause: error })
  }
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
