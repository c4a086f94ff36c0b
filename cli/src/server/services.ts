/**
 * THE table of services: what each needs of its process, and how it starts; in the order of their start. The code of a
 * service is loaded only where it runs.
 */
import type { BlockstoreConfig } from '@parsec/blockstore/config'
import type { NetworkOptions } from '@parsec/blockstore/stores/network'
import type { Bus } from '@parsec/shared/bus/bus'
import type { GatewayConfig, MetadataConfig } from '@parsec/shared/config'
import type { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import type { HttpServer } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import type { Database } from '@parsec/shared/postgres/database'
import type { ServiceName } from '@parsec/shared/protocol/command'
import type { Service } from '@parsec/shared/service'

/** `http`: the port that clients come to. `address`: the public one, which is in links. */
type Need = 'http' | 'database' | 'address'
/** What the services are told; null for one that does not run here. */
export type ServiceSettings = {
  readonly gateway: GatewayConfig | null
  readonly metadata: MetadataConfig | null
  readonly blockstore: BlockstoreConfig | null
  /** How object stores are reached: variables that every program of the machine honours. */
  readonly network: NetworkOptions
}
/** What the process has for a service. Whoever asks first has it opened. */
export type Surroundings = {
  readonly settings: ServiceSettings
  readonly bus: Bus
  readonly log: Log
  readonly metrics: Metrics
  openDatabase(): Promise<Database>
  /** That of another service. */
  readonly database: Database | undefined
  openHttp(): Promise<{ http: HttpServer; guard: AdministrationGuard }>
}
type Entry = {
  readonly needs: readonly Need[]
  /** Reads its code, so that it starts at once. */
  load(): Promise<unknown>
  start(surroundings: Surroundings): Promise<Service>
}

export const SERVICES: { readonly [Name in ServiceName]: Entry } = {
  metadata: {
    needs: ['database', 'address'],
    load: () => import('@parsec/metadata/main'),
    async start({ settings, bus, log, metrics, openDatabase }) {
      const { startMetadata } = await import('@parsec/metadata/main')
      return startMetadata({ bus, log, metrics, config: settings.metadata!, database: await openDatabase() })
    },
  },
  blockstore: {
    needs: ['database'],
    load: () => import('@parsec/blockstore/main'),
    async start({ settings, bus, log, metrics, database }) {
      const { startBlockstore } = await import('@parsec/blockstore/main')
      return startBlockstore({
        bus,
        log,
        metrics,
        config: settings.blockstore!,
        network: settings.network,
        // A database in memory will not know its nodes again, and trials leave nothing in a bucket but blocks.
        ...(settings.metadata?.database.kind === 'MOCKED' && { register: null }),
        ...(database && { database }),
      })
    },
  },
  gateway: {
    needs: ['http', 'address'],
    load: () => import('@parsec/gateway/main'),
    async start({ settings, bus, log, metrics, openHttp }) {
      const { startGateway } = await import('@parsec/gateway/main')
      return startGateway({ bus, log, metrics, config: settings.gateway!, ...(await openHttp()) })
    },
  },
  admin: {
    needs: ['http'],
    load: () => import('@parsec/admin/main'),
    async start({ bus, log, openHttp }) {
      const { startAdmin } = await import('@parsec/admin/main')
      return startAdmin({ bus, log, ...(await openHttp()) })
    },
  },
}

const everyName = Object.keys(SERVICES) as ServiceName[]
export const startOrder = (chosen: ReadonlySet<ServiceName>): ServiceName[] =>
  everyName.filter(name => chosen.has(name))
export const servicesThatNeed = (need: Need): ServiceName[] =>
  everyName.filter(name => SERVICES[name].needs.includes(need))
export const needs = (services: readonly ServiceName[], need: Need): boolean =>
  services.some(name => SERVICES[name].needs.includes(need))
