/**
 * Runs the conformance suite as node tests, one per case. Cases run in child processes (`run.mjs`, `cli.mjs`), so that
 * what one leaves behind never disturbs the test runner; here each gets its own test that waits for its result.
 *
 * Every case runs on the first of the instances that has the features which it needs. A pending case must fail.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { PENDING } from '../conformance/pending.ts'
import { backing, isListening, startNats } from './backing.ts'
import { Child, type Environment } from './child.ts'
import { ADMINISTRATION_TOKEN, Cluster, type LaunchOptions, NODE_ARGV, S3_SECRET } from './launch.ts'
import { freePort } from './ports.ts'

const SUITE = fileURLToPath(new URL('../conformance/', import.meta.url))
/** Cases at once. */
const JOBS = 6
const CLI_JOBS = 3
/** Cases with two server processes on one database, which need a bus of their own. */
const TWO_INSTANCES: ReadonlySet<string> = new Set(['06-server#51', '06-server#52', '06-server#63'])
/** A folder that is in memory. */
const MEMORY_FOLDER = '/dev/shm'
/** Seconds that one case may take. */
const CASE_LIMIT = 60
const CLI_CASE_LIMIT = 90

type Case = { file: string; id: string; title: string; needs: readonly string[]; excluded: boolean }
type Result = {
  id: string
  title: string
  outcome: 'passed' | 'failed' | 'skipped' | 'differs' | 'unexpected'
  why?: string
}
type Instance = {
  name: string
  features: readonly string[]
  options: LaunchOptions
  /** A process that must run before the servers start. */
  companion?: () => Promise<Child>
  /** Variables that its cases read, made when the servers run. */
  env?: (cluster: Cluster) => Promise<Environment>
}

export const nameOf = ({ id, title }: { id: string; title: string }): string => `${id} ${title}`

/** All cases on one topology. */
export async function conformance(topology: 'single' | 'cluster'): Promise<void> {
  const cases = await listCases('cases', 'harness.mjs')
  const instances = await instancesOf(topology)
  const homes = new Map(
    cases
      .filter(c => !c.excluded)
      .map(c => [c, instances.find(({ features }) => c.needs.every(need => features.includes(need)))]),
  )
  const results = new Map<Case, Result>()
  for (const instance of instances) {
    const mine = cases.filter(c => homes.get(c) === instance)
    const run = memoized(() => runInstance(instance, mine))
    describe(`${topology}, ${instance.name}`, () => {
      for (const c of mine) registerCase(c, run, results)
    })
  }
  test('every case has an instance with the features that it needs', () => {
    assert.deepEqual(
      [...homes].filter(([, instance]) => !instance).map(([c]) => nameOf(c)),
      [],
    )
  })
  registerSummary(cases, results)
}

/** All cases of the command line. */
export async function cliConformance(): Promise<void> {
  const cases = await listCases('cli-cases', 'cli-harness.mjs')
  const results = new Map<Case, Result>()
  const run = memoized(async () => {
    const { TEST_PG_ADMIN_URL } = await backing()
    const parsec = [process.execPath, ...NODE_ARGV].join(' ')
    const common = ['--parsec', parsec, '--db', TEST_PG_ADMIN_URL!, '--timeout', `${CLI_CASE_LIMIT}`]
    // Most cases start servers with everything in memory; their files should be there too.
    const env = existsSync(MEMORY_FOLDER) ? { TMPDIR: MEMORY_FOLDER } : {}
    const only = (wanted: (id: string) => boolean) => [...new Set(cases.map(c => c.id).filter(wanted))].join(',')
    const alone = only(id => !TWO_INSTANCES.has(id))
    const results = await collect('cli.mjs', [...common, '--jobs', `${CLI_JOBS}`, '--only', alone], env)
    const nats = await startNats()
    const together = ['--jobs', '1', '--only', only(id => TWO_INSTANCES.has(id)), '--extra', `--nats-url=${nats.url}`]
    try {
      return new Map([...results, ...(await collect('cli.mjs', [...common, ...together], env))])
    } finally {
      await nats.stop()
    }
  })
  describe('command line', () => {
    for (const c of cases) if (!c.excluded) registerCase(c, run, results)
  })
  registerSummary(cases, results)
}

function registerCase(c: Case, run: () => Promise<Map<string, Result>>, results: Map<Case, Result>): void {
  const name = nameOf(c)
  test(name, async t => {
    const result = (await run()).get(name)
    if (!result) throw new Error('no result: the runner of the cases ended early')
    results.set(c, result)
    if (result.outcome === 'skipped') return t.skip(result.why ?? 'skipped')
    const passed = result.outcome === 'passed'
    if (PENDING.has(name)) assert.ok(!passed, 'a pending case passes: remove it from tests/conformance/pending.ts')
    else assert.ok(passed, result.why ?? result.outcome)
  })
}

function registerSummary(cases: readonly Case[], results: ReadonlyMap<Case, Result>): void {
  test('results per file', t => {
    for (const file of new Set(cases.map(c => c.file))) {
      const mine = cases.filter(c => c.file === file)
      const passed = mine.filter(c => results.get(c)?.outcome === 'passed').length
      const pending = mine.filter(c => PENDING.has(nameOf(c))).length
      const excluded = mine.filter(c => c.excluded).length
      t.diagnostic(
        `${file}: ${passed} passed, ${pending} pending, ${mine.length - passed - pending - excluded} other${excluded ? `, ${excluded} not applicable` : ''}`,
      )
    }
  })
}

/** The cases of a folder, in order; importing them registers them and runs nothing. */
async function listCases(folder: string, harness: string): Promise<Case[]> {
  const { readdir } = await import('node:fs/promises')
  const { cases } = (await import(join(SUITE, harness))) as {
    cases: { id: string; title: string; needs?: string[]; skip: { [target: string]: string } }[]
  }
  const listed: Case[] = []
  for (const file of (await readdir(join(SUITE, folder))).sort()) {
    if (!file.endsWith('.mjs')) continue
    await import(join(SUITE, folder, file))
    for (const { id, title, needs = [], skip } of cases.slice(listed.length)) {
      listed.push({ file, id, title, needs, excluded: 'ours' in skip })
    }
  }
  return listed
}

/** Names in the pending list that no case has. */
export async function unknownPending(): Promise<string[]> {
  const known = [...(await listCases('cases', 'harness.mjs')), ...(await listCases('cli-cases', 'cli-harness.mjs'))]
  const names = new Set(known.map(nameOf))
  return [...PENDING.keys()].filter(name => !names.has(name))
}

async function runInstance(instance: Instance, cases: readonly Case[]): Promise<Map<string, Result>> {
  const companion = await instance.companion?.()
  try {
    const cluster = await Cluster.start(instance.options)
    try {
      return await runCases(instance, cases, cluster)
    } finally {
      await cluster.stop()
    }
  } finally {
    await companion?.end()
  }
}

async function runCases(instance: Instance, cases: readonly Case[], cluster: Cluster): Promise<Map<string, Result>> {
  const env = (await instance.env?.(cluster)) ?? {}
  const argv = ['--url', cluster.url, '--token', ADMINISTRATION_TOKEN, '--with', instance.features.join(',')]
  const run = (ids: string, jobs: number) =>
    collect('run.mjs', [...argv, '--only', ids, '--jobs', `${jobs}`, '--timeout', `${CASE_LIMIT}`], env)
  const results = await run(idsOf(cases), JOBS)
  const crashed = [...cluster.processes.values()].find(server => !server.isRunning)
  assert.equal(crashed, undefined, `${crashed?.name} ended while the cases ran:\n${crashed?.output}`)
  return alone(results, cases, ids => run(ids, 1))
}

const idsOf = (cases: readonly { id: string }[]): string => [...new Set(cases.map(c => c.id))].join(',')

/** So few may fail for want of a processor: on a busy machine a case's own limits run out before the server answers. */
const MAX_REPEATED = 8

/** What failed beside other cases is asked again by itself; that answer counts. */
async function alone(
  results: Map<string, Result>,
  cases: readonly Case[],
  run: (ids: string) => Promise<Map<string, Result>>,
): Promise<Map<string, Result>> {
  const failed = cases.filter(c => results.get(nameOf(c))?.outcome === 'failed' && !PENDING.has(nameOf(c)))
  if (failed.length === 0 || failed.length > MAX_REPEATED) return results
  const again = await run(idsOf(failed))
  for (const c of failed) {
    const result = again.get(nameOf(c))
    if (result) results.set(nameOf(c), result)
  }
  return results
}

/** Runs one of the suite's runners to its end. */
async function collect(runner: string, argv: readonly string[], env: Environment): Promise<Map<string, Result>> {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-cases-'))
  const json = join(folder, 'results.json')
  const child = new Child(runner, process.execPath, [join(SUITE, runner), ...argv, '--json', json], {
    ...process.env,
    ...env,
  })
  await child.exited
  try {
    const results = JSON.parse(await readFile(json, 'utf8')) as Result[]
    return new Map(results.map(result => [nameOf(result), result]))
  } catch {
    throw new Error(`${runner} left no results:\n${child.output}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function instancesOf(topology: 'single' | 'cluster'): Promise<Instance[]> {
  const [smtpPort, webhookPort, closedPort, s3Port] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ])
  const s3 = `http://127.0.0.1:${s3Port}`
  const escaped = s3.replaceAll(':', '\\:')
  const shared = { replica: ['replica', 'restart', 'sequester', 'postgresql'], env: sharedEnv }
  const main: Instance = {
    name: 'main',
    features: ['slow', 'few-organizations', ...(topology === 'cluster' ? shared.replica : [])],
    options: { topology },
    ...(topology === 'cluster' && { env: shared.env }),
  }
  const spontaneous: Instance = {
    name: 'spontaneous bootstrap, webhook, mail',
    features: ['spontaneous', 'webhook', 'smtp'],
    options: {
      topology,
      flags: [
        '--spontaneous-organization-bootstrap',
        `--organization-bootstrap-webhook=http://127.0.0.1:${webhookPort}/hook`,
        '--email-host=127.0.0.1',
        `--email-port=${smtpPort}`,
        '--email-sender=Parsec <no-reply@parsec.example.com>',
      ],
    },
    env: async () => ({ CONFORMANCE_SMTP_PORT: `${smtpPort}`, CONFORMANCE_WEBHOOK_PORT: `${webhookPort}` }),
  }
  const strict: Instance = {
    name: 'limits, failing services',
    features: ['forward-proto', 'initial-limits', 'sse-keepalive', 'smtp-down', 'faulty-s3'],
    options: {
      topology,
      blockstore: `s3:${escaped}:eu:parsec:key:${S3_SECRET}`,
      flags: [
        '--forward-proto-enforce-https=X-Forwarded-Proto:https',
        '--organization-initial-active-users-limit=50',
        '--organization-initial-user-profile-outsider-allowed=false',
        '--sse-keepalive=1',
        '--email-host=127.0.0.1',
        `--email-port=${closedPort}`,
        '--email-sender=a@b.c',
      ],
    },
    companion: () =>
      new Child('s3-faulty', process.execPath, [join(SUITE, 'lib/s3-faulty.mjs'), `${s3Port}`], {}).until(() =>
        isListening(s3Port),
      ),
    env: async () => ({ CONFORMANCE_S3: s3 }),
  }
  const folder: Instance = {
    name: 'no debug, TLS address, mail folder',
    features: ['no-debug', 'tls-addr', 'mail-folder'],
    options: { topology, debug: false, backendAddr: 'parsec://parsec.example.com:443' },
    env: async cluster => ({ CONFORMANCE_MAIL_FOLDER: cluster.folder }),
  }
  // Two processes that share everything cannot be in memory.
  const several: Instance = {
    name: 'several processes',
    features: shared.replica,
    options: { topology: 'shared' },
    env: shared.env,
  }
  return [main, spontaneous, strict, folder, ...(topology === 'single' ? [several] : [])]
}

/** What the cases about several processes need to know. */
async function sharedEnv(cluster: Cluster): Promise<Environment> {
  const [replica, restarted] = cluster.topology === 'shared' ? ['server-2', 'server-3'] : ['gateway-2', 'gateway-3']
  const control = await controlServer(cluster, restarted!)
  return {
    CONFORMANCE_REPLICA: cluster.process(replica!).url,
    CONFORMANCE_RESTARTED: cluster.process(restarted!).url,
    CONFORMANCE_RESTART: `'${process.execPath}' -e 'fetch("${control}").then(r => process.exit(r.ok ? 0 : 1))'`,
    PARSEC_CLI: [process.execPath, ...NODE_ARGV].map(word => `'${word}'`).join(' '),
    PARSEC_DB_URL: cluster.database!.url,
  }
}

/** Restarts a process when its URL is fetched; ends with the tests. */
async function controlServer(cluster: Cluster, name: string): Promise<string> {
  const server: Server = createServer((_, response) => {
    cluster
      .process(name)
      .restart()
      .then(
        () => response.end(),
        error => response.writeHead(500).end(String(error)),
      )
  })
  server.unref()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

function memoized<T>(make: () => Promise<T>): () => Promise<T> {
  const made: { value?: Promise<T> } = {}
  return () => (made.value ??= make())
}
