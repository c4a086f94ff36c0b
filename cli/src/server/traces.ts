/**
 * Sends traces to an OpenTelemetry collector, as OTLP over HTTP in its JSON form (ADR 25). Loaded only when an endpoint is
 * given. A trace begins with what a client or an administrator asks, and goes on through the services, also those of other
 * processes; what the server does by itself is in none. Nothing waits for the collector: what it does not take in time is
 * dropped, and counted in the log.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { TELEMETRY_FLUSH_MS, TRACES_EVERY_MS, TRACES_SEND_MS } from '@parsec/shared/deadlines'
import { reasonOf } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import type { Log } from '@parsec/shared/log'
import { type Span, WORK, type Work } from '@parsec/shared/tracing'
import type { TraceSettings } from '../settings.ts'
import { version } from '../version.ts'

type Ended = Span & { readonly work: Work; readonly endedAt: number }

const SERVER = 2
const CLIENT = 3
const ERROR = 2
/** Spans of one message. */
const MOST_AT_ONCE = 512

export class Traces {
  readonly #settings: TraceSettings
  readonly #log: Log
  readonly #current = new AsyncLocalStorage<Span | undefined>()
  readonly #spans = new WeakMap<Work, Span>()
  #ended: Ended[] = []
  #dropped = 0
  #sending: Promise<void> | undefined
  readonly #timer: NodeJS.Timeout
  readonly #listener = {
    start() {},
    end() {},
    asyncStart() {},
    error() {},
    asyncEnd: (work: Work) => this.#end(work),
  }

  constructor(settings: TraceSettings, log: Log) {
    this.#settings = settings
    this.#log = log
    WORK.start.bindStore(this.#current, work => this.#begin(work))
    WORK.subscribe(this.#listener)
    this.#timer = setInterval(() => this.#send(), TRACES_EVERY_MS).unref()
  }

  /** Sends what is pending, for at most two seconds. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    WORK.unsubscribe(this.#listener)
    WORK.start.unbindStore(this.#current)
    const late = new Promise<void>(resolve => setTimeout(resolve, TELEMETRY_FLUSH_MS).unref())
    await Promise.race([this.#sendAll(), late])
  }
  async #sendAll(): Promise<void> {
    await this.#sending
    while (this.#ended.length > 0) await this.#send()
  }

  #begin(work: Work): Span | undefined {
    const { parent } = work
    const above = parent === undefined ? this.#current.getStore() : parent === null ? null : parentOf(parent)
    if (above === undefined) return undefined
    const span: Span = {
      traceId: above ? above.traceId : hex(16),
      spanId: hex(8),
      parentSpanId: above?.spanId,
      service: work.service ?? above?.service ?? '',
      isSampled: above ? above.isSampled : Math.random() < this.#settings.sampleRatio,
      startedAt: now(),
    }
    this.#spans.set(work, span)
    work.traceparent = `00-${span.traceId}-${span.spanId}-0${span.isSampled ? 1 : 0}`
    return span
  }
  #end(work: Work): void {
    const span = this.#spans.get(work)
    if (!span?.isSampled) return
    if (this.#ended.length >= limits.waiting_spans.value) this.#dropped++
    else this.#ended.push({ ...span, work, endedAt: now() })
    if (this.#ended.length >= MOST_AT_ONCE && !this.#sending) void this.#send()
  }

  #send(): Promise<void> {
    if (this.#dropped > 0) {
      this.#log.warning('Traces dropped', { spans: this.#dropped, reason: 'more than can be sent' })
      this.#dropped = 0
    }
    if (this.#sending || this.#ended.length === 0) return this.#sending ?? Promise.resolve()
    const batch = this.#ended.splice(0, MOST_AT_ONCE)
    this.#sending = this.#post(batch)
      .catch(error => this.#log.warning('Traces dropped', { spans: batch.length, reason: reasonOf(error) }))
      .finally(() => {
        this.#sending = undefined
      })
    return this.#sending
  }
  async #post(batch: readonly Ended[]): Promise<void> {
    const { url, authorization } = this.#settings
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(authorization && { authorization }) },
      body: JSON.stringify(messageOf(batch)),
      signal: AbortSignal.timeout(TRACES_SEND_MS),
    })
    await response.body?.cancel()
    if (!response.ok) throw new Error(`the collector answers ${response.status}`)
  }
}

/** Above what was asked from elsewhere; undefined when the text is none of ours: then nobody began a trace. */
function parentOf(traceparent: string): Pick<Span, 'traceId' | 'spanId' | 'isSampled' | 'service'> | undefined {
  const [, traceId, spanId, flags] = /^00-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/.exec(traceparent) ?? []
  if (!traceId || !spanId || !flags) return undefined
  return { traceId, spanId, service: '', isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** Each service is one to those who look at traces, wherever it runs. */
function messageOf(batch: readonly Ended[]): object {
  return {
    resourceSpans: [...Map.groupBy(batch, ({ service }) => service)].map(([service, spans]) => ({
      resource: {
        attributes: attributesOf({
          'service.name': `parsec-${service}`,
          'service.version': version(),
          'host.name': hostname(),
          'process.pid': process.pid,
        }),
      },
      scopeSpans: [{ scope: { name: 'parsec', version: version() }, spans: spans.map(spanOf) }],
    })),
  }
}
function spanOf({ traceId, spanId, parentSpanId, startedAt, endedAt, work }: Ended): object {
  return {
    traceId,
    spanId,
    ...(parentSpanId && { parentSpanId }),
    name: work.name,
    kind: work.kind === 'server' ? SERVER : CLIENT,
    startTimeUnixNano: nanoseconds(startedAt),
    endTimeUnixNano: nanoseconds(endedAt),
    attributes: attributesOf(work.attributes),
    status: work.error === undefined ? {} : { code: ERROR, message: reasonOf(work.error) },
  }
}
const attributesOf = (attributes: { readonly [name: string]: string | number }): object[] =>
  Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: String(Math.round(value)) },
  }))

const hex = (bytes: number): string => randomBytes(bytes).toString('hex')
const now = (): number => performance.timeOrigin + performance.now()
/** A number has room for microseconds of our time. */
const nanoseconds = (ms: number): string => `${Math.round(ms * 1000)}000`
