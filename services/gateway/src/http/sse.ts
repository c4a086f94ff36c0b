/** A stream of server-sent events, as `events_listen` would tell them (spec 02 §9). */
import type { ServerResponse } from 'node:http'
import { logEnd } from '@parsec/shared/cuts'
import type { Log } from '@parsec/shared/log'
import { EventQueue, type QueuedBytes } from '../events/queue.ts'
import type { Peer } from '../events/session.ts'

const KEEPALIVE = ':keepalive\n\n'
const HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }

export class EventStream implements Peer {
  readonly #response: ServerResponse
  readonly #keepaliveSeconds: number
  readonly #log: Log
  readonly #queue: EventQueue
  #state: 'new' | 'flowing' | 'blocked' | 'over' = 'new'
  #keepalive: NodeJS.Timeout | undefined

  /** `keepaliveSeconds` ≤ 0: only the first keep-alive is sent. */
  constructor(response: ServerResponse, keepaliveSeconds: number, log: Log, queued: QueuedBytes) {
    this.#queue = new EventQueue(queued)
    this.#response = response
    this.#keepaliveSeconds = keepaliveSeconds
    this.#log = log
    response.once('close', () => this.#finish('client has left'))
  }
  get isOver(): boolean {
    return this.#state === 'over'
  }

  /** Sends the head and the events, until the client leaves or `end` is called. */
  run(headOnly: boolean): Promise<void> {
    const closed = new Promise<void>(resolve => this.#response.once('close', resolve))
    this.#response.writeHead(200, HEADERS)
    if (headOnly) this.end('head only')
    else {
      this.#log.info('Connection established')
      this.#response.on('drain', () => this.#flow())
      this.#keepalive =
        this.#keepaliveSeconds > 0
          ? setInterval(() => this.#write(KEEPALIVE), this.#keepaliveSeconds * 1000)
          : undefined
      this.#state = 'flowing'
      this.#write(KEEPALIVE)
      this.#flow()
    }
    return closed
  }
  offer(event: Buffer, hasNoField: boolean): void {
    if (this.#state === 'flowing') this.#writeEvent(event)
    else if (this.#state !== 'over' && !this.#queue.push(event, hasNoField)) this.end(this.#queue.lackFor(event)!)
  }
  sendAway(why: string): void {
    this.end(why)
  }
  end(why: string): void {
    const { isOver } = this
    const isBlocked = this.#state === 'blocked'
    this.#finish(why)
    // A stream that has not begun yet is refused with a status by whoever opened it.
    if (isOver || !this.#response.headersSent) return
    if (isBlocked) this.#response.destroy()
    else this.#response.end()
  }

  #flow(): void {
    if (this.#state === 'blocked') this.#state = 'flowing'
    for (let event: Buffer | undefined; this.#state === 'flowing' && (event = this.#queue.shift()); )
      this.#writeEvent(event)
  }
  #writeEvent(event: Buffer): void {
    this.#keepalive?.refresh()
    this.#write(`data:${event.toString('base64')}\n\n`)
  }
  #write(text: string): void {
    if (this.#state === 'flowing' && !this.#response.write(text)) this.#state = 'blocked'
  }
  #finish(why: string): void {
    if (this.#state === 'over') return
    if (this.#state !== 'new') logEnd(this.#log, 'Connection dropped', { reason: why })
    this.#state = 'over'
    this.#queue.clear()
    clearInterval(this.#keepalive)
  }
}
