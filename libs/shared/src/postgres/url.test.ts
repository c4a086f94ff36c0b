import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { OperatorError } from '../errors.ts'
import { passwordFor } from './password-file.ts'
import { readDatabaseUrl, secretsOfUrl } from './url.ts'

const hostsOf = (url: string, environment = {}) =>
  readDatabaseUrl(url, environment).hosts.map(({ host, port }) => `${host}:${port}`)
const refusal = (url: string): string => {
  try {
    readDatabaseUrl(url)
  } catch (error) {
    assert.ok(error instanceof OperatorError)
    return error.message
  }
  assert.fail(`accepted: ${url}`)
}

suite('database URL (06-server §8.2)', () => {
  test('user, password, host, port and database, all percent-decoded', () => {
    const target = readDatabaseUrl('postgres://al%40ice:p%23%2F%40%3A@db.example.com:6543/par%20sec')
    assert.equal(target.user, 'al@ice')
    assert.equal(target.password, 'p#/@:')
    assert.equal(target.database, 'par sec')
    assert.deepEqual(target.hosts, [{ host: 'db.example.com', port: 6543 }])
    assert.equal(target.sslMode, 'prefer')
  })
  test('parameters, then variables, then the name of the role', () => {
    const target = readDatabaseUrl('postgresql://h?user=u&password=p&dbname=d')
    assert.deepEqual([target.user, target.password, target.database], ['u', 'p', 'd'])
    const variables = { PGUSER: 'pu', PGPASSWORD: 'pp', PGPORT: '7', PGSSLMODE: 'require', PGAPPNAME: 'name' }
    const other = readDatabaseUrl('postgresql://h', variables)
    assert.deepEqual([other.user, other.password, other.database], ['pu', 'pp', 'pu'])
    assert.deepEqual([other.hosts[0]!.port, other.sslMode, other.applicationName], [7, 'require', 'name'])
  })
  test('several hosts, IPv6 and sockets', () => {
    assert.deepEqual(hostsOf('postgresql://u@h1:1,h2,[::1]:3/d'), ['h1:1', 'h2:5432', '::1:3'])
    assert.deepEqual(hostsOf('postgresql://u@/d?host=h1,h2&port=1,2'), ['h1:1', 'h2:2'])
    assert.deepEqual(hostsOf('postgresql://u@h1,h2/d?port=9'), ['h1:9', 'h2:9'])
    assert.deepEqual(hostsOf('postgresql://u@%2Frun%2Fpg/d'), ['/run/pg:5432'])
    assert.deepEqual(hostsOf('postgresql://u@/d', { PGHOST: '/tmp' }), ['/tmp:5432'])
    assert.deepEqual(hostsOf('postgres:///parsec?user=u'), [
      '/run/postgresql:5432',
      '/var/run/postgresql:5432',
      '/tmp:5432',
      '/private/tmp:5432',
      'localhost:5432',
    ])
    assert.match(refusal('postgresql://u@h1,h2,h3/d?port=1,2'), /3 hosts, but 2 ports/)
  })
  test('any other parameter is a setting of the session', () => {
    const { settings, options } = readDatabaseUrl(
      'postgresql://u@h/d?search_path=parsec&synchronous_commit=remote_apply&options=-c%20jit%3Doff&keepalives_count=3',
    )
    assert.deepEqual(settings, { search_path: 'parsec', synchronous_commit: 'remote_apply' })
    assert.equal(options, '-c jit=off')
  })
  test('what libpq knows and this program does not is refused by name', () => {
    assert.match(refusal('postgresql://u@h/d?hostaddr=1.2.3.4'), /hostaddr/)
    assert.match(refusal('postgresql://u@h/d?gssencmode=require'), /gssencmode/)
    assert.deepEqual(readDatabaseUrl('postgresql://u@h/d?gssencmode=prefer').settings, {})
    assert.match(refusal('postgresql://u@h/d?sslmode=verify'), /sslmode must be one of disable, .*, not verify/)
    assert.match(refusal('postgresql://u@h/d?target_session_attrs=master'), /target_session_attrs/)
    assert.match(refusal('postgresql://u@h/d?connect_timeout=soon'), /connect_timeout/)
    assert.match(refusal('postgresql://u@h/d?client_encoding=LATIN1'), /client_encoding/)
  })
  test('another scheme is named', () => {
    const expected = `invalid DSN: scheme is expected to be either "postgresql" or "postgres", got `
    assert.equal(refusal('mysql://h/d'), `${expected}'mysql'`)
    assert.equal(refusal('/parsec'), `${expected}''`)
  })
  for (const password of ['se#cret', 'se/cret', 'se@cret', 'se?cret', 'se:cret', 'se%cret'])
    test(`an unescaped ${password[2]} gets a hint and no piece of the password`, () => {
      const message = refusal(`postgresql://parsec:${password}@db.example.com/parsec`)
      assert.match(message, /percent-encoded/)
      assert.doesNotMatch(message, /se.?cret|cret|\bse\b/)
    })
  test('secrets are known as they are written and as they are meant', () => {
    assert.deepEqual(secretsOfUrl('postgresql://u:a%40b@h/d?sslpassword=c'), ['a%40b', 'a@b', 'c'])
  })
  test('a password file that is not private is not used', () => {
    const folder = mkdtempSync(join(tmpdir(), 'parsec-pgpass-'))
    const file = join(folder, 'pgpass')
    try {
      writeFileSync(file, '# all\nother:5432:d:u:no\nh:*:d:u:pass\\:wo\\\\rd\n*:*:*:*:last\n', { mode: 0o600 })
      const of = (url: string) => {
        const target = readDatabaseUrl(url, { PGPASSFILE: file })
        return passwordFor(target, target.hosts[0]!)
      }
      assert.equal(of('postgresql://u@h/d'), 'pass:wo\\rd')
      assert.equal(of('postgresql://u@h2/d'), 'last')
      assert.equal(of('postgresql://u:own@h/d'), 'own')
      chmodSync(file, 0o644)
      assert.equal(of('postgresql://u@h/d'), undefined)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
