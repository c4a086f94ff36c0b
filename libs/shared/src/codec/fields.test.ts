/** Field types of the wire: what each takes, and the texts of the `errors` map (01-wire §2.3, §3). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import * as fields from './fields.ts'
import { parse } from './fields.ts'
import { decode, type Encodable, encode, FieldMap } from './msgpack.ts'
import { DateTime, Extension, Float, Uuid } from './values.ts'

const id = Uuid.random()
/** Through the wire, as in life: what a schema sees is what `decode` yields. */
const received = (value: Encodable) => decode(encode(value))
const takes = <T>(schema: z.ZodType<T>, sent: Encodable, expected: unknown = sent) =>
  assert.deepEqual(parse(schema, received(sent)), { ok: true, value: expected })
const refuses = <T>(schema: z.ZodType<T>, sent: Encodable, text: string) =>
  assert.deepEqual(parse(z.object({ f: schema }), received({ f: sent })), {
    ok: false,
    errors: new Map([['f', [text]]]),
  })

const NIL = 'Field may not be null.'
const every = {
  bool: fields.bool(),
  uuid: fields.uuid(),
  dateTime: fields.dateTime(),
  int: fields.int(),
  float: fields.float(),
  bytes: fields.bytes(),
  key: fields.key(),
  text: fields.text({ maxBytes: 100 }),
  verbatimText: fields.verbatimText(),
  enumeration: fields.enumeration(['A', 'B']),
  constant: fields.constant('x'),
  list: fields.list(fields.bool(), { max: 10 }),
  mapOf: fields.mapOf(fields.uuid(), fields.int(), { max: 10 }),
  struct: fields.struct({ a: fields.bool() }),
  organizationId: fields.organizationId(),
  deviceId: fields.deviceId(),
  deviceLabel: fields.deviceLabel(),
  humanHandle: fields.humanHandle(),
}

describe('absence', () => {
  for (const [name, schema] of Object.entries(every)) {
    test(`${name}: absent and nil have their own texts (01-wire §2.3)`, () => {
      const errors = (text: string) => ({ ok: false, errors: new Map([['f', [text]]]) })
      assert.deepEqual(parse(z.object({ f: schema }), received({})), errors('Missing data for required field.'))
      refuses(schema as z.ZodType<unknown>, null, NIL)
    })
  }

  test('nullable: nil and absence are alike; requiredNullable and withDefault tell them apart', () => {
    const shape = z.object({ f: fields.nullable(fields.int()) })
    for (const sent of [{}, { f: null }])
      assert.deepEqual(parse(shape, received(sent)), { ok: true, value: { f: null } })
    assert.deepEqual(parse(shape, received({ f: 1 })), { ok: true, value: { f: 1 } })
    refuses(fields.nullable(fields.int()), 'x', 'Not a valid integer.')
    const required = z.object({ f: fields.requiredNullable(fields.int()) })
    assert.deepEqual(parse(required, received({ f: null })), { ok: true, value: { f: null } })
    assert.equal(parse(required, received({})).ok, false)
    const defaulted = z.object({ f: fields.withDefault(fields.int(), 7) })
    assert.deepEqual(parse(defaulted, received({})), { ok: true, value: { f: 7 } })
    refuses(fields.withDefault(fields.int(), 7), null, NIL)
  })
})

describe('scalars', () => {
  test('each takes its own kind only (01-wire §2.2, §2.3)', () => {
    const samples: { [kind: string]: Encodable } = {
      bool: true,
      int: 5,
      float: new Float(1),
      text: 'x',
      bytes: Buffer.alloc(3),
      uuid: id,
      dateTime: new DateTime(0),
      extension: new Extension(5, Buffer.alloc(16)),
      list: [],
      map: {},
    }
    const texts: { [name: string]: [accepted: string[], text: string] } = {
      bool: [['bool'], 'Not a valid boolean.'],
      int: [['int'], 'Not a valid integer.'],
      bytes: [['bytes'], 'Not bytes'],
      uuid: [['uuid'], 'Not an UUID'],
      dateTime: [['dateTime'], 'Not a datetime'],
      text: [['text'], 'Not a valid string.'],
      verbatimText: [['text'], 'Not a valid string.'],
      key: [[], 'Invalid verify key.'],
      enumeration: [['text'], 'Not string'],
      constant: [[], 'Invalid value, should be `x`'],
      list: [['list'], 'Not a valid list.'],
      mapOf: [['map'], 'Not a valid mapping type.'],
      struct: [['map'], 'Not a valid mapping type.'],
      organizationId: [['text'], 'Not string'],
      deviceId: [['text'], 'Not string'],
    }
    for (const [name, [accepted, text]] of Object.entries(texts)) {
      for (const [kind, value] of Object.entries(samples)) {
        if (!accepted.includes(kind) && !(name === 'constant' && kind === 'text')) {
          refuses(every[name as keyof typeof every] as z.ZodType<unknown>, value, text)
        }
      }
    }
    for (const name of ['bool', 'int', 'bytes', 'uuid', 'dateTime', 'text', 'verbatimText', 'list'] as const) {
      takes(every[name] as z.ZodType<unknown>, samples[name === 'verbatimText' ? 'text' : name]!)
    }
  })

  test('float takes integers too, and yields a number', () => {
    takes(fields.float(), new Float(1.5), 1.5)
    takes(fields.float(), 3, 3)
    refuses(fields.float(), '3', 'Not a valid number.')
    refuses(fields.float(), true, 'Not a valid number.')
  })

  test('int has bounds, inclusive; what is beyond 2^53 counts as the largest', () => {
    const small = fields.int({ min: 0, max: 10 })
    takes(small, 0)
    takes(small, 10)
    for (const n of [-1, 11, 2n ** 63n, -(2n ** 62n)]) refuses(small, n, 'Must be between 0 and 10.')
    takes(fields.int({ min: 0 }), 2n ** 60n, Number.MAX_SAFE_INTEGER)
    takes(fields.int(), -(2n ** 60n), Number.MIN_SAFE_INTEGER)
  })

  test('bytes of one length, keys of 32', () => {
    takes(fields.bytes({ length: 3 }), Buffer.alloc(3))
    for (const length of [2, 4]) refuses(fields.bytes({ length: 3 }), Buffer.alloc(length), 'Not bytes')
    takes(fields.key(), Buffer.alloc(32))
    for (const length of [0, 31, 33]) refuses(fields.key(), Buffer.alloc(length), 'Invalid verify key.')
  })

  test('text is normalised and may be limited; verbatim text is not touched', () => {
    takes(every.text, 'e\u0301', 'é')
    takes(fields.text({ maxBytes: 2 }), 'e\u0301', 'é')
    refuses(fields.text({ maxBytes: 2 }), 'éa', 'Longer than maximum length 2.')
    refuses(every.text, 'a\0', 'Not a valid string.')
    refuses(fields.verbatimText({ maxBytes: 2 }), 'éa', 'Longer than maximum length 2.')
    takes(fields.verbatimText(), 'e\u0301\0')
  })

  test('an enumeration takes only its exact texts (01-wire §2.3)', () => {
    takes(every.enumeration, 'A')
    for (const wrong of ['a', 'C', '', 'A ']) refuses(every.enumeration, wrong, `Invalid role \`${wrong}\``)
    refuses(every.enumeration, 0, 'Not string')
  })
})

describe('containers', () => {
  test('a wrong item is reported under its index', () => {
    const result = parse(z.object({ f: every.list }), received({ f: [true, 1, true, null] }))
    const items = new Map<Encodable, Encodable>([
      [1, ['Not a valid boolean.']],
      [3, [NIL]],
    ])
    assert.deepEqual(result, { ok: false, errors: new Map([['f', items]]) })
    assert.ok(encode(result.ok ? null : result.errors).length > 0)
  })

  test('a list or map with too many items is refused before any item is looked at', () => {
    const untouched = z.custom<boolean>(() => assert.fail('an item was looked at'))
    refuses(fields.list(untouched, { max: 2 }), [1, 2, 3], 'Longer than maximum length 2.')
    const map = new Map([1, 2, 3].map(n => [n, n]))
    for (const sent of [map, { a: 1, b: 2, c: 3 }])
      refuses(fields.mapOf(untouched, untouched, { max: 2 }), sent, 'Longer than maximum length 2.')
  })

  test('an errors map names at most ten problems, each shortly', () => {
    const wrong = fields.list(fields.struct({ role: fields.enumeration(['A']), n: fields.int() }), { max: 1000 })
    const roles = Array.from({ length: 1000 }, () => ({ role: 'x'.repeat(100_000), n: null }))
    const result = parse(z.object({ f: wrong }), { f: roles.map(role => Object.assign(new FieldMap(), role)) })
    assert.ok(!result.ok)
    assert.ok(encode(result.errors).length < 2048, `${encode(result.errors).length} bytes`)
    assert.deepEqual(
      [...((result.errors as Map<string, Map<number, unknown>>).get('f')?.keys() ?? [])],
      [0, 1, 2, 3, 4],
    )
  })

  test('maps have keys of any kind, and yield entries', () => {
    takes(every.mapOf, new Map<Encodable, Encodable>([[id, 3]]), [[id, 3]])
    takes(every.mapOf, {}, [])
    takes(
      fields.mapOf(fields.int(), fields.bool(), { max: 2 }),
      new Map([
        [1, true],
        [2, false],
      ]),
      [
        [1, true],
        [2, false],
      ],
    )
    takes(fields.mapOf(every.text, fields.bool(), { max: 1 }), { a: true }, [['a', true]])
    assert.equal(parse(every.mapOf, received({ a: 1 })).ok, false)
  })

  test('structures ignore unknown fields, and keys that are no text (01-wire §2.3)', () => {
    takes(every.struct, { a: true, b: 1 }, { a: true })
    takes(
      every.struct,
      new Map<Encodable, Encodable>([
        ['a', true],
        [1, 2],
        [id, 3],
      ]),
      { a: true },
    )
    const result = parse(z.object({ f: fields.list(every.struct, { max: 1 }) }), received({ f: [{ a: 1 }] }))
    const inner = new Map([[0, new Map([['a', ['Not a valid boolean.']]])]])
    assert.deepEqual(result, { ok: false, errors: new Map([['f', inner]]) })
  })

  test('constants tell the members of a union apart', () => {
    const a = z.object({ type: fields.constant('A'), x: fields.int() })
    const union = z.discriminatedUnion('type', [a, z.object({ type: fields.constant('B') })])
    takes(union, { type: 'A', x: 1 })
    takes(union, { type: 'B' })
    for (const sent of [{}, { type: null }, { type: 'C' }, { type: 'A' }, { type: 1 }, 5]) {
      assert.equal(parse(union, received(sent)).ok, false)
    }
  })

  test('a rule about the whole is reported under _schema', () => {
    const whole = z.object({ a: fields.bool() }).refine(() => false, 'Never.')
    assert.deepEqual(parse(whole, received({ a: true })), { ok: false, errors: new Map([['_schema', ['Never.']]]) })
  })

  test('names that mean something to JavaScript are fields like any other', () => {
    const shape = z.object({ f: fields.nullable(fields.int()) })
    const sent = new Map<Encodable, Encodable>([
      ['__proto__', { f: 1 }],
      ['constructor', 2],
    ])
    assert.deepEqual(parse(shape, received(sent)), { ok: true, value: { f: null } })
  })
})

describe('identifiers', () => {
  const GOOD = [
    `${'飞'.repeat(10)}xx`,
    'a',
    '-',
    '_',
    'a-b_c',
    'é'.repeat(16),
    'x'.repeat(32),
    '0',
    'Ω',
    'कि',
    'x²',
    '½',
  ]
  const WRONG = [
    '飞'.repeat(11),
    '',
    'a b',
    'a😀',
    '!',
    'x'.repeat(33),
    'a.b',
    'a/b',
    'a@b',
    ' a',
    'é'.repeat(17),
    'a\0',
    'a\n',
  ]

  test('organization, user and device names (01-wire#59)', () => {
    for (const schema of [fields.organizationId(), fields.userId(), fields.deviceName()]) {
      for (const name of GOOD) takes(schema, name, name.normalize('NFC'))
      for (const name of WRONG) refuses(schema, name, 'Invalid data')
    }
  })

  test('the limit of 32 counts the normalised form (01-wire#60)', () => {
    takes(fields.userId(), 'e\u0301'.repeat(16), 'é'.repeat(16))
    refuses(fields.userId(), 'e\u0301'.repeat(17), 'Invalid data')
  })

  test('a text is measured before it is normalised', t => {
    // Normalising takes the square of the length.
    const marks = `a${'\u0307\u0323'.repeat(30_000)}`
    const normalize = t.mock.method(String.prototype, 'normalize')
    const short = [every.organizationId, every.deviceId, every.deviceLabel, every.text]
    for (const schema of short) assert.equal(parse<unknown>(schema, marks).ok, false)
    assert.equal(parse(every.deviceId, `a@${marks}`).ok, false)
    assert.equal(parse(every.deviceId, `${marks}@a`).ok, false)
    for (const handle of [
      [marks, 'A'],
      ['a@b', marks],
    ])
      assert.equal(parse(every.humanHandle, handle).ok, false)
    for (const { this: text } of normalize.mock.calls) assert.ok(String(text).length <= 4 * 255)
  })

  test('no text becomes four times shorter by being normalised', () => {
    const size = (text: string) => Buffer.byteLength(text)
    const everyCharacter = Array.from({ length: 0x110000 }, (_, code) => code)
      .filter(code => code < 0xd800 || code > 0xdfff)
      .map(code => String.fromCodePoint(code))
    /** Per character the longest that stands for it alone. */
    const longest = new Map<string, number>()
    for (const character of everyCharacter) {
      const parts = character.normalize('NFD')
      if ([...parts].length === 1) longest.set(parts, Math.max(longest.get(parts) ?? 0, size(character)))
    }
    for (const character of everyCharacter) {
      if (character.normalize('NFC') !== character) continue
      const sent = [...character.normalize('NFD')].reduce((sum, part) => sum + longest.get(part)!, 0)
      assert.ok(sent < 4 * size(character), character)
    }
  })

  test('device ids are two names (01-wire#61)', () => {
    for (const good of [`${'飞'.repeat(10)}xx@${'x'.repeat(32)}`, 'a@b', '-@_']) takes(every.deviceId, good)
    takes(every.deviceId, 'e\u0301@x', 'é@x')
    for (const wrong of ['a@b@c', '@b', 'a@', 'a', '@', '', 'a b@c', `${'x'.repeat(33)}@a`, `a@${'飞'.repeat(11)}`]) {
      refuses(every.deviceId, wrong, 'Invalid data')
    }
  })

  test('device labels are one line of 1 to 255 bytes', () => {
    for (const good of ['My PC', 'x'.repeat(255), '😀 "\\']) takes(every.deviceLabel, good)
    for (const wrong of ['', 'a\nb', '\n', 'x'.repeat(256), 'é'.repeat(128), 'a\0'])
      refuses(every.deviceLabel, wrong, 'Invalid data')
  })

  test('human handles: an address and a label, both normalised (01-wire §3.1)', () => {
    takes(every.humanHandle, ['a@b', 'A'])
    takes(every.humanHandle, ['alice@example.com', 'Alice (the second) Éa'])
    takes(every.humanHandle, ['ze\u0301@x.y', 'Ze\u0301'], ['zé@x.y', 'Zé'])
    takes(every.humanHandle, [`${'a'.repeat(250)}@b.c`, 'x'.repeat(254)])
    const wrong: Encodable[] = [
      ['a', 'A'],
      ['a@b@c', 'A'],
      ['', 'A'],
      ['a@b', ''],
      ['a b@c', 'A'],
      ['a@b', 'A <a@b>'],
      ['a@b', 'x;y'],
      // Its normal form is a semicolon.
      ['a@b', 'x\u037ey'],
      ['a\u037eb@c', 'A'],
      ['a@b', 'A\0'],
      [`${'a'.repeat(251)}@b.c`, 'A'],
      ['a@b', 'x'.repeat(255)],
      ['a@b'],
      ['a@b', 'A', 'B'],
      'a@b',
      [Buffer.from('a@b'), 'A'],
    ]
    for (const handle of wrong) refuses(every.humanHandle, handle, 'Invalid data')
  })
})
