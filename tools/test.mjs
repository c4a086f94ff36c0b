/**
 * Everything that must hold before a change goes in: types, lint, and all tests against real services.
 * The last line is `N passed, N failed`; a stage that fails counts as one failure.
 *
 *   npm test                      everything
 *   npm test -- resilience        the test files whose path contains the word, without types and lint
 *   npm test -- "a stale version" else the tests whose title contains it
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { sideBySide } from './side-by-side.mjs'

const ROOT = path.join(import.meta.dirname, '..')
const UNIT = [
  'libs/**/src/**/*.test.ts',
  'services/**/src/**/*.test.ts',
  'cli/src/**/*.test.ts',
  'bench/src/**/*.test.ts',
]
const WHOLE = ['tests/**/*.test.ts']
const REPORTER = pathToFileURL(path.join(ROOT, 'tools/test-events.mjs'))
/** Several times what the longest file takes on two processors. */
const FILE_DEADLINE_MS = 10 * 60_000
/** For all of them: what has not begun then fails. */
const RUN_DEADLINE_MS = 60 * 60_000
const ENDS = performance.now() + RUN_DEADLINE_MS
/** Of a stage: more than any says. */
const MAX_OUTPUT = 64 * 1024 * 1024
/** How much of what a file says last is told when it ends without a result. */
const STDERR_CHARACTERS = 4_000
/** Lines of a failure that are told: what failed stands first, what happened last before it. */
const FIRST_LINES = 30
const LAST_LINES = 20

const filter = process.argv.slice(2).join(' ')
const totals = { passed: 0, failed: 0, skipped: 0 }
const failures = []
const groups = new Set()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => {
    for (const end of groups) end('SIGKILL')
    process.exit(1)
  })

process.chdir(ROOT)
const looks = [
  ['types', 'tsc', ['-b']],
  ['lint', 'biome', ['ci', '--error-on-warnings']],
]
const services = ['services', 'bash', ['tests/backing/services.sh', 'start'], { SERVICES: 'postgres nats' }]
await Promise.all([...(filter === '' ? looks : []), services].map(first => stage(...first)))
const logs = mkdtempSync(path.join(tmpdir(), 'parsec-logs-'))
const recorder = pathToFileURL('tests/harness/record-secrets.mjs')
const NODE_COMPILE_CACHE = path.join(ROOT, 'node_modules/.cache/parsec')
Object.assign(process.env, { PARSEC_TEST_LOGS: logs, NODE_OPTIONS: `--import=${recorder}`, NODE_COMPILE_CACHE })
await tests('unit tests', UNIT)
await tests('tests of whole servers', WHOLE)

if (filter === '')
  await stage('logs without secrets', process.execPath, [
    '--conditions=development',
    'tests/harness/check-logs.ts',
    logs,
  ])
rmSync(logs, { recursive: true, force: true })

for (const failure of failures) console.log(`\n${excerpt(failure)}`)
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''
console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`)
process.exitCode = totals.failed > 0 ? 1 : 0

/** A command that must end well. */
async function stage(name, command, argv, env = {}) {
  const started = performance.now()
  const { failure } = await promisify(execFile)(command, argv, {
    env: { ...process.env, ...env },
    maxBuffer: MAX_OUTPUT,
  })
    .then(() => ({}))
    .catch(failure => ({ failure }))
  if (failure) {
    totals.failed++
    failures.push(`FAILED ${name}\n${failure.stdout ?? ''}${failure.stderr ?? ''}${failure}`)
  }
  line(name, failure ? 'FAILED' : 'ok', performance.now() - started)
}

/** Test files, each in a process group of its own. */
async function tests(name, globs) {
  const all = globSync(globs, { exclude: file => /(^|\/)(node_modules|dist)(\/|$)/.test(file) }).sort()
  const byPath = filter === '' ? all : all.filter(file => file.includes(filter))
  const byTitle = filter !== '' && !globSync([...UNIT, ...WHOLE]).some(file => file.includes(filter))
  const files = byTitle ? all : byPath
  if (files.length === 0) return
  const started = performance.now()
  const pattern = byTitle ? [`--test-name-pattern=/${RegExp.escape(filter)}/`] : []
  await sideBySide(files, (file, place) => testFile(file, pattern, place))
  line(name, 'done', performance.now() - started)
}

/**
 * Whatever the file does, this ends: after its deadline the file fails with the tests that were running, and the whole
 * process group goes (a server that a test left behind would hold the pipe, and the port of the next file).
 */
async function testFile(file, pattern, { lane, lanes }) {
  const started = performance.now()
  const msLeft = Math.min(FILE_DEADLINE_MS, ENDS - started)
  if (msLeft <= 0) return fail(file, `not run: all tests took more than ${RUN_DEADLINE_MS / 60_000} minutes`)
  const events = path.join(logs, `${path.basename(file)}.${started}.events`)
  const reporter = [`--test-reporter=${REPORTER}`, `--test-reporter-destination=${events}`]
  const argv = ['--conditions=development', '--test-force-exit', ...reporter, ...pattern, path.resolve(file)]
  const child = spawn(process.execPath, argv, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PARSEC_TEST_LANE: `${lane}/${lanes}` },
  })
  let stderr = ''
  child.stdout.resume()
  child.stderr.setEncoding('utf8').on('data', text => {
    stderr = (stderr + text).slice(-STDERR_CHARACTERS)
    process.stderr.write(text)
  })
  const group = signal => {
    try {
      process.kill(-child.pid, signal)
    } catch {
      // Nobody is left.
    }
  }
  groups.add(group)
  let late = false
  const timer = setTimeout(() => {
    late = true
    group('SIGKILL')
  }, msLeft)
  const [code, signal] = await once(child, 'exit')
  clearTimeout(timer)
  group('SIGKILL')
  groups.delete(group)

  const { counts, running } = report(file, events)
  rmSync(events, { force: true })
  if (late) fail(file, `did not end within ${Math.round(msLeft / 1000)} s; running: ${running.join(' > ')}`)
  else if (!counts) fail(file, `ended without a result (${signal ?? `exit code ${code}`})\n${stderr}`)
  else if (code !== 0 && counts.failed === 0) fail(file, `exit code ${code}\n${stderr}`)
  const ms = performance.now() - started
  if (!counts) line(file, 'FAILED', ms)
  else if (counts.passed + counts.failed > 0)
    line(file, `${counts.passed} passed${counts.failed ? `, ${counts.failed} FAILED` : ''}`, ms)
}

/** Adds what the file reported to the totals. `counts` is absent when it did not come to its end. */
function report(file, events) {
  const running = []
  let counts
  for (const text of existsSync(events) ? readFileSync(events, 'utf8').split('\n') : []) {
    if (!text.endsWith('}')) continue
    const event = JSON.parse(text)
    if (event.type === 'test:dequeue') running[event.nesting] = event.name
    if (event.type === 'test:pass' || event.type === 'test:fail') running.length = event.nesting
    if (event.type === 'test:fail' && event.isOwn) failures.push(`FAILED ${file}: ${event.name}\n${event.reason}`)
    if (event.type === 'test:diagnostic' && (event.nesting > 0 || event.level === 'warn'))
      console.log(`    ${event.message}`)
    if (event.type === 'test:summary') {
      const { passed, failed, cancelled, skipped, todo } = event.counts
      counts = { passed, failed: failed + cancelled }
      totals.passed += passed
      totals.failed += counts.failed
      totals.skipped += skipped + todo
    }
  }
  return { counts, running }
}

function excerpt(text) {
  const lines = text.split('\n')
  if (lines.length <= FIRST_LINES + LAST_LINES) return text
  const left = lines.length - FIRST_LINES - LAST_LINES
  return [...lines.slice(0, FIRST_LINES), `… (${left} lines)`, ...lines.slice(-LAST_LINES)].join('\n')
}

function fail(file, reason) {
  totals.failed++
  failures.push(`FAILED ${file}: ${reason}`)
}

function line(name, outcome, ms) {
  console.log(`${name.padEnd(52)} ${outcome.padEnd(24)} ${(ms / 1000).toFixed(1).padStart(7)} s`)
}
