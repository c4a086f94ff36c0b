/** `parsec backend run`: the server, from its options to its end (spec 06 §5). */
import { setFlagsFromString } from 'node:v8'
import { ABANDON_DRAIN_MS } from '@parsec/shared/deadlines'
import { createLog, type Log, type ProcessLog } from '@parsec/shared/log'
import { sayIfHeard } from '@parsec/shared/log-destination'
import { shareLookups } from '@parsec/shared/name-lookups'
import { devArguments, type Environment } from '../../command-line/argv.ts'
import { EXIT_OK } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { type RunValues, runOptions } from '../../options.ts'
import { banner, trialSteps } from '../../server/banner.ts'
import { useProxies } from '../../server/proxy.ts'
import { ServerProcess } from '../../server/server-process.ts'
import { SERVICES } from '../../server/services.ts'
import { ignoreSignals, stopSignal, uncaughtFailure } from '../../server/signals.ts'
import { trustSystem } from '../../server/trust.ts'
import type { WorkerPlace } from '../../server/worker-place.ts'
import type { Workforce } from '../../server/workforce.ts'
import { type ServerSettings, serverSettings } from '../../settings.ts'

export const runSpec = {
  path: 'parsec backend run',
  options: runOptions,
  implied: (given: ReadonlyMap<string, string>, environment: Environment) =>
    given.has('dev') ? devArguments(given, environment) : [],
  summary: 'Run the server.',
  description:
    'Run the server until SIGINT (Ctrl-C) or SIGTERM. It needs a PostgreSQL database, prepared by `parsec backend migrate`, an object store for the encrypted blocks, and a secret for the administration API. With --dev it needs nothing and keeps everything in memory.\n\nOne process runs everything by default. To grow on one machine, share the work with --workers; to grow beyond it, run several processes with --services and --nats-url, each service as often as you like.',
  examples: [
    'parsec backend run --dev',
    'parsec backend run --host 0.0.0.0 --db-file /run/secrets/db --blockstore-file /run/secrets/blockstore \\',
    '    --administration-token-file /run/secrets/token --backend-addr parsec://parsec.example.com',
    "DB_URL=postgres:///parsec PARSEC_CMD_ARGS='--db=$DB_URL --host=0.0.0.0' parsec backend run",
    'parsec backend run --services metadata --nats-url nats://nats:4222 --db-file db',
  ],
} as const

/**
 * V8 sizes its heap for programs that rarely touch it. It leaves as little as 12 MB for growth, less than its young
 * generation takes, and marks the whole heap after each 64 MiB of buffers: with blocks coming and going it marks without
 * end, which costs more processor time than all that is done with them (ADR 7).
 */
const V8_FLAGS = [
  '--heap-growing-percent=200',
  '--external-memory-accounted-in-global-limit',
  // As much as the heap itself
  '--external-memory-max-growing-factor=3',
  // What a command makes is gone with it; V8 takes some of it for lasting, from how it begins, and then keeps it until the
  // whole heap is collected.
  '--no-allocation-site-pretenuring',
]

/**
 * Node has getters for these globals, which each use calls. What has a value instead is compiled as the constant that it is,
 * also in libraries.
 */
function fixGlobals(): void {
  for (const name of ['Buffer', 'performance', 'process'] as const)
    Object.defineProperty(globalThis, name, { value: globalThis[name], writable: true, configurable: true })
}

export class Run extends ParsecCommand<typeof runOptions> {
  static override summary: string = runSpec.summary
  protected readonly spec = runSpec

  protected override async execute(values: RunValues): Promise<number> {
    const settings = serverSettings(values, process.env)
    useProxies(settings.network.proxy)
    trustSystem()
    shareLookups()
    for (const flag of V8_FLAGS) setFlagsFromString(flag)
    fixGlobals()
    const log = createLog(settings.log)
    const failure = uncaughtFailure()
    failure.catch(error => log.critical('Unexpected crash', { error }))
    const telemetry = settings.sentry
      ? await (await import('../../server/telemetry.ts')).openTelemetry(settings.sentry)
      : undefined
    const traces = settings.traces
      ? new (await import('../../server/traces.ts')).Traces(settings.traces, log)
      : undefined
    if (telemetry) log.watch(telemetry.note)
    const role = { settings, log, failure }
    try {
      if (settings.place) await serveAsWorker(settings.place, role)
      else await serveAlone(role)
      return EXIT_OK
    } finally {
      await traces?.close()
      await telemetry?.close()
      await log.close()
    }
  }
}

type Role = {
  settings: ServerSettings
  log: ProcessLog
  /** Rejects when the server must end. */
  failure: Promise<never>
}

/** The process that whoever starts the server sees: it serves, or watches those who do. */
async function serveAlone({ settings, log, failure }: Role): Promise<void> {
  let server: ServerProcess | Workforce | undefined
  const stop = stopSignal(
    () => {
      log.reopen()
      server?.reload()
    },
    () => server instanceof ServerProcess || server?.kill('a second signal'),
  )
  sayIfHeard(banner(settings))
  server = settings.workers > 1 ? await makeWorkforce(settings, log) : new ServerProcess(settings, log, log.warnings)
  const ready = settings.dev ? () => sayIfHeard(trialSteps(settings)) : noted
  await serve({ server, drainMs: () => settings.drainMs, ready, stop, failure })
  sayIfHeard('bye ;-)\n')
}
const noted = () => {}

async function makeWorkforce(settings: ServerSettings, log: Log): Promise<Workforce> {
  const { Workforce } = await import('../../server/workforce.ts')
  return new Workforce(settings, log)
}

async function serveAsWorker(place: WorkerPlace, { settings, log, failure }: Role): Promise<void> {
  ignoreSignals()
  const { Worker } = await import('../../server/worker.ts')
  // While it reads its code it hears nobody, and the others would wait for it.
  await Promise.all([import('@parsec/shared/http/server'), ...settings.services.map(name => SERVICES[name].load())])
  const worker = await Worker.enter(place)
  const server = new ServerProcess(settings, log.child({ worker: place.number }), log.warnings, worker.bus)
  await worker.answerFor(server, () => {
    log.reopen()
    server.reload()
  })
  // Who is left alone has lost its clients already, and whoever takes its place waits for the port.
  let { drainMs } = settings
  const stop = worker.stopped.then(isAlone => {
    if (isAlone) drainMs = ABANDON_DRAIN_MS
  })
  await serve({ server, drainMs: () => drainMs, ready: () => worker.sayReady(), stop, failure })
}

type Serving = {
  server: ServerProcess | Workforce
  drainMs: () => number
  ready: () => void
  /** Resolves when the server shall end. */
  stop: Promise<void>
  /** Rejects when it must. */
  failure: Promise<never>
}

/** Resolves when the server was told to stop and has; rejects when it could not start or crashed. */
async function serve({ server, drainMs, ready, stop, failure }: Serving): Promise<void> {
  try {
    const started = server.start().then(() => true)
    if (await Promise.race([started, failure, stop])) ready()
    await Promise.race([failure, stop])
  } finally {
    await server.stop(drainMs())
  }
}
