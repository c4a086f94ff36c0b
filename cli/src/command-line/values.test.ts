/** The types of option values (06-server §2.3, §3.2). */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import {
  ADDR,
  BOOL,
  choice,
  choices,
  DATABASE,
  FILE,
  FLOAT,
  FORWARDED_PROTO,
  formatAddr,
  INT,
  POSTGRESQL_URL,
  TOKENS,
  type ValueType,
} from './values.ts'

const accepts = <T>(type: ValueType<T>, pairs: readonly (readonly [string, T])[]) => {
  for (const [text, value] of pairs) assert.deepEqual(type.parse(text), value, JSON.stringify(text))
}
const refuses = (type: ValueType<unknown>, texts: readonly string[], message: (text: string) => string) => {
  for (const text of texts) assert.throws(() => type.parse(text), { message: message(text) }, JSON.stringify(text))
}

test('a token loses its byte order mark and line end; what no header carries is refused', () => {
  const same = ['s3cr3t', 's3cr3t\n', 's3cr3t\r\n', '\uFEFFs3cr3t', '\uFEFFs3cr3t\r\n\n'].map(
    text => [text, 's3cr3t'] as const,
  )
  accepts(
    TOKENS,
    [...same, ['two words', 'two words'] as const].map(([text, token]) => [text, { text: token, file: null }]),
  )
  for (const text of ['', '\n', '\uFEFF', 's\u00e9cret', 'a\nb', 'a\tb', ' a', 'a ', 'a \n'])
    assert.throws(() => TOKENS.parse(text), /^Error: must /, JSON.stringify(text))
})

test('INT', () => {
  accepts(INT, [
    ['12', 12],
    [' +0_0012 ', 12],
    ['-1', -1],
    ['1_000', 1000],
    ['٣', 3],
    ['\u00a07', 7],
    ['𝟟', 7],
    ['0', 0],
  ])
  refuses(
    INT,
    ['', ' ', 'x', '0x10', '1.0', '1e3', '1__0', '_1', '1_', '--1', '1 2'],
    text => `'${text}' is not a valid integer.`,
  )
})
test('FLOAT', () => {
  accepts(FLOAT, [
    ['1', 1],
    ['1.', 1],
    ['.5', 0.5],
    [' 1e-1 ', 0.1],
    ['1_0.2_5E+1', 102.5],
    ['-2.5', -2.5],
    ['inf', Infinity],
    ['-Infinity', -Infinity],
  ])
  assert.ok(Number.isNaN(FLOAT.parse('NaN')))
  refuses(FLOAT, ['', 'x', '.', 'e1', '1,5', '0x1', '1__0'], text => `'${text}' is not a valid float.`)
})
test('BOOL', () => {
  for (const text of ['true', 'T', '1', 'YES', 'y', ' on ']) assert.equal(BOOL.parse(text), true)
  for (const text of ['false', 'F', '0', 'No', 'n', 'OFF\n']) assert.equal(BOOL.parse(text), false)
  refuses(BOOL, ['maybe', ' ', '*', '2', 'truee'], text => `'${text}' is not a valid boolean.`)
})
test('CHOICE ignores case', () => {
  const type = choice(['DEBUG', 'INFO'])
  accepts(type, [
    ['debug', 'DEBUG'],
    ['Info', 'INFO'],
  ])
  refuses(type, ['FATAL', '', ' INFO'], text => `'${text}' is not one of 'DEBUG', 'INFO'.`)
})
test('a list of choices keeps the order of the list', () => {
  const type = choices(['gateway', 'metadata', 'admin'])
  assert.deepEqual(type.parse('metadata, GATEWAY,metadata'), ['gateway', 'metadata'])
  refuses(
    type,
    ['', 'gateway,', 'nope'],
    text => `'${text.split(',').at(-1)}' is not one of 'gateway', 'metadata', 'admin'.`,
  )
})
suite('FILE', () => {
  const folder = mkdtempSync(join(tmpdir(), 'parsec-values-'))
  after(() => rmSync(folder, { recursive: true }))
  test('takes a file, not a directory, nor what does not exist', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    assert.equal(FILE.parse(file), file)
    assert.throws(() => FILE.parse(folder), { message: `File '${folder}' is a directory.` })
    assert.throws(() => FILE.parse(`${file}x`), { message: `File '${file}x' does not exist.` })
  })
})
suite('ADDR', () => {
  test('is normalised', () => {
    for (const [text, shown] of [
      ['parsec://Example.COM:443', 'parsec://example.com'],
      ['parsec://example.com:80/?no_ssl=TRUE', 'parsec://example.com?no_ssl=true'],
      ['parsec://example.com:8080?no_ssl=false&x=1', 'parsec://example.com:8080'],
      ['parsec://example.com:443?no_ssl=true', 'parsec://example.com:443?no_ssl=true'],
      [' PARSEC://localhost ', 'parsec://localhost'],
      ['parsec://localhost?x=', 'parsec://localhost'],
      ['parsec://[::1]:6777', 'parsec://[::1]:6777'],
      ['parsec://é.example', 'parsec://é.example'],
    ] as const)
      assert.equal(formatAddr(ADDR.parse(text)), shown, text)
  })
  test('is its own message when refused', () => {
    const bad = [
      'http://localhost',
      'localhost',
      'parsec://',
      'parsec://localhost/path',
      'parsec://localhost:x',
      'parsec://localhost:70000',
      'parsec://:80',
    ]
    const badQueries = ['no_ssl=maybe', 'no_ssl=true&no_ssl=true', 'no_ssl=', 'x', 'x=1&', 'no_ssl']
    refuses(
      ADDR,
      [...bad, ...badQueries.map(q => `parsec://localhost?${q}`)],
      text => `must look like parsec://hostname[:port][?no_ssl=true], not ${text}`,
    )
  })
})
test('forwarded protocol: one colon, blanks around are ignored', () => {
  assert.deepEqual(FORWARDED_PROTO.parse(' X-Forwarded-Proto : https '), {
    header: 'x-forwarded-proto',
    value: 'https',
  })
  refuses(
    FORWARDED_PROTO,
    ['foo', 'a:b:c', '', ':https'],
    () => 'Invalid format, should be `<header-name>:<header-value>`',
  )
})
test('databases', () => {
  accepts(DATABASE, [
    ['mocked', 'MOCKED'],
    ['postgresql://h/d', 'postgresql://h/d'],
  ])
  accepts(POSTGRESQL_URL, [['postgres:///d', 'postgres:///d']])
  refuses(POSTGRESQL_URL, ['MOCKED', 'mysql://h/d', ''], () => 'Must start with `postgresql://` or `postgres://`')
})
