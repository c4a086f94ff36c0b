/** Parsec servers under measurement, started by the command line as an operator starts them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort } from './processes.ts'

const PARSEC = fileURLToPath(new URL('../../cli/bin/parsec.js', import.meta.url))
export const ADMINISTRATION_TOKEN = 'bench-administration-token'
/** Default of `--db-max-connections`. */
export const DATABASE_CONNECTIONS = 7

const START_DEADLINE_MS = 30_000
const STOP_DEADLINE_MS = 20_000
const PROBE_EVERY_MS = 10

/** Every server that runs. */
const running = new Set<ServerProcess>()
/** Stops all that was started and not yet stopped. */
export async function stopServers(): Promise<void> {
  await Promise.all([...running].map(server => server.stop()))
}

/** A running `parsec backend run`; `port` is the one for clients where it has one, else the one for monitoring. */
export type ServerProcess = { pid: number; port: number; stop(): Promise<void> }

/** Where clients connect, and the processes behind it by the names of their services. */
export type Deployment = {
  wsUrls: readonly string[]
  httpUrl: string
  processes: { readonly [name: string]: ServerProcess }
  stop(): Promise<void>
}

export async function migrate(databaseUrl: string): Promise<void> {
  await promisify(execFile)(process.execPath, [
    '--conditions=development',
    PARSEC,
    'backend',
    'migrate',
    '--db',
    databaseUrl,
  ])
}

/** Options of Node that write a processor profile into `folder` when the process ends. */
export const profilingTo = (folder: string): string[] => ['--cpu-prof', `--cpu-prof-dir=${folder}`]
/** Everything in one process; `stores` are the values of `--blockstore`. */
export async function startOneProcess(
  databaseUrl: string,
  {
    stores = ['POSTGRESQL'] as readonly string[],
    nodeOptions = [] as readonly string[],
    options = [] as readonly string[],
  } = {},
): Promise<Deployment> {
  const server = await startHttp([...storageOptions(databaseUrl, stores), ...options], nodeOptions)
  return deployment({ server }, [server.port])
}

/** One process per service over NATS, with `gateways` gateways; the first is watched on `monitorPort`. */
export async function startSplit(
  databaseUrl: string,
  natsUrl: string,
  { gateways = 1, monitorPort = null as number | null, nodeOptions = [] as readonly string[] } = {},
): Promise<Deployment> {
  const nats = ['--nats-url', natsUrl]
  const storage = storageOptions(databaseUrl, ['POSTGRESQL'])
  const [metadata, blockstore] = await Promise.all([
    startMonitored(['--services', 'metadata', ...nats, ...storage], nodeOptions),
    startMonitored(['--services', 'blockstore', ...nats, ...storage], nodeOptions),
  ])
  const doors = await Promise.all(
    Array.from({ length: gateways }, (_, i) => {
      const monitor = i === 0 && monitorPort !== null ? ['--monitor-port', String(monitorPort)] : []
      const options = ['--services', 'gateway', ...nats, '--administration-token', ADMINISTRATION_TOKEN, ...monitor]
      return startHttp(options, nodeOptions)
    }),
  )
  const named = Object.fromEntries(doors.map((door, i) => [i === 0 ? 'gateway' : `gateway ${i + 1}`, door]))
  return deployment(
    { ...named, metadata, blockstore },
    doors.map(door => door.port),
  )
}

/** `parsec backend run --dev`, and how many milliseconds passed until its first answer. */
export async function startDev(): Promise<{ server: ServerProcess; firstAnswerMs: number }> {
  const startedAt = performance.now()
  const server = await startHttp(['--dev'])
  return { server, firstAnswerMs: performance.now() - startedAt }
}

const storageOptions = (databaseUrl: string, stores: readonly string[]): string[] => [
  '--db',
  databaseUrl,
  ...stores.flatMap(store => ['--blockstore', store]),
  '--administration-token',
  ADMINISTRATION_TOKEN,
]

function deployment(processes: { readonly [name: string]: ServerProcess }, ports: readonly number[]): Deployment {
  return {
    wsUrls: ports.map(port => `ws://127.0.0.1:${port}/ws`),
    httpUrl: `http://127.0.0.1:${ports[0]}`,
    processes,
    stop: async () => {
      for (const server of Object.values(processes)) await server.stop()
    },
  }
}

async function startHttp(options: readonly string[], nodeOptions: readonly string[] = []): Promise<ServerProcess> {
  const port = await freePort()
  return startProcess(['--port', String(port), ...options], nodeOptions, port, `http://127.0.0.1:${port}/`)
}
async function startMonitored(options: readonly string[], nodeOptions: readonly string[]): Promise<ServerProcess> {
  const port = await freePort()
  return startProcess(
    ['--monitor-port', String(port), ...options],
    nodeOptions,
    port,
    `http://127.0.0.1:${port}/readyz`,
  )
}

async function startProcess(
  options: readonly string[],
  nodeOptions: readonly string[],
  port: number,
  probeUrl: string,
): Promise<ServerProcess> {
  const child = spawn(
    process.execPath,
    ['--conditions=development', ...nodeOptions, PARSEC, 'backend', 'run', ...options],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output.push(text)
      if (output.length > 200) output.shift()
    })
  }
  for (
    const deadline = performance.now() + START_DEADLINE_MS;
    !(await answers(probeUrl));
    await setTimeout(PROBE_EVERY_MS)
  ) {
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`parsec backend run ${options.join(' ')} does not start:\n${output.join('')}`)
    }
  }
  const server: ServerProcess = {
    pid: child.pid!,
    port,
    stop: async () => {
      running.delete(server)
      await stop(child)
    },
  }
  running.add(server)
  return server
}

async function answers(url: string): Promise<boolean> {
  try {
    const reply = await fetch(url)
    await reply.arrayBuffer()
    return reply.status < 500
  } catch {
    return false
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const deadline = AbortSignal.timeout(STOP_DEADLINE_MS)
  deadline.addEventListener('abort', () => child.kill('SIGKILL'))
  await ended
}
