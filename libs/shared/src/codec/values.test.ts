/** Ids and date-times: exact to the microsecond, in every form that they take. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { DateTime, Uuid } from './values.ts'

describe('ids', () => {
  const hex = '00112233445566778899aabbccddeeff'
  test('text, hyphenated text and bytes name the same id', () => {
    const id = Uuid.parse(hex)!
    assert.equal(id.hyphenated, '00112233-4455-6677-8899-aabbccddeeff')
    assert.ok(Uuid.parse(id.hyphenated)!.equals(id))
    assert.ok(Uuid.parse(hex.toUpperCase())!.equals(id))
    assert.ok(Uuid.fromBytes(Buffer.from(hex, 'hex')).equals(id))
    assert.deepEqual([String(id), JSON.stringify(id), id.toPostgres()], [hex, `"${hex}"`, hex])
  })

  test('anything else is no id', () => {
    for (const text of ['', 'x', hex.slice(1), `${hex}0`, hex.replace('f', 'g'), ` ${hex}`, `${hex}\n`]) {
      assert.equal(Uuid.parse(text), undefined, text)
    }
  })

  test('random ids are of version 4 and differ', () => {
    const ids = Array.from({ length: 100 }, () => Uuid.random().hyphenated)
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.equal(new Set(ids).size, ids.length)
  })
})

describe('date-times', () => {
  test('microseconds survive seconds and text until 2096 (01-wire §2.4)', () => {
    const microseconds = fc.integer({ min: Date.UTC(1900, 0, 1) * 1000, max: Date.UTC(2096, 0, 1) * 1000 })
    fc.assert(
      fc.property(microseconds, us => {
        const time = new DateTime(us)
        assert.equal(DateTime.fromSeconds(time.seconds)!.us, us)
        assert.equal(DateTime.parse(time.toString())!.us, us)
      }),
      { numRuns: 2_000 },
    )
  })

  test('any instant of the years 1 to 9999 survives text, and any float of seconds comes back as it was', () => {
    fc.assert(
      fc.property(fc.double({ min: -62_135_596_800, max: 253_402_300_799.999_97, noNaN: true }), seconds => {
        const time = DateTime.fromSeconds(seconds)!
        assert.ok(DateTime.parse(time.toString())!.equals(time), `${seconds} ${time}`)
        const again = DateTime.fromSeconds(time.seconds)!
        assert.ok(again.equals(time), `${seconds} ${time} ${again}`)
        assert.ok(Math.abs(time.seconds - seconds) < 1e-6, `${seconds} ${time.seconds}`)
      }),
      { numRuns: 5_000 },
    )
    // Floats of such seconds are further apart than a microsecond: each is an instant of its own.
    const far = fc.integer({ min: 9_000_000_000 * 2 ** 10, max: 253_402_300_799 * 2 ** 10 }).map(n => n / 2 ** 10)
    fc.assert(fc.property(far, seconds => assert.equal(DateTime.fromSeconds(seconds)!.seconds, seconds)))
  })

  test('far instants are compared and added to exactly', () => {
    const last = DateTime.parse('9999-12-31T23:59:58.999999Z')!
    assert.equal(String(last.plus(0.000001)), '9999-12-31T23:59:59.000000Z')
    assert.ok(last.isBefore(last.plus(0.000001)) && last.plus(0.000001).isAfter(last))
    assert.ok(!last.equals(last.plus(0.000001)) && last.plus(-1).plus(1).equals(last))
    assert.equal(String(DateTime.parse('0001-01-01T00:00:00.000001Z')), '0001-01-01T00:00:00.000001Z')
  })

  test('text is ISO 8601 with six digits, in UTC', () => {
    assert.equal(String(new DateTime(0)), '1970-01-01T00:00:00.000000Z')
    assert.equal(String(new DateTime(1_600_000_000_123_456)), '2020-09-13T12:26:40.123456Z')
    assert.equal(String(new DateTime(-1)), '1969-12-31T23:59:59.999999Z')
    assert.equal(JSON.stringify(new DateTime(1)), '"1970-01-01T00:00:00.000001Z"')
  })

  test('text with an offset and any number of digits is read, whatever PostgreSQL writes', () => {
    const us = 1_600_000_000_000_000
    for (const [text, expected] of [
      ['2020-09-13T12:26:40Z', us],
      ['2020-09-13 12:26:40+00', us],
      ['2020-09-13 14:26:40.5+02', us + 500_000],
      ['2020-09-13T07:56:40.123456-0430', us + 123_456],
      ['2020-09-13T07:56:40.1234567-04:30', us + 123_456],
      ['1969-12-31T23:59:59.5Z', -500_000],
      ['2024-02-29T00:00:00Z', 1_709_164_800_000_000],
    ] as const) {
      assert.equal(DateTime.parse(text)?.us, expected, text)
    }
  })

  test('what is no instant is not read', () => {
    for (const text of [
      '',
      'now',
      '2020-09-13',
      '2020-09-13T12:26:40',
      '2020-13-01T00:00:00Z',
      '2023-02-29T00:00:00Z',
      '2020-02-30T00:00:00Z',
      '2020-04-31T00:00:00Z',
      '2020-09-13T25:00:00Z',
      '2020-09-13T12:60:00Z',
      '2020-09-13T12:26:40.Z',
      '2020-09-13T12:26:40Z\n',
      'infinity',
      '1600000000',
    ]) {
      assert.equal(DateTime.parse(text), undefined, text)
    }
  })

  test('seconds are rounded to the nearest microsecond; what names no instant is refused', () => {
    assert.equal(DateTime.fromSeconds(1.0000004)!.us, 1_000_000)
    assert.equal(DateTime.fromSeconds(1.0000006)!.us, 1_000_001)
    for (const seconds of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      1e300,
      253_402_300_800,
      -62_135_596_801,
    ]) {
      assert.equal(DateTime.fromSeconds(seconds), undefined, String(seconds))
    }
    for (const seconds of [0, -62_135_596_800, 253_402_300_799, 253_402_300_799.5, 253_402_300_799.999_97])
      assert.equal(DateTime.fromSeconds(seconds)!.seconds, seconds)
  })

  test('comparison and addition', () => {
    const time = new DateTime(1_000_000)
    const later = time.plus(0.000001)
    assert.equal(later.us, 1_000_001)
    assert.ok(time.isBefore(later) && later.isAfter(time) && !time.isAfter(later) && !time.isBefore(time))
    assert.ok(time.equals(new DateTime(1_000_000)) && !time.equals(later))
  })

  test('now goes forward while the clock of the system is slowed down, and back when it is set back', t => {
    t.mock.timers.enable({ apis: ['Date'], now: 2_000_000_000_000 })
    let last = DateTime.now().us
    for (let i = 0; i < 10_000; i++) {
      if (i % 10 === 0) t.mock.timers.tick(1)
      const { us } = DateTime.now()
      assert.ok(us > last, `${us} after ${last}`)
      last = us
    }
    t.mock.timers.setTime(1_900_000_000_000)
    assert.ok(DateTime.now().us <= 1_900_000_000_000_999)
  })

  test('now is the clock of the system', () => {
    const before = Date.now() * 1000
    const now = DateTime.now()
    const after = (Date.now() + 1) * 1000
    assert.ok(before <= now.us && now.us <= after, `${before} ${now.us} ${after}`)
    assert.ok(Number.isSafeInteger(now.us))
  })
})
