/** The contract of the bus, for all drivers; and what only a broker can do: refuse, vanish, come back. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { RemoteFailure, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { type Bus, MAX_REPLY_BYTES } from './bus.ts'
import { LocalBus } from './local.ts'
import { NatsBus } from './nats.ts'
import { RelayBus } from './relay.ts'
import { RelayHub } from './relay-hub.ts'

const MAX_PAYLOAD = 65_536
const LARGER_MAX_PAYLOAD = 131_072
/** Never reached: what is tested fails at once, or the runner's own limit ends it. */
const LONG = { timeoutMs: 60_000 }
const PASSWORD = 's3cr/et@'
const silent: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => silent }

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => assert.fail('no failure'),
    reason => reason,
  )
  assert.ok(error instanceof Error)
  return error
}
const bytes = (text: string): Buffer => Buffer.from(text)
const subjectOf = (...tokens: string[]): string => ['test', randomUUID(), ...tokens].join('.')
/** What is still held when a test has failed is released at the end, so that the failure is reported. */
const releases: (() => void)[] = []
function deferred<T = void>() {
  const { promise, resolve } = Promise.withResolvers<T>()
  releases.push(() => resolve(undefined as T))
  return { promise, resolve }
}

/** A broker of the test's own. */
class Broker {
  readonly port: number
  readonly #folder: string
  readonly #buses: Bus[] = []
  #child: ChildProcess | undefined
  constructor(port: number, folder: string) {
    this.port = port
    this.#folder = folder
  }
  static async start(): Promise<Broker> {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as AddressInfo
    probe.close()
    await once(probe, 'close')
    const broker = new Broker(port, mkdtempSync(join(tmpdir(), 'nats-')))
    await broker.run(MAX_PAYLOAD)
    return broker
  }
  async run(maxPayload: number): Promise<void> {
    const config = join(this.#folder, 'nats.conf')
    const denied = '{ deny: "*.forbidden.>" }'
    writeFileSync(
      config,
      `max_payload: ${maxPayload}
       authorization { users: [
         { user: "any", password: "${PASSWORD}" }
         { user: "limited", password: "x", permissions: { publish: ${denied}, subscribe: ${denied} } }
       ] }`,
    )
    const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(this.port), '-c', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    await new Promise<void>((resolve, reject) => {
      let output = ''
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`nats-server ended: ${output}`)))
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        output += text
        if (output.includes('Server is ready')) resolve()
      })
    })
  }
  async kill(): Promise<void> {
    const gone = once(this.#child!, 'exit')
    this.#child!.kill('SIGKILL')
    await gone
  }
  async remove(): Promise<void> {
    for (const release of releases.splice(0)) release()
    await Promise.all(this.#buses.map(bus => bus.drain()))
    await this.kill()
    rmSync(this.#folder, { recursive: true })
  }
  url(user = 'any', password = PASSWORD): string {
    return `nats://${user}:${encodeURIComponent(password)}@127.0.0.1:${this.port}`
  }
  async connect(user?: string, password?: string, prefix = 'parsec'): Promise<NatsBus> {
    const bus = await NatsBus.connect({ url: this.url(user, password), name: 'test', log: silent, prefix })
    this.#buses.push(bus)
    return bus
  }
}

type Driver = {
  open(): Promise<Bus>
  alone: boolean
  /** Whoever serves a subject answers its own requests. */
  servesItself?: boolean
}

function contract(name: string, driver: Driver, set: { up(): Promise<void>; down(): Promise<void> }): void {
  describe(name, () => {
    before(() => set.up())
    after(() => set.down())
    /** Two ends: connections of their own, or twice the only bus there is. */
    const ends = async (): Promise<[Bus, Bus]> => {
      const one = await driver.open()
      return [one, driver.alone ? one : await driver.open()]
    }
    const close = (...buses: Bus[]) => Promise.all(buses.map(bus => bus.drain()))

    test('a request is answered by whoever serves its pattern', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('echo')
      await server.serve(subject.replace('echo', '*'), 'q', async (payload, at) => Buffer.concat([payload, bytes(at)]))
      assert.deepEqual(await asker.request(subject, bytes('hello '), LONG), bytes(`hello ${subject}`))
      assert.equal((await asker.request(subject, Buffer.alloc(0), LONG)).toString(), subject)
      await close(asker, server)
    })

    test('a parcel comes as itself or as its bytes, and these count for maxPayload', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('parcel')
      await server.serve(subject, 'q', async (payload, _subject, parcel) =>
        parcel ? Buffer.concat([payload, parcel.toBytes()]) : payload,
      )
      const ask = (content: Buffer) => asker.request(subject, { length: content.length, toBytes: () => content }, LONG)
      assert.deepEqual(await ask(bytes('content')), bytes('content'))
      assert.deepEqual(await ask(bytes('')), bytes(''))
      assert.equal((await ask(Buffer.alloc(MAX_PAYLOAD, 1))).length, MAX_PAYLOAD)
      await assert.rejects(ask(Buffer.alloc(MAX_PAYLOAD + 1)), RangeError)
      await close(asker, server)
    })

    test('a server is told when its caller waits no longer', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('patient')
      const gone = [deferred<string>(), deferred<string>()]
      const taken = [deferred(), deferred()]
      await server.serve(subject, 'q', (payload, _subject, _parcel, caller) => {
        const { promise, resolve } = Promise.withResolvers<Buffer>()
        const i = Number(payload.toString())
        caller.onGone = () => {
          gone[i]!.resolve('gone')
          resolve(payload)
        }
        taken[i]!.resolve()
        return promise
      })
      const leaving = new AbortController()
      const left = failureOf(asker.request(subject, bytes('0'), { ...LONG, signal: leaving.signal }))
      await taken[0]!.promise
      leaving.abort(new Unavailable('left'))
      assert.equal((await left).message, 'left')
      assert.equal(await gone[0]!.promise, 'gone')
      const late = failureOf(asker.request(subject, bytes('1'), { timeoutMs: 20 }))
      assert.match((await late).message, /within 20 ms/)
      assert.equal(await gone[1]!.promise, 'gone')
      await close(asker, server)
    })

    test('the members of a queue share the work', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('shared')
      const counts = [0, 0]
      for (const [i, bus] of [asker, server].entries()) {
        await bus.serve(subject, 'q', async payload => {
          counts[i]!++
          return payload
        })
      }
      const replies = await Promise.all(
        Array.from({ length: 100 }, (_, i) => asker.request(subject, bytes(`${i}`), LONG)),
      )
      assert.deepEqual(
        replies.map(String),
        Array.from({ length: 100 }, (_, i) => `${i}`),
      )
      assert.equal(counts[0]! + counts[1]!, 100)
      if (driver.servesItself) assert.deepEqual(counts, [100, 0])
      else assert.ok(counts[0]! > 0 && counts[1]! > 0, `${counts}`)
      await close(asker, server)
    })

    test('nobody serving is Unavailable, long before the deadline', async () => {
      const [asker, server] = await ends()
      await assert.rejects(asker.request(subjectOf('nobody'), bytes('x'), LONG), error => {
        assert.ok(error instanceof Unavailable)
        assert.match(error.message, /nobody serves/)
        return true
      })
      await close(asker, server)
    })

    test('a server that closed its subscription gets nothing more', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('closed')
      const subscription = await server.serve(subject, 'q', async payload => payload)
      await asker.request(subject, bytes('x'), LONG)
      await subscription.close()
      await assert.rejects(asker.request(subject, bytes('x'), LONG), Unavailable)
      await close(asker, server)
    })

    test('closing a subscription waits for what it has taken', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('slow')
      const [taken, go] = [deferred(), deferred()]
      const subscription = await server.serve(subject, 'q', async payload => {
        taken.resolve()
        await go.promise
        return payload
      })
      const reply = asker.request(subject, bytes('late'), LONG)
      await taken.promise
      const order: string[] = []
      const closed = subscription.close().then(() => order.push('closed'))
      // Longer than it takes to tell the others.
      for (let n = 0; n < 3; n++) await server.flush()
      await nextTurn()
      order.push('released')
      go.resolve()
      assert.equal((await reply).toString(), 'late')
      await closed
      assert.deepEqual(order, ['released', 'closed'])
      await close(asker, server)
    })

    test('no answer in time is Unavailable; a late answer is dropped', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('slow')
      const go = deferred()
      await server.serve(subject, 'q', async payload => {
        await go.promise
        return payload
      })
      await assert.rejects(asker.request(subject, bytes('x'), { timeoutMs: 20 }), error => {
        assert.ok(error instanceof Unavailable)
        assert.match(error.message, /within 20 ms/)
        return true
      })
      go.resolve()
      assert.equal((await asker.request(subject, bytes('y'), LONG)).toString(), 'y')
      await close(asker, server)
    })

    test('an abort rejects with its reason, before and during the wait', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('slow')
      const [taken, go, abort] = [deferred(), deferred(), new AbortController()]
      await server.serve(subject, 'q', async payload => {
        taken.resolve()
        await go.promise
        return payload
      })
      const reason = new Error('left')
      const reply = asker.request(subject, bytes('x'), { ...LONG, signal: abort.signal })
      await taken.promise
      abort.abort(reason)
      await assert.rejects(reply, error => error === reason)
      await assert.rejects(
        asker.request(subject, bytes('x'), { ...LONG, signal: abort.signal }),
        error => error === reason,
      )
      go.resolve()
      await close(asker, server)
    })

    test('what a server throws reaches the caller as Unavailable or RemoteFailure', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('throws')
      const failures = new Map<string, () => unknown>([
        ['away', () => new Unavailable('database away')],
        ['bug', () => new TypeError('a bug\r\nin two lines é')],
        ['long', () => new Error('x'.repeat(MAX_PAYLOAD * 2))],
        ['odd', () => 'text'],
      ])
      await server.serve(subject, 'q', async payload => {
        throw failures.get(payload.toString())!()
      })
      const thrown = (name: string) => failureOf(asker.request(subject, bytes(name), LONG))
      assert.ok((await thrown('away')) instanceof Unavailable)
      assert.equal((await thrown('away')).message, 'database away')
      for (const name of ['bug', 'long', 'odd']) assert.ok((await thrown(name)) instanceof RemoteFailure, name)
      assert.equal((await thrown('bug')).message, `${subject}: a bug\r\nin two lines é`)
      assert.equal((await thrown('odd')).message, `${subject}: text`)
      await close(asker, server)
    })

    test('maxPayload is inclusive for requests, replies and events; above it nothing breaks', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('size')
      assert.equal(asker.maxPayload, MAX_PAYLOAD)
      await server.serve(subject, 'q', async payload =>
        payload.length === 1 ? Buffer.alloc(MAX_REPLY_BYTES + 1) : payload,
      )
      const heard = deferred<Buffer>()
      await server.subscribe(`${subject}.event`, heard.resolve)
      const [largest, tooLarge] = [Buffer.alloc(MAX_PAYLOAD, 1), Buffer.alloc(MAX_PAYLOAD + 1)]
      assert.deepEqual(await asker.request(subject, largest, LONG), largest)
      await assert.rejects(asker.request(subject, tooLarge, LONG), RangeError)
      await assert.rejects(asker.request(subject, bytes('r'), LONG), RemoteFailure)
      assert.throws(() => asker.publish(`${subject}.event`, tooLarge), RangeError)
      asker.publish(`${subject}.event`, largest)
      assert.deepEqual(await heard.promise, largest)
      assert.deepEqual(await asker.request(subject, bytes('ok'), LONG), bytes('ok'))
      await close(asker, server)
    })

    test('a reply may be larger than a message, up to its own limit', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('large')
      await server.serve(subject, 'q', async payload => randomBytes(Number(payload.toString())))
      const lengths = [MAX_PAYLOAD + 1, 3 * MAX_PAYLOAD, MAX_REPLY_BYTES]
      const replies = await Promise.all(lengths.map(length => asker.request(subject, bytes(`${length}`), LONG)))
      assert.deepEqual(
        replies.map(reply => reply.length),
        lengths,
      )
      await close(asker, server)
    })

    test('a large reply comes whole', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('whole')
      const reply = randomBytes(MAX_REPLY_BYTES)
      await server.serve(subject, 'q', async () => reply)
      assert.ok((await asker.request(subject, bytes(''), LONG)).equals(reply))
      await close(asker, server)
    })

    test('patterns: * is one token, > the rest', async () => {
      const [asker, server] = await ends()
      const root = subjectOf()
      const heard: string[] = []
      const done = deferred()
      for (const pattern of [`${root}.a`, `${root}.*`, `${root}.*.b`, `${root}.>`]) {
        await server.subscribe(pattern, (_payload, subject) => {
          heard.push(`${pattern.slice(root.length)} ${subject.slice(root.length)}`)
          if (subject.endsWith('.end')) done.resolve()
        })
      }
      for (const subject of ['.a', '.a.b', '.c.b.d', '']) asker.publish(`${root}${subject}`, bytes(''))
      asker.publish(`${root}.x.y.end`, bytes(''))
      await done.promise
      assert.deepEqual(
        heard.sort(),
        ['.* .a', '.*.b .a.b', '.> .a', '.> .a.b', '.> .c.b.d', '.> .x.y.end', '.a .a'].sort(),
      )
      await close(asker, server)
    })

    test('an event reaches every subscriber, in the order of its publisher', async () => {
      const [publisher, other] = await ends()
      const subject = subjectOf('event')
      const expected = Array.from({ length: 200 }, (_, i) => `${i}`)
      const listen = async (bus: Bus) => {
        const heard: string[] = []
        const all = deferred<string[]>()
        await bus.subscribe(subject, payload => {
          if (heard.push(payload.toString()) === expected.length) all.resolve(heard)
        })
        return { all: all.promise }
      }
      const listeners = [await listen(publisher), await listen(other), await listen(other)]
      for (const [i, text] of expected.entries()) {
        publisher.publish(subject, bytes(text))
        if (i % 50 === 0) await publisher.flush()
      }
      for (const { all } of listeners) assert.deepEqual(await all, expected)
      await close(publisher, other)
    })

    test('a subscriber hears what is published once it has subscribed, and nothing after it closed', async () => {
      const [publisher, other] = await ends()
      const subject = subjectOf('event')
      const heard: string[] = []
      publisher.publish(subject, bytes('before'))
      await publisher.flush()
      const first = deferred()
      const subscription = await other.subscribe(subject, payload => {
        heard.push(payload.toString())
        first.resolve()
      })
      publisher.publish(subject, bytes('during'))
      await first.promise
      await subscription.close()
      const end = deferred()
      await other.subscribe(`${subject}.end`, () => end.resolve())
      publisher.publish(subject, bytes('after'))
      publisher.publish(`${subject}.end`, bytes(''))
      await end.promise
      assert.deepEqual(heard, ['during'])
      await close(publisher, other)
    })

    test('no two parties share memory that was not given away', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('memory')
      const kept: Buffer[] = []
      await server.serve(subject, 'q', async payload => {
        kept.push(Buffer.from(payload))
        payload.fill(0)
        return bytes('answer')
      })
      const question = bytes('question')
      const reply = await asker.request(subject, question, LONG)
      assert.equal(question.toString(), 'question')
      reply.fill(0)
      const waiting = asker.request(subject, question, LONG)
      await nextTurn()
      question.fill(0)
      assert.equal((await waiting).toString(), 'answer')
      assert.deepEqual(kept.map(String), ['question', 'question'])
      const both = deferred()
      let left = 2
      const texts: string[] = []
      for (let i = 0; i < 2; i++) {
        await server.subscribe(`${subject}.event`, payload => {
          texts.push(payload.toString())
          payload.fill(0)
          if (--left === 0) both.resolve()
        })
      }
      asker.publish(`${subject}.event`, bytes('event'))
      await both.promise
      assert.deepEqual(texts, ['event', 'event'])
      await close(asker, server)
    })

    test('drain answers what was taken; afterwards everything fails with Unavailable', async () => {
      const [asker, server] = await ends()
      const subject = subjectOf('drain')
      const [taken, go] = [deferred(), deferred()]
      await server.serve(subject, 'q', async payload => {
        taken.resolve()
        await go.promise
        return payload
      })
      const reply = asker.request(subject, bytes('kept'), LONG)
      await taken.promise
      const drained = server.drain()
      assert.equal(server.drain() !== undefined, true)
      go.resolve()
      assert.equal((await reply).toString(), 'kept')
      await drained
      assert.equal(server.connected, false)
      await assert.rejects(server.request(subject, bytes('x'), LONG), Unavailable)
      assert.throws(() => server.publish(subject, bytes('x')), Unavailable)
      await assert.rejects(
        server.subscribe(subject, () => {}),
        Unavailable,
      )
      await assert.rejects(
        server.serve(subject, 'q', async payload => payload),
        Unavailable,
      )
      await assert.rejects(asker.request(subject, bytes('x'), LONG), Unavailable)
      await close(asker, server)
    })
  })
}

contract(
  'in one process',
  { alone: true, open: async () => new LocalBus(MAX_PAYLOAD) },
  { up: async () => {}, down: async () => {} },
)

const shared: { broker?: Broker } = {}
contract(
  'over NATS',
  { alone: false, open: () => shared.broker!.connect() },
  {
    up: async () => {
      shared.broker = await Broker.start()
    },
    down: async () => shared.broker?.remove(),
  },
)

const relay: { hub?: RelayHub } = {}
contract(
  'among workers',
  {
    alone: false,
    servesItself: true,
    open: async () => {
      const [hubSide, workerSide] = duplexPair()
      relay.hub!.attach(hubSide, () => {})
      return RelayBus.open(workerSide, MAX_PAYLOAD)
    },
  },
  {
    up: async () => {
      relay.hub = new RelayHub()
    },
    down: async () => relay.hub?.close(),
  },
)

describe('NATS alone', () => {
  let own: Broker
  before(async () => {
    own = await Broker.start()
  })
  after(() => own.remove())

  test('a wrong address, an absent broker or wrong credentials fail at once, without telling secrets', async () => {
    const refused = async (url: string, text: RegExp) => {
      const error = await failureOf(NatsBus.connect({ url, name: 'test', log: silent }))
      assert.match(error.message, text)
      assert.doesNotMatch(error.message, /hunter2/)
    }
    await refused('http://any:hunter2@127.0.0.1:4222', /must look like nats:/)
    await refused('nats://', /must look like nats:/)
    await refused('any:hunter2@127.0.0.1', /must look like nats:/)
    await refused('nats://any:hunter2@127.0.0.1:1', /cannot connect to NATS at 127\.0\.0\.1:1: .*refused/)
    await refused(own.url('any', 'hunter2'), /cannot connect to NATS at .*[Aa]uthorization/)
    await refused(own.url().replace('nats:', 'tls:'), /cannot connect to NATS at .*tls/)
  })

  test('a forbidden subject is refused at once; the connection goes on', async () => {
    const bus = await own.connect('limited', 'x')
    await assert.rejects(bus.request('forbidden.x', bytes('x'), LONG), Unavailable)
    await assert.rejects(
      bus.subscribe('forbidden.x', () => {}),
      /refuses a subscription/,
    )
    await assert.rejects(
      bus.serve('forbidden.x', 'q', async payload => payload),
      /refuses a subscription/,
    )
    const subject = subjectOf('allowed')
    await bus.serve(subject, 'q', async payload => payload)
    assert.equal((await bus.request(subject, bytes('x'), LONG)).toString(), 'x')
    await bus.drain()
  })

  test('an invalid subject is refused; the connection goes on', async () => {
    const bus = await own.connect()
    await assert.rejects(bus.request('with space', bytes('x'), LONG), /subject/)
    bus.publish('with space', bytes('x'))
    await bus.flush()
    await bus.drain()
  })

  test('a large reply that is given up in the middle leaves nothing behind', async () => {
    const [asker, server] = [await own.connect(), await own.connect()]
    const subject = subjectOf('given-up')
    const given = new AbortController()
    await server.serve(subject, 'q', async () => {
      setImmediate(() => given.abort(new Unavailable('given up')))
      return Buffer.alloc(MAX_REPLY_BYTES)
    })
    const asked = failureOf(asker.request(subject, bytes(''), { ...LONG, signal: given.signal }))
    assert.equal((await asked).message, 'given up')
    // The server's drain waits for whoever takes its pieces.
    await Promise.all([asker.drain(), server.drain()])
  })

  test('deployments with different prefixes do not hear each other', async () => {
    const subject = subjectOf('shared')
    const [one, other] = [await own.connect(), await own.connect(undefined, undefined, 'other')]
    await one.serve(subject, 'q', async () => bytes('one'))
    await assert.rejects(other.request(subject, bytes(''), LONG), /nobody serves/)
    await other.serve(subject, 'q', async () => bytes('other'))
    assert.equal((await one.request(subject, bytes(''), LONG)).toString(), 'one')
    assert.equal((await other.request(subject, bytes(''), LONG)).toString(), 'other')
    await Promise.all([one.drain(), other.drain()])
  })

  test('a listener that throws stops nothing', async () => {
    const bus = await own.connect()
    const subject = subjectOf('event')
    const second = deferred()
    let count = 0
    await bus.subscribe(subject, () => {
      if (++count === 2) second.resolve()
      throw new Error('a bug')
    })
    bus.publish(subject, bytes('1'))
    bus.publish(subject, bytes('2'))
    await second.promise
    await bus.flush()
    await bus.drain()
  })

  test('a broker that dies fails all that waits; when it is back all works again', async () => {
    const [asker, server] = [await own.connect(), await own.connect()]
    const subject = subjectOf('outage')
    const [taken, go] = [deferred(), deferred()]
    await server.serve(subject, 'q', async payload => {
      if (payload.toString() !== 'hold') return payload
      taken.resolve()
      await go.promise
      return payload
    })
    const heard: string[] = []
    const after = deferred()
    await server.subscribe(`${subject}.event`, payload => {
      heard.push(payload.toString())
      if (payload.toString() === 'after') after.resolve()
    })
    const changes: boolean[] = []
    const watch = (bus: Bus, wanted: boolean) =>
      new Promise<void>(resolve => bus.onStatus(now => now === wanted && resolve()))
    asker.onStatus(now => changes.push(now))
    const held = asker.request(subject, bytes('hold'), LONG)
    await taken.promise
    const lost = Promise.all([watch(asker, false), watch(server, false)])
    const failed = assert.rejects(held, { name: 'Unavailable', message: 'connection to NATS lost' })
    await own.kill()
    await failed
    await lost
    assert.equal(asker.connected, false)
    assert.equal(asker.maxPayload, MAX_PAYLOAD)
    await assert.rejects(asker.request(subject, bytes('x'), LONG), Unavailable)
    assert.throws(() => asker.publish(`${subject}.event`, bytes('lost')), Unavailable)
    await assert.rejects(asker.flush(), Unavailable)
    await assert.rejects(
      asker.subscribe(subject, () => {}),
      Unavailable,
    )
    // The answer to a request that nobody waits for any more disturbs nobody.
    go.resolve()
    const found = Promise.all([watch(asker, true), watch(server, true)])
    await own.run(LARGER_MAX_PAYLOAD)
    await found
    assert.deepEqual(changes, [false, true])
    assert.equal(asker.connected, true)
    assert.equal(asker.maxPayload, LARGER_MAX_PAYLOAD)
    assert.equal((await asker.request(subject, bytes('again'), LONG)).toString(), 'again')
    asker.publish(`${subject}.event`, bytes('after'))
    await after.promise
    assert.deepEqual(heard, ['after'])
    await Promise.all([asker.drain(), server.drain()])
  })

  test('a bus can be drained while its broker is away', async () => {
    const bus = await own.connect()
    await bus.serve(subjectOf('x'), 'q', async payload => payload)
    const lost = new Promise(resolve => bus.onStatus(resolve))
    await own.kill()
    await lost
    await bus.drain()
    await own.run(MAX_PAYLOAD)
  })
})
