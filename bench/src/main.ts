/** `npm run bench`: measures the server beside its ceilings and prints one table. See README.md. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Databases, findPostgres, findS3, startNats } from './backing.ts'
import { LoadProcess } from './processes.ts'
import { formatTable, type Row } from './report.ts'
import { Buckets } from './s3.ts'
import { block } from './scenarios/block.ts'
import { cost } from './scenarios/cost.ts'
import { crowd } from './scenarios/crowd.ts'
import { fanout } from './scenarios/fanout.ts'
import { growth } from './scenarios/growth.ts'
import { handshake } from './scenarios/handshake.ts'
import { hot } from './scenarios/hot.ts'
import { idle } from './scenarios/idle.ts'
import { large } from './scenarios/large.ts'
import { ping, pingNats } from './scenarios/ping.ts'
import { raid5, s3 } from './scenarios/s3.ts'
import { type Play, SCAN, type Scenario, type Settings } from './scenarios/scenario.ts'
import { startup } from './scenarios/startup.ts'
import { vlobRead, vlobUpdate } from './scenarios/vlob.ts'
import { workers } from './scenarios/workers.ts'
import { type Deployment, profilingTo, startOneProcess, startSplit, stopServers } from './server.ts'
import { setStage } from './stage.ts'

const SCENARIOS: readonly Scenario[] = [
  cost,
  ping,
  pingNats,
  handshake,
  vlobUpdate,
  vlobRead,
  hot,
  block,
  s3,
  raid5,
  idle,
  fanout,
  crowd,
  growth,
  large,
  workers,
  startup,
]
const WARMUP_MS = 700

const USAGE = `npm run bench -- [options]

  --only NAMES         scenarios to run, separated by commas (all)
  --seconds N          length of each measurement (2)
  --rounds N           measurements of each, between ceilings (3)
  --connections N      clients at once (16; s3 and raid5 have 1, 8 and 32)
  --idle N             connections held by the idle scenario (10000)
  --json FILE          writes all figures to a file, too
  --cpu-prof FOLDER    writes a processor profile of each server process
  --postgres-url URL   instead of the tests' PostgreSQL; must be allowed to create databases
  --help

${SCENARIOS.map(({ name, about }) => `  ${name.padEnd(20)} ${about}`).join('\n')}
`

type Arguments = {
  scenarios: Scenario[]
  settings: Settings
  json?: string
  profiles?: string
  postgresUrl?: string
}

/** Null for `--help`. Throws when an option is wrong. */
function readArguments(): Arguments | null {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      only: text,
      seconds: { ...text, default: '2' },
      rounds: { ...text, default: '3' },
      connections: { ...text, default: '16' },
      idle: { ...text, default: '10000' },
      json: text,
      'cpu-prof': text,
      'postgres-url': text,
      help: { type: 'boolean' },
    },
  })
  if (values.help) return null
  const number = (name: 'seconds' | 'rounds' | 'connections' | 'idle'): number => {
    const n = Number(values[name])
    if (!(n > 0)) throw new Error(`--${name} takes a number above 0, not '${values[name]}'`)
    return n
  }
  const names = values.only?.split(',') ?? SCENARIOS.map(({ name }) => name)
  const scenarios = names.map(name => {
    const scenario = SCENARIOS.find(candidate => candidate.name === name)
    if (!scenario) throw new Error(`no scenario '${name}'; there are ${SCENARIOS.map(s => s.name).join(', ')}`)
    return scenario
  })
  return {
    scenarios,
    settings: {
      connections: number('connections'),
      measureMs: number('seconds') * 1000,
      warmupMs: WARMUP_MS,
      rounds: number('rounds'),
      idleConnections: number('idle'),
    },
    ...(values.json && { json: values.json }),
    ...(values['cpu-prof'] && { profiles: values['cpu-prof'] }),
    ...(values['postgres-url'] && { postgresUrl: values['postgres-url'] }),
  }
}

async function bench({ scenarios, settings, json, profiles, postgresUrl }: Arguments): Promise<void> {
  const adminUrl = postgresUrl ?? (await findPostgres())
  const folder = mkdtempSync(join(tmpdir(), 'parsec-bench-'))
  const databases = new Databases(adminUrl)
  const buckets = new Buckets(findS3)
  const nats = await startNats(folder)
  const load = new LoadProcess()
  const running = new Map<string, Deployment>()
  const keep = async (name: string, start: () => Promise<Deployment>): Promise<Deployment> => {
    const server = running.get(name) ?? (await start())
    running.set(name, server)
    return server
  }
  const cleaning: { done?: Promise<void> } = {}
  const cleanUp = (): Promise<void> => {
    cleaning.done ??= (async () => {
      await stopServers()
      await load.end()
      await nats.stop()
      await databases.dropAll()
      await buckets.dropAll()
      rmSync(folder, { recursive: true, force: true })
    })()
    return cleaning.done
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.kill(process.pid, signal)))
  }
  try {
    console.error('preparing the database')
    const connections = Math.max(...SCAN, settings.connections)
    const stage = await setStage(
      { natsUrl: nats.url, databases, buckets, folder, load },
      { connections, clients: settings.connections },
    )
    const nodeOptions = profiles === undefined ? [] : profilingTo(profiles)
    const play: Play = {
      stage,
      settings,
      nodeOptions,
      oneProcess: () => keep('one process', () => startOneProcess(stage.databaseUrl, { nodeOptions })),
      split: () => keep('split', () => startSplit(stage.databaseUrl, nats.url, { nodeOptions })),
      storingIn: stores => startOneProcess(stage.databaseUrl, { stores, nodeOptions }),
    }
    const rows: Row[] = []
    const failures: string[] = []
    for (const scenario of scenarios) {
      console.error(scenario.about)
      try {
        rows.push(...(await scenario.run(play)))
      } catch (error) {
        failures.push(`${scenario.name}: ${error instanceof Error ? error.message : error}`)
      }
    }
    console.log(formatTable(rows))
    console.log(rows.flatMap(({ what, details }) => details.map(detail => `\n${what.trim()}: ${detail}`)).join(''))
    if (json) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`)
    if (failures.length > 0) throw new Error(failures.join('\n'))
  } finally {
    await cleanUp()
  }
}

try {
  const given = readArguments()
  if (given) await bench(given)
  else console.log(USAGE)
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
