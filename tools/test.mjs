/**
 * Everything that must hold before a change goes in: types, lint, and all tests against real services.
 * The last line is `N passed, N failed`; a stage that fails counts as one failure.
 *
 *   npm test                      everything
 *   npm test -- resilience        the test files whose path contains the word, without types and lint
 *   npm test -- "a stale version" else the tests whose title contains it
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run } from 'node:test'
import { pathToFileURL } from 'node:url'

const ROOT = path.join(import.meta.dirname, '..')
const UNIT = [
  'libs/**/src/**/*.test.ts',
  'services/**/src/**/*.test.ts',
  'cli/src/**/*.test.ts',
  'bench/src/**/*.test.ts',
]
const WHOLE = ['tests/**/*.test.ts']
const UNIT_FILES_AT_ONCE = 2
/** Each file of whole servers starts several processes; two at once starve each other on a machine of two processors. */
const WHOLE_FILES_AT_ONCE = 1
const FILE_DEADLINE_MS = 15 * 60_000

const filter = process.argv.slice(2).join(' ')
const totals = { passed: 0, failed: 0, skipped: 0 }
const failures = []

process.chdir(ROOT)
if (filter === '') {
  stage('types', 'tsc', ['-b'])
  stage('lint', 'biome', ['ci', '--error-on-warnings'])
}
stage('services', 'bash', ['tests/backing/services.sh', 'start'], { SERVICES: 'postgres nats' })
const logs = mkdtempSync(path.join(tmpdir(), 'parsec-logs-'))
const recorder = pathToFileURL('tests/harness/record-secrets.mjs')
Object.assign(process.env, { PARSEC_TEST_LOGS: logs, NODE_OPTIONS: `--import=${recorder}` })
await tests('unit tests', UNIT, UNIT_FILES_AT_ONCE)
await tests('tests of whole servers', WHOLE, WHOLE_FILES_AT_ONCE)

if (filter === '')
  stage('logs without secrets', process.execPath, ['--conditions=development', 'tests/harness/check-logs.ts', logs])
rmSync(logs, { recursive: true, force: true })

for (const failure of failures) console.log(`\n${failure}`)
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''
console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`)
process.exitCode = totals.failed > 0 ? 1 : 0

/** A command that must end well. */
function stage(name, command, argv, env = {}) {
  const started = performance.now()
  const result = spawnSync(command, argv, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  const good = result.status === 0
  if (!good) {
    totals.failed++
    failures.push(`FAILED ${name}\n${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`)
  }
  line(name, good ? 'ok' : 'FAILED', performance.now() - started)
}

/** Test files, each in a process of its own. */
async function tests(name, globs, concurrency) {
  const all = globSync(globs, { exclude: file => /(^|\/)(node_modules|dist)(\/|$)/.test(file) }).sort()
  const byPath = filter === '' ? all : all.filter(file => file.includes(filter))
  const byTitle = filter !== '' && !globSync([...UNIT, ...WHOLE]).some(file => file.includes(filter))
  const files = byTitle ? all : byPath
  if (files.length === 0) return
  const started = performance.now()
  const stream = run({
    files: files.map(file => path.resolve(file)),
    concurrency,
    execArgv: ['--conditions=development'],
    timeout: FILE_DEADLINE_MS,
    ...(byTitle && { testNamePatterns: [new RegExp(RegExp.escape(filter))] }),
  })
  stream.on('test:diagnostic', ({ message, nesting, level }) => {
    if (nesting > 0 || level === 'warn') console.log(`    ${message}`)
  })
  stream.on('test:fail', ({ name: title, file, details, skip, todo }) => {
    if (skip || todo || details.type === 'suite' || details.error?.failureType === 'subtestsFailed') return
    const { cause } = details.error ?? {}
    failures.push(`FAILED ${path.relative(ROOT, file ?? '')}: ${title}\n${cause?.stack ?? cause ?? details.error}`)
  })
  stream.on('test:stderr', ({ message }) => process.stderr.write(message))
  stream.on('test:summary', ({ file, counts, duration_ms }) => {
    if (!file) {
      totals.passed += counts.passed
      totals.failed += counts.failed + counts.cancelled
      totals.skipped += counts.skipped + counts.todo
      return
    }
    const failed = counts.failed + counts.cancelled
    if (counts.tests > 0)
      line(path.relative(ROOT, file), `${counts.passed} passed${failed ? `, ${failed} FAILED` : ''}`, duration_ms)
  })
  for await (const _ of stream);
  line(name, 'done', performance.now() - started)
}

function line(name, outcome, ms) {
  console.log(`${name.padEnd(52)} ${outcome.padEnd(24)} ${(ms / 1000).toFixed(1).padStart(7)} s`)
}
