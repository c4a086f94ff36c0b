/** What the source tree promises: which way imports point, where the outside world is touched, and that every command is complete. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { everyCommand } from '@parsec/shared/protocol/registry'
import { architecturePage } from '../tools/rooms.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Every file of the repository, tracked or about to be. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter(file => file !== '')
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

const isProduct = (file: string): boolean => /^(?:libs|services)\/[^/]+\/src\/.*\.ts$|^cli\/src\/.*\.ts$/.test(file)
const product = files.filter(file => isProduct(file) && !file.endsWith('.test.ts') && !file.endsWith('.d.ts'))
/** File → the files of the repository that it imports; types included, since they are dependencies too. */
const imports = new Map(product.map(file => [file, importsOf(file)]))

function importsOf(file: string): string[] {
  return targetsIn(read(file), file)
}
function targetsIn(text: string, file: string): string[] {
  const found: string[] = []
  const statements = /^(?:import|export)\b[^'";]*?from '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm
  for (const match of text.matchAll(statements)) {
    const specifier = match[1] ?? match[2] ?? match[3]!
    if (specifier.startsWith('.')) found.push(relative(ROOT, join(ROOT, dirname(file), specifier)))
    else if (specifier.startsWith('@parsec/')) {
      const [, name, ...rest] = specifier.split('/')
      const folder = name === 'shared' ? 'libs/shared' : name === 'cli' ? 'cli' : `services/${name}`
      found.push(`${folder}/src/${rest.join('/')}.ts`)
    }
  }
  return found
}

test('there is source to look at', () => {
  assert.ok(product.length > 50, `${product.length} files`)
  assert.ok([...imports.values()].flat().length > 100)
})

test('no import cycle', () => {
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (path.includes(file) || done.has(file)) return
    for (const target of imports.get(file) ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of product) visit(file, [])
  assert.deepEqual(cycles, [])
})

/** What a process has read once it runs `file`: all that is not imported later, on demand. */
function readAtOnce(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found
  found.add(file)
  for (const target of valueImportsOf(file)) readAtOnce(target, found)
  return found
}
/** Without those of types only, of which nothing is left when the code runs. */
function valueImportsOf(file: string): string[] {
  const statements = /^(?:import|export)\b(?! type\b)[^'";]*?from '[^']+'/gm
  const isValue = (statement: string) => !/\{(?:\s*type [^,}]+,?)*\s*\}/.test(statement)
  const text = [...read(file).matchAll(statements)].map(([statement]) => statement).filter(isValue)
  return targetsIn(text.join('\n'), file)
}

test('a server reads no code of other commands, of PGlite, or of what draws the pages of the API', () => {
  const run = ['cli/src/main.ts', 'cli/src/commands/backend/run.ts', 'cli/src/server/workforce.ts']
  const services = product.filter(file => /^services\/\w+\/src\/main\.ts$/.test(file))
  const all = new Set([...run, ...services].flatMap(file => [...readAtOnce(file)]))
  assert.ok(all.size > 200, `${all.size} files`)
  const isForOthers = (file: string) =>
    /^cli\/src\/(?:admin|check|commands|copy|scrub|sequester|takeover)\//.test(file) && !run.includes(file)
  assert.deepEqual([...all].filter(isForOthers), [])
  const packages =
    /from '(@electric-sql\/|@fastify\/swagger|@aws-sdk\/|pkgcloud|@nats-io\/|@sentry\/|prom-client|nodemailer)/
  assert.deepEqual(
    [...all].filter(file => packages.test(withoutTypeImports(read(file)))),
    [],
  )
})
const withoutTypeImports = (text: string): string => text.replace(/^import type .*/gm, '')

/** `libs/shared`, `services/<name>` or `cli`. */
const packageOf = (file: string): string => (file.startsWith('cli/') ? 'cli' : file.split('/').slice(0, 2).join('/'))
test('imports point down: cli, services, libs/shared', () => {
  const wrong = [...imports].flatMap(([file, targets]) =>
    targets
      .filter(target => {
        const [from, to] = [packageOf(file), packageOf(target)]
        return from !== to && to !== 'libs/shared' && from !== 'cli'
      })
      .map(target => `${file} → ${target}`),
  )
  assert.deepEqual(wrong, [])
})

/** `realm` of `services/metadata/src/realm/gates.ts`; undefined for files beside the rooms. */
const roomOf = (file: string): string | undefined => /^services\/metadata\/src\/([a-z]+)\//.exec(file)?.[1]
const isHandlerFile = (file: string): boolean =>
  /^services\/metadata\/src\/[a-z]+\/(?:commands|requests)\.ts$/.test(file)

test('the rooms of the metadata service: handlers are imported by the lists of handlers only', () => {
  const lists = ['services/metadata/src/handlers.ts', 'services/metadata/src/main.ts']
  const wrong = [...imports].flatMap(([file, targets]) =>
    targets.filter(target => isHandlerFile(target) && !lists.includes(file)).map(target => `${file} → ${target}`),
  )
  assert.deepEqual(wrong, [])
})

test('the rooms of the metadata service: storage knows no room', () => {
  const wrong = [...imports].flatMap(([file, targets]) =>
    roomOf(file) === 'storage'
      ? targets.filter(target => ![undefined, 'storage'].includes(roomOf(target))).map(target => `${file} → ${target}`)
      : [],
  )
  assert.deepEqual(wrong, [])
})

test('the environment, the arguments and the exit of the process belong to cli', () => {
  const wrong = product.filter(
    file => !file.startsWith('cli/') && /\bprocess\.(?:env|argv|exit|exitCode)\b/.test(withoutComments(read(file))),
  )
  assert.deepEqual(wrong, [])
})

test('no module-level variable', () => {
  const wrong = files.filter(
    file =>
      /\.(?:ts|mjs|js)$/.test(file) &&
      !file.startsWith('tests/conformance/') &&
      /^(?:export )?let /m.test(withoutComments(read(file))),
  )
  assert.deepEqual(wrong, [])
})

/** Where an instant is told, or compared with one that somebody else has told. */
const READ_THE_CALENDAR = [
  'cli/src/check/certificate.ts',
  'cli/src/check/database.ts',
  'cli/src/check/nodes.ts',
  'libs/shared/src/codec/values.ts',
  'services/blockstore/src/scrub/orphans.ts',
  'services/blockstore/src/stores/file.ts',
  'services/blockstore/src/stores/node.ts',
  'services/gateway/src/activity.ts',
  'services/metadata/src/storage/neighbours.ts',
  'services/metadata/src/storage/trial-folder.ts',
]
test('the calendar may be set at any time: whatever lasts is measured by the clock of the process', () => {
  assert.deepEqual(product.filter(file => /\bDate\.now\b/.test(withoutComments(read(file)))).sort(), READ_THE_CALENDAR)
})

test('no default export, no barrel', () => {
  const wrong = product.filter(file => /^export default |^export \* from /m.test(read(file)))
  assert.deepEqual(wrong, [])
})

test('every command has a handler in its service', () => {
  const missing = everyCommand.filter(({ name, service, pending }) => {
    const sources = product.filter(file => file.startsWith(`services/${service}/src/`)).map(read)
    return !pending && !sources.some(source => new RegExp(`\\b${name}\\b`).test(source))
  })
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  )
})

test('every command is named by a conformance case', () => {
  const cases = files.filter(file => /^tests\/conformance\/(?:cases\/|lib\/|harness\.mjs)/.test(file)).map(read)
  const missing = everyCommand.filter(({ cmd, pending }) => !pending && !cases.some(text => text.includes(`'${cmd}'`)))
  assert.deepEqual(
    missing.map(({ cmd }) => cmd),
    [],
  )
})

test('a statement for many keys finds each by its index, whatever the planner believes', () => {
  const statements = product.flatMap(file =>
    read(file)
      .split(/`(?:,|\)|\n)/)
      .filter(text => text.includes('WITH ORDINALITY AS q'))
      .map(text => ({ file, text: text.slice(text.indexOf('WITH ORDINALITY')) })),
  )
  assert.ok(statements.length > 2)
  for (const { file, text } of statements) {
    assert.doesNotMatch(text, /JOIN (?!LATERAL)|JOIN_CALLER/, file)
    const subqueries = text.match(/JOIN LATERAL/g)?.length
    assert.equal(text.match(/OFFSET 0/g)?.length, subqueries, `${file}: LATERAL without OFFSET 0`)
  }
})

test('no file knows the machine or the registry that it was made with', () => {
  const machinePath = /(?:^|[\s'"`(=:])\/(?:work|home|root|Users)\/[\w.-]+/m
  const wrong = files.filter(file => {
    const text = read(file)
    return machinePath.test(text) || (file.endsWith('package-lock.json') && /"resolved": "https?:/.test(text))
  })
  assert.deepEqual(wrong, [])
})

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

test('the picture of the rooms is what the imports say', () => {
  assert.equal(read('docs/architecture.md'), architecturePage(), 'run `npm run docs`')
})
