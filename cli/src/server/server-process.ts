/**
 * What runs in this process: the bus, the chosen services in the order of their needs, and the port, opened last so
 * that "port open" means ready (spec 06 §5.1).
 */

import type { OpenDatabase } from '@parsec/metadata/storage/database'
import type { Bus } from '@parsec/shared/bus/bus'
import { Replica } from '@parsec/shared/bus/replica'
import { PERMISSIONS_HINT } from '@parsec/shared/bus/roll'
import { MAX_CLIENT_MESSAGE_BYTES, MAX_ENVELOPE_BYTES } from '@parsec/shared/bus/rpc'
import { ABANDON_DRAIN_MS } from '@parsec/shared/deadlines'
import { OperatorError, Unavailable } from '@parsec/shared/errors'
import type { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import { inBrackets } from '@parsec/shared/http/netloc'
import type { HttpServer } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { Monitor } from '@parsec/shared/monitor'
import { Patience } from '@parsec/shared/patience'
import type { Database } from '@parsec/shared/postgres/database'
import type { ServiceName } from '@parsec/shared/protocol/command'
import type { LogWarning, ReplicaAnswers } from '@parsec/shared/protocol/replica'
import { type Readiness, type Service, shutDown } from '@parsec/shared/service'
import { describe } from '../command-line/output.ts'
import type { NatsSettings, ServerSettings } from '../settings.ts'
import { SERVICES } from './services.ts'

export class ServerProcess {
  readonly #settings: ServerSettings
  readonly #log: Log
  /** The last ones of the log. */
  readonly #warnings: () => LogWarning[]
  /** Of a worker, which found it where it was put. */
  readonly #givenBus: Bus | undefined
  readonly #services: Service[] = []
  readonly #replicas: Replica[] = []
  #bus: Bus | undefined
  #database: OpenDatabase | undefined
  #http: HttpServer | undefined
  /** Of all ways in. */
  #guard: AdministrationGuard | undefined
  readonly #patience: Patience
  readonly #givenUp = new AbortController()
  #listening = false
  #stopping: Promise<void> | undefined
  #metrics: Metrics = noMetrics
  #monitor: Monitor | undefined

  constructor(settings: ServerSettings, log: Log, warnings: () => LogWarning[], givenBus?: Bus) {
    this.#settings = settings
    this.#log = log
    this.#warnings = warnings
    this.#givenBus = givenBus
    this.#patience = new Patience(log, { signal: this.#givenUp.signal })
  }

  /**
   * Resolves when the process serves, with its address when it has a port. When it rejects, nothing that had started
   * stays behind. After `stop` it rejects or never settles.
   */
  async start(): Promise<{ host: string; port: number } | null> {
    try {
      return await this.#startAll()
    } catch (error) {
      await this.stop(ABANDON_DRAIN_MS)
      throw error
    }
  }

  async #startAll(): Promise<{ host: string; port: number } | null> {
    const { services, http } = this.#settings
    await this.#startMonitor()
    this.#bus = await this.#openBus()
    this.#warnOfSmallMessages(this.#bus)
    for (const name of services) {
      this.#continue()
      const service = await this.#startPatiently(name, this.#bus)
      this.#services.push(service)
      await this.#present(service, name, this.#bus)
    }
    this.#continue()
    const address = this.#http ? await this.#http.listen() : null
    this.#listening = true
    if (address && http)
      this.#log.info(
        `Running on ${http.tls ? 'https' : 'http'}://${inBrackets(http.host)}:${address.port} (CTRL + C to quit)`,
      )
    return address
  }

  /** Ends in order: unready, drained, stopped, closed. Never rejects; a second call waits for the first. */
  stop(drainMs: number): Promise<void> {
    this.#givenUp.abort(new OperatorError('stopped while starting'))
    this.#stopping ??= this.#stopAll(drainMs)
    return this.#stopping
  }
  #stopAll(drainMs: number): Promise<void> {
    const leave = async () => void (await Promise.all(this.#replicas.map(replica => replica.leave())))
    const rest = [
      { name: 'replicas', close: leave },
      { name: 'http', close: () => this.#http?.close() },
      { name: 'bus', close: () => this.#bus?.drain() },
      { name: 'database', close: () => this.#database?.close() },
      { name: 'monitor', close: () => this.#monitor?.close() },
    ]
    return shutDown(this.#services, rest, this.#log, drainMs)
  }

  /** Reads certificate and administration tokens again; what does not work leaves the old ones as they are. */
  reload(): void {
    this.#reloadTls()
    this.#reloadTokens()
  }
  #reloadTokens(): void {
    if (!this.#guard) return
    try {
      const tokens = this.#settings.readAdministrationTokens()
      this.#guard.replace(tokens)
      this.#log.info('Administration tokens reloaded', { tokens: tokens.map(({ name }) => name) })
    } catch (error) {
      this.#log.error('Administration tokens not reloaded', { reason: describe(error) })
    }
  }
  #reloadTls(): void {
    try {
      const tls = this.#settings.readTls()
      if (!tls || !this.#http) return
      this.#http.renewTls(tls)
      this.#log.info('TLS files reloaded')
    } catch (error) {
      this.#log.error('TLS files not reloaded', { reason: describe(error) })
    }
  }

  readiness(): Readiness[] {
    const serving = this.#listening && !this.#stopping
    const own: Readiness = {
      ready: serving,
      detail: serving ? {} : { process: this.#stopping ? 'stopping' : 'starting', ...this.#patience.detail },
    }
    return [own, ...this.#services.map(service => service.readiness())]
  }

  exposeMetrics(): ReturnType<Metrics['expose']> {
    return this.#metrics.expose()
  }

  /** Throws once the process was told to stop while it was starting. */
  #continue(): void {
    this.#givenUp.signal.throwIfAborted()
  }

  async #openBus(): Promise<Bus> {
    const { nats } = this.#settings
    if (this.#givenBus) return this.#givenBus
    if (nats) return connectNats(nats, this.#settings, this.#log, this.#patience)
    const { LocalBus } = await import('@parsec/shared/bus/local')
    return new LocalBus()
  }
  #warnOfSmallMessages(bus: Bus): void {
    const wanted = MAX_CLIENT_MESSAGE_BYTES + MAX_ENVELOPE_BYTES
    if (bus.maxPayload >= wanted) return
    this.#log.warning('NATS max_payload limits the messages of clients', { max_payload: bus.maxPayload, wanted })
  }

  async #openHttp(): Promise<{ http: HttpServer; guard: AdministrationGuard }> {
    const { createHttp } = await import('@parsec/shared/http/server')
    const { AdministrationGuard } = await import('@parsec/shared/http/administration-guard')
    this.#guard ??= new AdministrationGuard(this.#settings.administrationTokens!, this.#log)
    this.#http ??= await createHttp(this.#settings.http!, this.#log)
    return { http: this.#http, guard: this.#guard }
  }
  async #startMonitor(): Promise<void> {
    const { monitor, place } = this.#settings
    if (!monitor) return
    const { createMetrics } = await import('@parsec/shared/metrics')
    const { areReady, monitorServer } = await import('@parsec/shared/monitor')
    this.#metrics = await createMetrics(place ? { worker: `${place.number}` } : {})
    this.#metrics.readiness(() => areReady(this.readiness()))
    // Who watches the workers opens the port for all of them.
    if (place) return
    this.#monitor = await monitorServer({
      ...monitor,
      readiness: () => this.readiness(),
      expose: () => this.exposeMetrics(),
    })
  }

  /** Lets administrators see it. A broker whose permissions are those of an earlier release keeps nothing from working. */
  async #present(service: Service, name: ServiceName, bus: Bus): Promise<void> {
    const answers: ReplicaAnswers = {
      state: () => {
        const { ready, detail } = service.readiness()
        return { is_ready: ready && this.#listening && !this.#stopping, detail }
      },
      // Those of the process as a whole are told by its first service.
      warnings: () => ({
        warnings: this.#warnings().filter(({ service = this.#services[0]!.name }) => service === name),
      }),
      ...service.answers,
    }
    try {
      this.#replicas.push(await Replica.present(bus, this.#log, name, answers))
    } catch (error) {
      this.#log.warning('Replica not presented to the administration', {
        service: name,
        reason: describe(error),
        hint: PERMISSIONS_HINT,
      })
    }
  }

  /** Whoever reaches the others over NATS waits for what comes back by itself. */
  #startPatiently(name: ServiceName, bus: Bus): Promise<Service> {
    const start = () => this.#startService(name, bus)
    if (!bus.isShared) return start()
    return this.#patience.until(name, start, error => !(error instanceof Unavailable))
  }
  #startService(name: ServiceName, bus: Bus): Promise<Service> {
    const log = this.#log.child({ service: name })
    return SERVICES[name].start({
      settings: this.#settings,
      bus,
      log,
      metrics: this.#metrics,
      openDatabase: () => this.#openDatabase(log),
      database: this.#database?.database,
      openHttp: () => this.#openHttp(),
    })
  }
  async #openDatabase(log: Log): Promise<Database> {
    const { openDatabase } = await import('@parsec/metadata/storage/database')
    this.#database ??= await openDatabase(this.#settings.metadata!.database, log, this.#patience)
    return this.#database.database
  }
}

async function connectNats(
  nats: NatsSettings,
  { services }: ServerSettings,
  log: Log,
  patience: Patience,
): Promise<Bus> {
  const { NatsBus } = await import('@parsec/shared/bus/nats')
  const options = {
    url: nats.url,
    ...(nats.credsFile && { credsFile: nats.credsFile }),
    ...(nats.tls && { tls: nats.tls }),
    name: `parsec ${services.join(',')}`,
    prefix: nats.subjectPrefix,
    inbox: services.join('-'),
    log,
  }
  try {
    return await patience.until(
      'NATS',
      () => NatsBus.connect(options),
      error => !(error instanceof Unavailable),
    )
  } catch (error) {
    throw new OperatorError(`--nats-url: ${describe(error)}`, { cause: error })
  }
}
