/** The grammar of `--blockstore` against the recorded behaviour of releases (tests/vectors/blockstore-config.json). */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseStores, splitEscaped } from './config.ts'
import { type Kind, type NodeConfig, STORE_KINDS, secretsOfStore } from './registry.ts'

type Outcome = { config?: unknown; error?: string; refused?: string }
type Vectors = {
  split: { text: string; parts: string[] }[]
  config: ({ values: string[]; new?: Outcome } & Outcome)[]
}
const path = new URL('../../../../tests/vectors/blockstore-config.json', import.meta.url)
const vectors: Vectors = JSON.parse(readFileSync(path, 'utf8'))

test('values are split on colons with escapes (06-server §4.1)', () => {
  for (const { text, parts } of vectors.split) assert.deepEqual(splitEscaped(text), parts, text)
})

test('every recorded value gives its configuration or its error (06-server §4)', () => {
  for (const vector of vectors.config) {
    const { values, new: changed } = vector
    const expected = changed ?? vector
    const shown = values.join(' ')
    if (expected.config) assert.deepEqual(parseStores(values), camelCase(expected.config), shown)
    else if (expected.refused) assert.throws(() => parseStores(values), /share one storage/, shown)
    else assert.throws(() => parseStores(values), { message: expected.error }, shown)
  }
})

test('no index but its own names a node of a RAID (06-server §4)', () => {
  for (const index of ['-1', '2', '1_1'])
    assert.throws(() => parseStores(['RAID1:0:MOCKED', `RAID1:${index}:MOCKED`]), {
      message: 'Missing node index `1` in RAID config',
    })
})

test('a directory for files: one part, never two nodes in one place', () => {
  assert.deepEqual(parseStores(['file:/srv/blocks']), { type: 'FILE', directory: '/srv/blocks' })
  assert.deepEqual(parseStores(['FILE:C\\:/blocks']), { type: 'FILE', directory: 'C:/blocks' })
  for (const value of ['file', 'file:', 'file:a:b']) {
    assert.throws(() => parseStores([value]), { message: 'Invalid FILE config, must be `file:<directory>`' })
  }
  assert.throws(() => parseStores(['RAID1:0:file:/srv/a', 'RAID1:1:file:/srv/b/../a/']), /share one storage/)
})

test('no error shows a secret, whatever is wrong around it (06-server#21)', () => {
  const s3 = 's3:h:r:b:KEYID:TOPSECRET'
  for (const values of [['RAID0:0:MOCKED', s3], [`${s3}:x`], [s3, s3], [`RAID1:0:${s3}`, `RAID1:1:${s3}`]]) {
    assert.throws(
      () => parseStores(values),
      (error: Error) => !/KEYID|TOPSECRET/.test(error.message),
    )
  }
})

/** The recordings spell the Swift field as the original did. */
const camelCase = (config: unknown): unknown =>
  JSON.parse(JSON.stringify(config).replaceAll('"auth_url":', '"authUrl":'))

/** What the configuration of a new kind would be; the union of the configurations does not know it. */
type Tape = NodeConfig & { reel: string; pin: string }
const tapeConfig = (reel: string, pin: string): Tape => JSON.parse(JSON.stringify({ type: 'TAPE', reel, pin }))

test('a kind of back end is one registration: its values are typed, checked for shared storage, and its secrets known', () => {
  const tape: Kind = {
    type: 'TAPE',
    form: 'tape:<reel>:<pin>',
    help: 'a reel',
    parse: fields => (fields.length === 2 ? tapeConfig(...(fields as [string, string])) : null),
    secrets: config => [(config as Tape).pin],
    keySpace: config => [(config as Tape).reel],
    make: () => assert.fail('not opened here'),
  }
  const kinds = [...STORE_KINDS, tape]
  const store = parseStores(['RAID1:0:tape:a:TOPSECRET', 'RAID1:1:TAPE:b:ANOTHER'], kinds)
  assert.deepEqual(secretsOfStore(store, kinds), ['TOPSECRET', 'ANOTHER'])
  assert.throws(() => parseStores(['tape:a'], kinds), { message: 'Invalid TAPE config, must be `tape:<reel>:<pin>`' })
  assert.throws(() => parseStores(['RAID1:0:tape:a:1', 'RAID1:1:tape:a:2'], kinds), /share one storage/)
})

test('every kind of back end names its secrets (06-server §9.3)', () => {
  const typed = ['s3:h:r:b:KEYID:TOPSECRET', 'swift:h:t:c:u:PASSWORD', 'file:/srv', 'POSTGRESQL', 'MOCKED']
  assert.deepEqual(
    typed.map(value => secretsOfStore(parseStores([value]))),
    [['KEYID', 'TOPSECRET'], ['PASSWORD'], [], [], []],
  )
  assert.equal(typed.length, STORE_KINDS.length, 'a new kind of back end has its line here')
})
