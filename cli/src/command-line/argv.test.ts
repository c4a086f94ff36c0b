/** The effective arguments and what they mean, by the vectors of `tests/vectors/cmd-args.json`. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { runSpec } from '../commands/backend/run.ts'
import { devArguments, type Environment, effectiveArgv } from './argv.ts'
import { UsageError } from './output.ts'
import { readCommandLine } from './read.ts'

type Outcome = { options?: { [name: string]: unknown }; exit?: number; error?: string }
type Vectors = {
  argv: { note?: string; argv: string[]; environment: Environment; result: string[] }[]
  options: {
    note?: string
    argv: string[]
    environment: Environment
    argv_after: string[]
    result?: Outcome
    new?: Outcome
  }[]
}
const vectors = JSON.parse(
  readFileSync(new URL('../../../tests/vectors/cmd-args.json', import.meta.url), 'utf8'),
) as Vectors
const title = (v: { note?: string; argv: string[]; environment: Environment }) =>
  `${v.note ?? ''} ${JSON.stringify([v.argv, v.environment])}`.trim()
const snake = (camel: string) => camel.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

suite('effective arguments (06-server §2.5)', () => {
  for (const vector of vectors.argv)
    test(title(vector), () => assert.deepEqual(effectiveArgv(vector.argv, vector.environment), vector.result))
})

suite('options of backend run (06-server §2, §3)', () => {
  for (const vector of vectors.options) {
    test(title(vector), () => {
      const argv = effectiveArgv(vector.argv, vector.environment)
      assert.deepEqual(argv, vector.argv_after)
      const expected = (vector.new ?? vector.result)!
      const read = () => readCommandLine(runSpec, argv.slice(2), vector.environment)
      if (expected.error !== undefined) {
        assert.equal(expected.exit, 2)
        assert.throws(read, error => {
          assert.ok(error instanceof UsageError)
          if (expected.error!.startsWith('any text')) assert.match(error.message, /--administration-token/)
          else assert.equal(`Error: ${error.message}`, expected.error)
          return true
        })
        return
      }
      const line = read()
      assert.ok(line.kind === 'run')
      // The vectors know no file of tokens.
      const plain = { ...line.values, administrationToken: line.values.administrationToken?.text }
      const values = Object.fromEntries(Object.entries(plain).map(([key, value]) => [snake(key), value]))
      for (const [name, value] of Object.entries(expected.options!)) assert.deepEqual(values[name], value, name)
    })
  }
})

suite('--dev (06-server §3.4)', () => {
  const address = (given: [string, string][], environment: Environment = {}) =>
    new Map(devArguments(new Map([['dev', 'true'], ...given]), environment)).get('backend-addr')
  test('announces the port in force', () => {
    assert.equal(address([]), 'parsec://localhost:6777?no_ssl=true')
    assert.equal(address([['port', '7001']], { PARSEC_PORT: '7002' }), 'parsec://localhost:7001?no_ssl=true')
    assert.equal(address([], { PARSEC_PORT: '7002' }), 'parsec://localhost:7002?no_ssl=true')
    assert.equal(address([], { PARSEC_PORT: '' }), 'parsec://localhost:6777?no_ssl=true')
    assert.equal(address([['port', ' +0_7 ']]), 'parsec://localhost:7?no_ssl=true')
  })
  test('announces TLS when a certificate is given', () => {
    assert.equal(address([['ssl-certfile', 'c']]), 'parsec://localhost:6777')
    assert.equal(address([], { PARSEC_SSL_CERTFILE: 'c' }), 'parsec://localhost:6777')
  })
  test('adds only what was not typed', () => {
    const given = new Map([
      ['dev', 'true'],
      ['db', 'postgresql://h/d'],
      ['email-host', 'smtp'],
    ])
    assert.deepEqual(
      devArguments(given, {}).map(([name]) => name),
      ['debug', 'blockstore', 'administration-token', 'backend-addr', 'email-sender'],
    )
  })
  test('a port that is no number is reported as such', () => {
    assert.equal(address([['port', 'x']]), undefined)
    assert.throws(
      () => readCommandLine(runSpec, ['--dev'], { PARSEC_PORT: 'x' }),
      /^UsageError: Invalid value for '--port' \/ '-P': 'x' is not a valid integer\.$/,
    )
  })
})
