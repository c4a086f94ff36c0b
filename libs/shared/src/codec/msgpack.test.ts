/** The wire's msgpack against recorded bytes, against two independent codecs, and against hostile input. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Decoder, Encoder, ExtensionCodec } from '@msgpack/msgpack'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import {
  CLIENT_MESSAGE,
  decode,
  decodeMap,
  type Encodable,
  encode,
  FieldMap,
  isMap,
  MAX_BIN_BYTES,
  MAX_DEPTH,
  MalformedMessage,
  textKeys,
  type Value,
} from './msgpack.ts'
import { DateTime, Extension, Float, Uuid } from './values.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const vectors = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../../../tests/vectors/${name}`, import.meta.url), 'utf8')) as T
const malformed = (bytes: Uint8Array, text?: RegExp) =>
  assert.throws(
    () => decode(bytes),
    error => error instanceof MalformedMessage && (text === undefined || text.test(error.message)),
  )

// Recorded bytes

type Notation = { $int?: string; $float?: string; $us?: number; $uuid?: string; $bytes?: string; $zeros?: number }
/** A value in the notation of the vectors' README. */
function fromNotation(json: unknown): Encodable {
  if (json === null || typeof json !== 'object') return json as Encodable
  if (Array.isArray(json)) return json.map(fromNotation)
  const { $int, $float, $us, $uuid, $bytes, $zeros } = json as Notation
  if ($int !== undefined) return BigInt($int)
  if ($float !== undefined) return new Float(floatOf($float))
  if ($us !== undefined) return new DateTime($us)
  if ($uuid !== undefined) return Uuid.parse($uuid)!
  if ($bytes !== undefined) return hex($bytes)
  if ($zeros !== undefined) return Buffer.alloc($zeros)
  const { $repeat, $range, $map } = json as { $repeat?: [string, number]; $range?: number; $map?: [unknown, unknown][] }
  if ($repeat !== undefined) return $repeat[0].repeat($repeat[1])
  if ($range !== undefined) return Array.from({ length: $range }, (_, i) => i)
  if ($map !== undefined) return new Map($map.map(([key, value]) => [fromNotation(key), fromNotation(value)]))
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, fromNotation(value)]))
}
/** C99 hexadecimal notation. */
function floatOf(text: string): number {
  const [, sign, whole, fraction = '', exponent] = /^(-?)0x(\d)(?:\.([0-9a-f]*))?p([+-]\d+)$/.exec(text)!
  const mantissa = Number(whole) + (fraction ? Number.parseInt(fraction, 16) / 16 ** fraction.length : 0)
  return (sign ? -1 : 1) * mantissa * 2 ** Number(exponent)
}

describe('recorded bytes', () => {
  type Vector = { name: string; value: unknown; msgpack?: string; prefix: string; length: number; sha256: string }
  for (const { name, value, msgpack, prefix, length, sha256 } of vectors<Vector[]>('msgpack.json')) {
    test(`${name} (01-wire §2.1)`, () => {
      const bytes = encode({ v: fromNotation(value) })
      if (msgpack !== undefined) assert.equal(bytes.toString('hex'), msgpack)
      else {
        assert.equal(bytes.toString('hex', 0, 12), prefix)
        assert.equal(bytes.length, length)
        assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256)
      }
      assert.deepEqual(encode(decode(bytes)), bytes)
    })
  }

  test('every recorded message decodes, and re-encodes to the same values (01-wire §2)', () => {
    const messages = vectors<{ what: string; bytes: string }[]>('traffic.json')
    assert.equal(messages.length, 758)
    for (const { what, bytes } of messages) {
      const original = hex(bytes)
      const value = decode(original)
      const again = encode(value)
      assert.deepEqual(decode(again), value, what)
      // The recorded encodings were minimal, so even the bytes agree; a list of keys may only change its order.
      assert.equal(again.length, original.length, what)
      if (!hasNumericTexts(value)) assert.deepEqual(again, original, what)
    }
  })
})
/** JavaScript moves keys that look like list indices to the front of an object. */
function hasNumericTexts(value: Value): boolean {
  if (Array.isArray(value)) return value.some(hasNumericTexts)
  if (value instanceof Map) return [...value.values()].some(hasNumericTexts)
  if (!isMap(value)) return false
  return Object.entries(value).some(([key, item]) => /^\d+$/.test(key) || hasNumericTexts(item))
}

// Independent codecs

const uuids = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Uuid.fromBytes(Buffer.from(bytes)))
const dateTimes = fc
  .integer({ min: Date.UTC(1970, 0, 1) * 1000, max: Date.UTC(2096, 0, 1) * 1000 })
  .map(us => new DateTime(us))
const bins = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))
const texts = fc.string({ unit: 'grapheme', maxLength: 300 })
const integers = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })
  .map(n => (Number.isSafeInteger(Number(n)) ? Number(n) : n))
const floats = fc.double({ noNaN: true }).map(n => new Float(n))
const extensions = fc.tuple(fc.integer({ min: 3, max: 127 }), bins).map(([type, data]) => new Extension(type, data))
const scalars = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer({ min: -0x8000_0000, max: 0xffff_ffff }),
  integers,
  floats,
  texts,
  bins,
  uuids,
  dateTimes,
  extensions,
)
const keys = fc.oneof(texts, fc.integer(), uuids)
const { tree: values } = fc.letrec<{ tree: Encodable }>(tie => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    scalars,
    fc.array(tie('tree'), { maxLength: 40 }),
    fc.array(fc.tuple(texts, tie('tree')), { maxLength: 20 }).map(entries => record(entries)),
    fc.array(fc.tuple(keys, tie('tree')), { maxLength: 20 }).map(mapOf),
  ),
}))
const record = (entries: [string, Encodable][]) => Object.assign(new FieldMap(), Object.fromEntries(entries)) as Value
/** As `decode` yields it: an object when every key is text, and no key twice. */
function mapOf(entries: [Encodable, Encodable][]): Encodable {
  if (entries.every(([key]) => typeof key === 'string')) return record(entries as [string, Encodable][])
  return new Map(new Map(entries.map(entry => [keyText(entry[0]), entry])).values())
}
const keyText = (key: Encodable) => `${typeof key} ${key}`

describe('independent codecs', () => {
  test('decode undoes encode', () => {
    fc.assert(
      fc.property(values, value => assert.deepEqual(decode(encode(value)), value)),
      { numRuns: 500 },
    )
  })

  const seconds = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.byteLength).getFloat64(0)
  const extensionCodec = new ExtensionCodec()
  extensionCodec.register({
    type: 1,
    encode: value => (value instanceof DateTime ? encode(value).subarray(2) : null),
    decode: data => new DateTime(Math.round(seconds(data) * 1e6)),
  })
  extensionCodec.register({
    type: 2,
    encode: value => (value instanceof Uuid ? Buffer.from(value.hex, 'hex') : null),
    decode: data => Uuid.fromBytes(Buffer.from(data)),
  })
  /** What both peers can say: no wide integers, no floats that are whole, text keys, no foreign extensions. */
  const treesOf = (...ids: fc.Arbitrary<Encodable>[]) =>
    fc.letrec<{ tree: Encodable }>(tie => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(
          fc.constant(null),
          fc.boolean(),
          fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
          fc.double({ noNaN: true, noInteger: true, noDefaultInfinity: true }).filter(n => !Number.isInteger(n)),
          texts,
          bins,
          ...ids,
        ),
        fc.array(tie('tree'), { maxLength: 40 }),
        fc.dictionary(
          texts.filter(text => text !== '__proto__'),
          tie('tree'),
          { maxKeys: 20 },
        ),
      ),
    })).tree
  const common = treesOf(uuids, dateTimes)
  /** Ours keeps floats apart and has null-prototype maps; the peers have neither. */
  const plain = (value: Value): unknown => {
    if (value instanceof Float) return value.value
    if (Array.isArray(value)) return value.map(plain)
    return isMap(value) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)])) : value
  }
  const unify = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value)
    if (Array.isArray(value)) return value.map(unify)
    const isRecord =
      value !== null &&
      typeof value === 'object' &&
      [FieldMap.prototype, Object.prototype, null].includes(Object.getPrototypeOf(value))
    return isRecord ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unify(item)])) : value
  }

  test('@msgpack/msgpack writes the same bytes and reads ours', () => {
    const encoder = new Encoder({ extensionCodec })
    const decoder = new Decoder({ extensionCodec })
    fc.assert(
      fc.property(common, value => {
        const ours = encode(value)
        assert.deepEqual(Buffer.from(encoder.encode(value)), ours)
        assert.deepEqual(unify(decoder.decode(ours)), unify(value))
        assert.deepEqual(plain(decode(encoder.encode(value))), unify(value))
      }),
      { numRuns: 300 },
    )
  })

  test('msgpackr reads ours, and we read what it writes', () => {
    const packr = new Packr({
      useRecords: false,
      variableMapSize: true,
      int64AsType: 'auto' as never,
      copyBuffers: true,
    })
    fc.assert(
      fc.property(treesOf(), value => {
        assert.deepEqual(unify(packr.unpack(encode(value))), unify(value))
        assert.deepEqual(plain(decode(packr.pack(value))), unify(value))
      }),
      { numRuns: 300 },
    )
  })
})

// What the codec takes and refuses

describe('decoding', () => {
  test('a message that is cut at any byte is refused, as is one with a byte too many (01-wire#24)', () => {
    const message = encode({
      cmd: 'x',
      list: [1, 300, 70_000, -1, -200, -40_000, 2n ** 40n, new Float(1.5)],
      bin: Buffer.alloc(300),
      id: Uuid.random(),
      at: DateTime.now(),
      text: 'é'.repeat(200),
      ext: new Extension(7, Buffer.alloc(5)),
      map: new Map<Encodable, Encodable>([[1, null]]),
    })
    for (let length = 0; length < message.length; length++) malformed(message.subarray(0, length), /truncated/)
    malformed(Buffer.concat([message, hex('c0')]), /trailing/)
    assert.deepEqual(encode(decode(message)), message)
  })

  test('no bytes at all, random bytes and every single byte end in a value or in MalformedMessage', () => {
    malformed(Buffer.alloc(0))
    const settles = (bytes: Uint8Array) => {
      try {
        decode(bytes)
      } catch (error) {
        assert.ok(error instanceof MalformedMessage, String(error))
      }
    }
    for (let byte = 0; byte < 256; byte++)
      for (const tail of ['', '00', 'ff'.repeat(9)]) settles(hex(byte.toString(16).padStart(2, '0') + tail))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), settles), { numRuns: 2_000 })
  })

  test('byte 0xc1 is refused (01-wire §2.2)', () => {
    malformed(hex('c1'), /0xc1/)
    malformed(hex('81 a1 76 c1'))
  })

  test('nesting ends at MAX_DEPTH, however deep the input goes (01-wire §2.2)', () => {
    const nested = (tag: string, depth: number) =>
      Buffer.concat([Buffer.alloc(depth * (tag.length / 2), hex(tag)), hex('c0')])
    for (const tag of ['91', '81a178']) {
      decode(nested(tag, MAX_DEPTH))
      malformed(nested(tag, MAX_DEPTH + 1), /deeply/)
      malformed(nested(tag, 1_000_000), /deeply/)
    }
    malformed(nested('dc0001', 1_000_000), /deeply/)
    malformed(nested('8191', 1_000_000), /array or map as key|deeply/)
  })

  test('declared lengths are checked against the bytes that are there, before anything is allocated', () => {
    const before = process.memoryUsage()
    for (const head of [
      'ddffffffff',
      'dfffffffff',
      'dbffffffff',
      'c6ffffffff',
      'c9ffffffff01',
      'dcffff',
      'deffff',
      'df80000001',
    ]) {
      for (const repeat of [1, 20, 500]) malformed(hex(head.repeat(repeat)))
    }
    malformed(hex('dd00ffffff'.repeat(20)), /truncated/)
    malformed(hex('dc2710'.repeat(30_000)), /deeply|truncated/)
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    assert.ok(heapUsed - before.heapUsed < 64 * 1024 * 1024, 'heap')
    assert.ok(arrayBuffers - before.arrayBuffers < 16 * 1024 * 1024, 'buffers')
  })

  test('what clients say has a limited number of values', () => {
    const list = (length: number) => {
      const bytes = Buffer.alloc(5 + length, 0xc0)
      bytes[0] = 0xdd
      bytes.writeUInt32BE(length, 1)
      return bytes
    }
    assert.equal((decode(list(65_535), CLIENT_MESSAGE) as Value[]).length, 65_535)
    assert.throws(() => decode(list(65_536), CLIENT_MESSAGE), /too many/)
    // Services and manifests may say more.
    assert.equal((decode(list(2_000_000)) as Value[]).length, 2_000_000)
  })

  test('maps of a client are maps, however many there are and whatever their keys', () => {
    const maps = Array.from({ length: 5000 }, (_, i) => ({ [`key-${i}`]: i, ['__proto__']: 'x' }))
    const bytes = encode(maps)
    for (const limits of [CLIENT_MESSAGE, {}]) {
      const decoded = decode(bytes, limits) as { [key: string]: Value }[]
      for (const [i, map] of decoded.entries()) {
        assert.ok(isMap(map))
        assert.deepEqual(Object.entries(map), [
          [`key-${i}`, i],
          ['__proto__', 'x'],
        ])
      }
      assert.deepEqual(encode(decoded), bytes)
    }
  })

  test('a bin of exactly 1 MiB passes, one byte more does not, unless asked for (01-wire#23)', () => {
    const bin = (length: number) => {
      const bytes = Buffer.alloc(5 + length)
      bytes[0] = 0xc6
      bytes.writeUInt32BE(length, 1)
      return bytes
    }
    assert.equal(MAX_BIN_BYTES, 1_048_576)
    assert.equal((decode(bin(MAX_BIN_BYTES)) as Buffer).length, MAX_BIN_BYTES)
    malformed(bin(MAX_BIN_BYTES + 1), /bin too long/)
    assert.equal(
      (decode(bin(MAX_BIN_BYTES + 1), { maxBinBytes: MAX_BIN_BYTES + 1 }) as Buffer).length,
      MAX_BIN_BYTES + 1,
    )
    assert.equal((decode(encode('x'.repeat(MAX_BIN_BYTES * 2))) as string).length, MAX_BIN_BYTES * 2)
  })

  test('text that is no UTF-8 is refused, short and long, as value and as key (01-wire §2.2)', () => {
    const long = '61'.repeat(40)
    for (const bad of ['ff', 'c3', 'c080', 'eda080', 'f8888080', 'f4908080', '80', 'e282']) {
      const length = bad.length / 2
      malformed(hex(`${(0xa0 + length).toString(16)}${bad}`), /UTF-8/)
      malformed(hex(`d9${(40 + length).toString(16)}${long}${bad}`), /UTF-8/)
      malformed(hex(`81${(0xa0 + length).toString(16)}${bad}c0`), /UTF-8/)
    }
    for (const text of ['', '\u0000', '\ufeffx', '飞', '😀', 'é'.repeat(40), '\u007f', '\ud7ff\ue000']) {
      assert.equal(decode(encode(text)), text)
    }
  })

  test('the last of several equal keys wins, at every level and for every kind of key (01-wire#26)', () => {
    assert.deepEqual({ ...decodeMap(hex('82 a161 01 a161 02')) }, { a: 2 })
    assert.deepEqual({ ...(decodeMap(hex('81 a16d 82 a161 01 a161 02')).m as object) }, { a: 2 })
    const id = `d802${'ab'.repeat(16)}`
    const time = 'd7014100000000000000'
    for (const key of ['01', id, time, 'c40161', 'c0', 'c3', 'cb3ff8000000000000', 'd40700', 'cfffffffffffffffff']) {
      const map = decode(hex(`83 ${key} 01 a161 05 ${key} 02`)) as Map<Value, Value>
      assert.deepEqual([...map.values()], [2, 5], key)
    }
  })

  test('keys need not be text; arrays and maps are none (01-wire §2.1, §2.2)', () => {
    const id = Uuid.random()
    const map = new Map<Encodable, Encodable>([
      [1, 'one'],
      [id, 2],
      ['a', 3],
      [2n ** 63n, 4],
    ])
    assert.deepEqual(decode(encode(map)), map)
    assert.deepEqual({ ...textKeys(map as Map<Value, Value>) }, { a: 3 })
    assert.deepEqual({ ...decodeMap(encode(map)) }, { a: 3 })
    for (const key of ['90', '80', '9101', '81a16101']) malformed(hex(`81 ${key} 01`), /key/)
    malformed(hex('82 a161 01 90 01'), /key/)
  })

  test('keys that mean something to JavaScript are keys like any other', () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0', 'length']
    const bytes = encode(new Map(names.map(name => [name, { evil: true }])))
    const map = decodeMap(bytes)
    assert.deepEqual(Object.keys(map).sort(), names.toSorted())
    const inherited = Object.getPrototypeOf(map)
    assert.deepEqual([Reflect.ownKeys(inherited), Object.getPrototypeOf(inherited)], [[], null])
    assert.equal(({} as { evil?: boolean }).evil, undefined)
    assert.equal(decodeMap(encode({})).toString, undefined)
    assert.deepEqual(decode(encode(map)), map)
    const mixed = decodeMap(
      encode(
        new Map<Encodable, Encodable>([
          [1, 1],
          ['__proto__', { evil: true }],
        ]),
      ),
    )
    assert.equal(mixed.evil, undefined)
    assert.equal(Object.getPrototypeOf(mixed), inherited)
  })

  test('only a map is a message (01-wire §2.2)', () => {
    for (const bytes of [
      'c0',
      '01',
      '90',
      'a161',
      'c400',
      `d802${'00'.repeat(16)}`,
      'd7014100000000000000',
      'd40700',
    ]) {
      assert.throws(() => decodeMap(hex(bytes)), MalformedMessage, bytes)
    }
    assert.deepEqual({ ...decodeMap(hex('80')) }, {})
  })

  test('date-times: length, NaN, infinities and years outside 1 to 9999 are refused (01-wire §2.2)', () => {
    for (const float of [
      '7ff8000000000000',
      '7ff0000000000000',
      'fff0000000000000',
      '7fefffffffffffff',
      '424e000000000000',
      'c22d000000000000',
    ]) {
      malformed(hex(`d701${float}`), /date-time/)
    }
    for (const bytes of [
      'd401 00',
      'd501 0000',
      'd601 00000000',
      `d801${'00'.repeat(16)}`,
      'c70001',
      'c70701 00000000000000',
      `c70901${'00'.repeat(9)}`,
    ]) {
      malformed(hex(bytes), /date-time/)
    }
    assert.deepEqual(decode(hex('c70801 0000000000000000')), new DateTime(0))
    for (const us of [0, 1, 123_456, 999_999, 1_600_000_000_333_333, -1, -62_135_596_800_000_000]) {
      assert.deepEqual(decode(encode(new DateTime(us))), new DateTime(us))
    }
  })

  test('ids of another length than 16 are refused (01-wire §2.2)', () => {
    for (const bytes of [
      'd402 00',
      'd702 0000000000000000',
      'c70002',
      `c70f02${'00'.repeat(15)}`,
      `c71102${'00'.repeat(17)}`,
    ])
      malformed(hex(bytes), /id of/)
    assert.deepEqual(decode(hex(`c71002${'ab'.repeat(16)}`)), Uuid.parse('ab'.repeat(16)))
  })

  test('other extensions stay opaque, the official timestamp too (01-wire §2.2)', () => {
    for (const [bytes, type, length] of [
      ['d6ff00000001', -1, 4],
      ['d403 00', 3, 1],
      ['c70004', 4, 0],
      ['d472 00', 0x72, 1],
      ['d480 00', -128, 1],
    ] as const) {
      const value = decode(hex(bytes))
      assert.ok(value instanceof Extension)
      assert.deepEqual([value.type, value.data.length], [type, length])
      assert.deepEqual(encode(value), hex(bytes))
    }
  })

  test('integers are exact and stay apart from floats', () => {
    assert.equal(decode(hex('cf001fffffffffffff')), Number.MAX_SAFE_INTEGER)
    assert.equal(decode(hex('cf0020000000000000')), 2n ** 53n)
    assert.equal(decode(hex('cfffffffffffffffff')), 2n ** 64n - 1n)
    assert.equal(decode(hex('d38000000000000000')), -(2n ** 63n))
    assert.equal(decode(hex('cf0000000000000005')), 5)
    assert.deepEqual(decode(hex('cb3ff0000000000000')), new Float(1))
    assert.deepEqual(decode(hex('ca3f800000')), new Float(1))
  })

  test('a view into a larger buffer is read within its bounds', () => {
    const message = encode({ a: 'text', b: Buffer.from('bin') })
    const padded = new Uint8Array(message.length + 20).fill(0xc1)
    padded.set(message, 10)
    assert.deepEqual(decode(padded.subarray(10, 10 + message.length)), decode(message))
  })
})

describe('encoding', () => {
  test('what the wire cannot say is an error, not something else', () => {
    class Odd {
      x = 1
    }
    const bad: unknown[] = [
      () => 1,
      Symbol('x'),
      2n ** 64n,
      -(2n ** 63n) - 1n,
      new Date(),
      new Set(),
      new Odd(),
      /x/,
      new Error('x'),
      '\ud800',
      `${'x'.repeat(40)}\udc00`,
    ]
    for (const value of bad) {
      assert.throws(() => encode(value as Encodable), TypeError, String(value))
      assert.throws(() => encode({ a: [value as Encodable] }), TypeError)
    }
    assert.throws(() => encode(undefined as never), TypeError)
    assert.throws(() => encode([undefined as never]), TypeError)
  })

  test('fields that are undefined are left out', () => {
    assert.deepEqual(encode({ a: undefined, b: 1, c: undefined }), hex('81 a162 01'))
  })

  test('a failed encoding leaves no trace in later ones', () => {
    const first = encode({ a: 1 })
    assert.throws(() => encode({ a: 'x'.repeat(20), b: new Date() as never }))
    const second = encode({ b: 2 })
    assert.deepEqual([first, second], [hex('81a16101'), hex('81a16202')])
  })

  test('messages of any size do not overlap in the shared pool', () => {
    const sizes = [0, 1, 500, 1_000, 1_023, 1_024, 1_025, 4_095, 4_096, 5_000, 65_000, 65_536, 70_000, 200_000]
    const kept = Array.from({ length: 300 }, (_, i) => {
      const size = sizes[i % sizes.length]!
      return { size, fill: i % 256, bytes: encode(Buffer.alloc(size, i % 256)) }
    })
    for (const { size, fill, bytes } of kept) assert.deepEqual(decode(bytes), Buffer.alloc(size, fill))
  })

  test('a number is an integer when it is a safe one, else a float', () => {
    assert.deepEqual(encode(1), hex('01'))
    assert.deepEqual(encode(new Float(1)), hex('cb3ff0000000000000'))
    assert.deepEqual(encode(-0), hex('cb8000000000000000'))
    assert.deepEqual(encode(0.5), hex('cb3fe0000000000000'))
    assert.deepEqual(encode(2 ** 53), hex('cb4340000000000000'))
    assert.deepEqual(encode(5n), hex('05'))
    assert.deepEqual(encode(-33n), hex('d0df'))
  })
})
