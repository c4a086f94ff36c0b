/** Log lines, in both formats, as operators and their tools read them (06-server §9.1). */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DateTime, Uuid } from './codec/values.ts'
import { OperatorError } from './errors.ts'
import { createLog, type Log, type LogFormat, type LogLevel, type ProcessLog } from './log.ts'

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
const scratch = { folder: '', count: 0 }
before(() => {
  scratch.folder = mkdtempSync(join(tmpdir(), 'log-'))
})
after(() => rmSync(scratch.folder, { recursive: true }))

const fresh = () => join(scratch.folder, `${scratch.count++}.log`)
/** What a log that `use` writes to holds once it is closed. */
async function written(format: LogFormat, use: (log: ProcessLog) => void, level: LogLevel = 'DEBUG'): Promise<string> {
  const file = fresh()
  const log = createLog({ level, format, file })
  use(log)
  await log.close()
  return readFileSync(file, 'utf8')
}
async function jsonLines(use: (log: ProcessLog) => void, level?: LogLevel): Promise<{ [key: string]: unknown }[]> {
  const text = await written('JSON', use, level)
  assert.ok(text === '' || text.endsWith('\n'))
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => {
      const { timestamp, ...keys } = JSON.parse(line) as { timestamp: string }
      assert.match(timestamp, TIMESTAMP)
      return keys
    })
}
/** Console lines without their timestamps, which are checked. */
async function consoleLines(use: (log: Log) => void): Promise<string[]> {
  const lines = (await written('CONSOLE', use)).split('\n').slice(0, -1)
  return lines.map(line => {
    const [, timestamp, rest] = /^(\S{27}) (\[.*)$/.exec(line) ?? [undefined, undefined, line]
    if (timestamp) assert.match(timestamp, TIMESTAMP)
    return rest!
  })
}

describe('JSON', () => {
  test('one object per line: keys, event, level, timestamp', async () => {
    const [line] = await jsonLines(log => log.warning('It is over 9000 !', { power: 9000, target: 'Goku' }))
    assert.deepEqual(line, { power: 9000, target: 'Goku', event: 'It is over 9000 !', level: 'warning' })
  })

  test('levels are in lower case, and those below the chosen one are silent', async () => {
    const all = (log: Log) => {
      for (const level of ['debug', 'info', 'warning', 'error', 'critical'] as const) log[level]('x')
    }
    const levels = async (level: LogLevel) => (await jsonLines(all, level)).map(line => line.level)
    assert.deepEqual(await levels('DEBUG'), ['debug', 'info', 'warning', 'error', 'critical'])
    assert.deepEqual(await levels('WARNING'), ['warning', 'error', 'critical'])
    assert.deepEqual(await levels('CRITICAL'), ['critical'])
  })

  test('a line that is not written costs no look at its keys', async () => {
    const keys = Object.defineProperty({}, 'costly', { enumerable: true, get: () => assert.fail('looked at') })
    assert.deepEqual(await jsonLines(log => log.child(keys).info('x', keys), 'WARNING'), [])
  })

  test('a child has the keys of its parents; the nearest wins', async () => {
    const lines = await jsonLines(log => {
      const child = log.child({ conn_id: 'c', a: 1 }).child({ request_id: 'r', a: 2 })
      child.info('one', { a: 3 })
      child.info('two')
      log.info('three')
    })
    assert.deepEqual(lines, [
      { conn_id: 'c', request_id: 'r', a: 3, event: 'one', level: 'info' },
      { conn_id: 'c', request_id: 'r', a: 2, event: 'two', level: 'info' },
      { event: 'three', level: 'info' },
    ])
  })

  test('an error is printed under exception, with its stack and those of its causes', async () => {
    const [line, other] = await jsonLines(log => {
      log.error('Unexpected crash', { error: new Error('top', { cause: new TypeError('below', { cause: 'root' }) }) })
      log.error('Odd', { error: 'thrown text' })
    })
    const { exception, ...rest } = line!
    assert.deepEqual(rest, { event: 'Unexpected crash', level: 'error' })
    assert.match(
      exception as string,
      /^Error: top\n {4}at .*\nCaused by: TypeError: below\n {4}at .*\nCaused by: root$/s,
    )
    assert.equal(other!.exception, 'thrown text')
  })

  test('an error that is its own cause ends', async () => {
    const error = new Error('loop')
    error.cause = error
    const [line] = await jsonLines(log => log.error('x', { error }))
    assert.match(line!.exception as string, /^Error: loop/)
  })

  test('bins are never dumped; what JSON cannot say is printed as text', async () => {
    const circular: { self?: unknown } = {}
    circular.self = circular
    const id = Uuid.random()
    const keys = {
      bin: Buffer.from('secret'),
      nested: {
        list: [new Uint8Array(3)],
        id,
        at: new DateTime(0),
        big: 5n,
        map: new Map([['k', Buffer.from('secret')]]),
      },
      set: new Set([1]),
      big: 2n ** 64n,
      nan: Number.NaN,
      absent: undefined,
      nothing: null,
      f: Math.max,
      circular,
      failure: new Error('plain'),
      hostile: Object.create(null, {
        toString: { value: () => assert.fail() },
        toJSON: { value: () => assert.fail() },
      }),
    }
    const [line] = await jsonLines(log => log.info('x', keys))
    assert.deepEqual(line, {
      bin: 'bin(6)',
      nested: { list: ['bin(3)'], id: id.hex, at: '1970-01-01T00:00:00.000000Z', big: '5', map: { k: 'bin(6)' } },
      set: [1],
      big: '18446744073709551616',
      nan: 'NaN',
      nothing: null,
      f: 'function max() { [native code] }',
      circular: '[object Object]',
      failure: 'Error: plain',
      hostile: 'object',
      event: 'x',
      level: 'info',
    })
  })

  test('a key cannot take the place of a field of the line', async () => {
    const [line] = await jsonLines(log => log.info('real', { event: 'x', level: 'y', timestamp: 'z', exception: 'w' }))
    assert.deepEqual(line, { event_: 'x', level_: 'y', timestamp_: 'z', exception_: 'w', event: 'real', level: 'info' })
  })
})

describe('CONSOLE', () => {
  test('timestamp, level, event, keys in order of their names', async () => {
    assert.deepEqual(
      await consoleLines(log => {
        log.warning('It is over 9000 !', { target: 'Goku', power: 9000 })
        log.info('No keys')
        log.critical('An event text that is longer than its column', { a: true, b: null, c: ['x', 1] })
      }),
      [
        '[warning  ] It is over 9000 !              power=9000 target=Goku',
        '[info     ] No keys',
        '[critical ] An event text that is longer than its column a=true b=null c=["x",1]',
      ],
    )
  })

  test('the trace follows on lines of its own', async () => {
    const [first, second, third] = await consoleLines(log =>
      log.error('Unexpected crash', { error: new Error('boom'), cmd: 'x' }),
    )
    assert.equal(first, '[error    ] Unexpected crash               cmd=x')
    assert.equal(second, '  Error: boom')
    assert.match(third!, /^ {6}at /)
  })

  test('nobody can forge a line or steer a terminal; no colours in a file', async () => {
    const lines = await consoleLines(log =>
      log.info('a\nb', { 'k\r': 'x\u001b[31m\n2020 [error    ] forged', u: '\u2028\u0085' }),
    )
    assert.deepEqual(lines, [
      '[info     ] a\\u000ab                       k\\u000d=x\\u001b[31m\\u000a2020 [error    ] forged u=\\u2028\\u0085',
    ])
    const [, said, forged] = await consoleLines(log =>
      log.error('Refused', { error: new Error('gone\n2020-01-01T00:00:00.000000Z [info     ] forged\u001b[2J') }),
    )
    assert.equal(said, '  Error: gone')
    assert.equal(forged, '  2020-01-01T00:00:00.000000Z [info     ] forged\\u001b[2J')
  })
})

describe('the file', () => {
  test('is appended to (06-server#32)', async () => {
    const file = fresh()
    writeFileSync(file, 'earlier\n')
    for (const event of ['one', 'two']) {
      const log = createLog({ level: 'INFO', format: 'CONSOLE', file })
      log.info(event)
      await log.close()
    }
    assert.match(readFileSync(file, 'utf8'), /^earlier\n.* one\n.* two\n$/)
  })

  test('a new one is for its owner and a group to read: it names people', async () => {
    const file = fresh()
    await createLog({ level: 'INFO', format: 'CONSOLE', file }).close()
    assert.equal(statSync(file).mode & 0o137, 0)
  })

  test('can be rotated: after reopen, lines go to a new file and none is lost', async () => {
    const file = fresh()
    const log = createLog({ level: 'INFO', format: 'CONSOLE', file })
    for (let i = 0; i < 100; i++) log.info(`before ${i}.`)
    renameSync(file, `${file}.1`)
    log.reopen()
    for (let i = 0; i < 100; i++) log.info(`after ${i}.`)
    await log.close()
    assert.ok(existsSync(file))
    const old = existsSync(`${file}.1`) ? readFileSync(`${file}.1`, 'utf8') : ''
    const current = readFileSync(file, 'utf8')
    assert.doesNotMatch(old, /after/)
    const events = [...(old + current).matchAll(/(before|after) \d+\./g)].map(([event]) => event)
    const expected = ['before', 'after'].flatMap(word => Array.from({ length: 100 }, (_, i) => `${word} ${i}.`))
    assert.deepEqual(events, expected)
  })

  test('that cannot be written is an error for the operator', () => {
    for (const file of [scratch.folder, join(scratch.folder, 'absent', 'x.log')]) {
      assert.throws(
        () => createLog({ level: 'INFO', format: 'JSON', file }),
        error => {
          assert.ok(error instanceof OperatorError)
          assert.match(error.message, /cannot write the log file/)
          return true
        },
      )
    }
  })

  test('null and - are stderr; what is not yet written when a process exits is written then', () => {
    for (const file of ['null', '"-"']) {
      const script = `
        import { createLog } from ${JSON.stringify(new URL('log.ts', import.meta.url).href)}
        const log = createLog({ level: 'INFO', format: 'CONSOLE', file: ${file} })
        log.reopen()
        for (let i = 0; i < 1000; i++) log.info('line', { i })
        process.exit(3)`
      const { status, stderr, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
      })
      assert.equal(status, 3)
      assert.equal(stdout, '')
      assert.equal(stderr.split('\n').length, 1001)
      assert.ok(!stderr.includes('\u001b'))
    }
  })
})

test('what fails again and again, for whomever, is told once, and at the end once more with the number of the others', async () => {
  const fail = (log: Log, cause: string) => {
    for (let n = 0; n < 1000; n++) {
      const child = log.child({ service: 'gateway', conn_id: `${n}` })
      child.warning('Service unavailable', { cmd: 'vlob_read', cause: `${cause} for ${n} ms` })
      child.error('Unexpected crash', { cmd: 'vlob_read', error: new Error(`${cause} for ${n} ms`) })
      child.info('Request', { cmd: 'vlob_read' })
    }
  }
  const lines = await jsonLines(log => {
    fail(log, 'database: away')
    fail(log, 'NATS: away')
  })
  const told = lines.filter(({ level }) => level !== 'info')
  const shown = ({ conn_id, cause, exception, others_since = 0 }: (typeof told)[number]) => [
    ...[conn_id, /(\w+): away/.exec((cause ?? exception) as string)![1], others_since],
  ]
  assert.deepEqual(told.map(shown), [
    ...['database', 'database', 'NATS', 'NATS'].map(cause => ['0', cause, 0]),
    ...['database', 'database', 'NATS', 'NATS'].map(cause => ['999', cause, 998]),
  ])
  assert.match(told.at(-1)!['last_at'] as string, TIMESTAMP)
  assert.equal(lines.length - told.length, 2000)
})

test('a listener hears what is told, from info on, whatever the level of the log; an error as it is', async () => {
  const heard: unknown[] = []
  const error = new Error('away')
  const lines = await jsonLines(log => {
    log.watch((level, event, { exception }) => heard.push([level, event, exception]))
    log.debug('Served')
    log.info('Request')
    for (let n = 0; n < 5; n++) log.error('Unexpected crash', { error })
  }, 'CRITICAL')
  assert.deepEqual(lines, [])
  assert.deepEqual(heard, [
    ['info', 'Request', undefined],
    ['error', 'Unexpected crash', error],
    ['error', 'Unexpected crash', error],
  ])
})

test('the last warnings are kept, a hundred of them, and of each no more than a page', async () => {
  const log = createLog({ level: 'INFO', format: 'JSON', file: fresh() })
  for (let n = 0; n < 150; n++) log.child({ service: 'gateway' }).warning('It happened', { n })
  log.info('Nothing happened')
  log.error('It failed', { error: new Error('x'.repeat(10_000)) })
  const kept = log.warnings()
  assert.equal(kept.length, 100)
  assert.deepEqual(
    { ...kept[0], at: null },
    { at: null, level: 'warning', event: 'It happened', service: 'gateway', keys: '{"n":51}' },
  )
  assert.deepEqual([kept.at(-1)!.level, kept.at(-1)!.service], ['error', undefined])
  assert.ok(kept.at(-1)!.keys.length < 10_000)
  await log.close()
})
