/**
 * The block-store service on an in-process bus, asked as a gateway asks it. Its metadata service is the least that
 * honest checks need: it remembers which blocks were committed, so that a test knows what may never be lost.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { BlockstoreConfig } from '@parsec/blockstore/config'
import { type BlockstoreDeps, type BlockstoreService, startBlockstore } from '@parsec/blockstore/main'
import { admissionOf } from '@parsec/shared/bus/admission'
import { Envelope, encodeContext } from '@parsec/shared/bus/envelope'
import { LocalBus } from '@parsec/shared/bus/local'
import { serveInternal } from '@parsec/shared/bus/rpc'
import * as subjects from '@parsec/shared/bus/subjects'
import { decodeMap, encode } from '@parsec/shared/codec/msgpack'
import { Uuid } from '@parsec/shared/codec/values'
import type { Log, LogKeys } from '@parsec/shared/log'

export type Line = { level: string; event: string; [key: string]: unknown }
export type Reply = { status: string; block?: Buffer }

/** Longer than any deadline of the service. */
const CALLER_PATIENCE_MS = 60_000
/** Log lines that the message of a failed assertion has. */
const KEPT_LINES = 5

export class TestService {
  readonly organization_id: string
  readonly realm_id = Uuid.random()
  readonly lines: Line[] = []
  /** Size of each committed block. */
  readonly committed = new Map<string, number>()
  /** Which nodes missed each committed block. */
  readonly missed = new Map<string, readonly number[]>()
  readonly bus = new LocalBus()
  /** One for all commands, as clients have it: services remember connections. */
  readonly #conn_id = randomBytes(16).toString('hex')
  #service: BlockstoreService | undefined

  private constructor(organization_id: string) {
    this.organization_id = organization_id
  }

  static async start(
    config: Partial<BlockstoreConfig> & Pick<BlockstoreConfig, 'store'>,
    options: Pick<BlockstoreDeps, 'network' | 'storeDeadlineMs' | 'metrics' | 'register' | 'probePauseMs'> = {},
    organization_id = `Org_${randomBytes(4).toString('hex')}`,
  ): Promise<TestService> {
    const test = new TestService(organization_id)
    const log = recordingLog(test.lines)
    const known = (block_id: Uuid) => test.committed.has(block_id.hex)
    const check = async ({ block_id }: { block_id: Uuid }) =>
      ({ status: known(block_id) ? 'already_exists' : 'ok' }) as const
    const admission = admissionOf(1)
    await serveInternal(
      { bus: test.bus, service: 'metadata', log, admission, scope: <C>(call: C) => call },
      {
        block_check: (_ctx, request) => check(request),
        block_commit: async (_ctx, request) => {
          const reply = await check(request)
          if (reply.status === 'ok') {
            test.committed.set(request.block_id.hex, request.size)
            test.missed.set(request.block_id.hex, request.missed_nodes)
          }
          return reply
        },
        block_abandon: async () => ({}),
        block_access: async (_ctx, { block_id }) => {
          const size = test.committed.get(block_id.hex)
          if (size === undefined) return { status: 'not_found' }
          return { status: 'ok', size, missed_nodes: test.missed.get(block_id.hex) ?? [] }
        },
      },
    )
    const full = { database: { kind: 'MOCKED' }, ...config } as const
    test.#service = await startBlockstore({ bus: test.bus, log, config: full, register: null, ...options })
    return test
  }
  get service(): BlockstoreService {
    return this.#service!
  }
  async stop(): Promise<void> {
    await this.service.drain(1_000)
    await this.service.stop()
    await this.bus.drain()
  }

  create(block_id: Uuid, block: Buffer): Promise<Reply> {
    return this.as(this.organization_id).create(block_id, block)
  }
  read(block_id: Uuid): Promise<Reply> {
    return this.as(this.organization_id).read(block_id)
  }
  /** A client of another organization, who leaves when `signal` aborts. */
  as(organization_id: string, signal?: AbortSignal): { create: TestService['create']; read: TestService['read'] } {
    return {
      create: (block_id, block) =>
        this.#command(organization_id, 'block_create', { block_id, realm_id: this.realm_id, block }, signal),
      read: block_id => this.#command(organization_id, 'block_read', { block_id }, signal),
    }
  }
  async stores(block_id: Uuid, block: Buffer): Promise<void> {
    const { status } = await this.create(block_id, block)
    assert.equal(status, 'ok', `${block_id.hex}: ${status} ${JSON.stringify(this.lines.slice(-KEPT_LINES))}`)
    await this.holds(block_id, block)
  }
  async holds(block_id: Uuid, block: Buffer): Promise<void> {
    const reply = await this.read(block_id)
    assert.equal(reply.status, 'ok', block_id.hex)
    assert.ok(reply.block!.equals(block), `${block_id.hex}: other bytes`)
  }

  async #command(
    organization_id: string,
    cmd: 'block_create' | 'block_read',
    fields: { [name: string]: Uuid | Buffer },
    signal: AbortSignal | undefined,
  ): Promise<Reply> {
    const context = encodeContext({
      kind: 'authenticated',
      conn_id: this.#conn_id,
      api_version: [2, 8],
      release: null,
      organization_id,
      organization: 1,
      is_sequestered: false,
      user_id: 'alice',
      user: 1,
      device_id: 'alice@pc1',
      device: 1,
      profile: 'STANDARD',
      human_handle: null,
      verify_key: Buffer.alloc(32),
    })
    const bytes = encode({ cmd, ...fields })
    const request_id = randomBytes(8).toString('hex')
    const envelope = new Envelope({ context, request_id, msLeft: CALLER_PATIENCE_MS, message: decodeMap(bytes) }, bytes)
    const reply = await this.bus.request(subjects.command('blockstore', cmd), envelope, {
      timeoutMs: CALLER_PATIENCE_MS,
      ...(signal && { signal }),
    })
    return decodeMap(reply) as Reply
  }
}

export function recordingLog(lines: Line[], bound: LogKeys = {}): Log {
  const at =
    (level: string) =>
    (event: string, keys: LogKeys = {}): void =>
      void lines.push({ ...bound, ...keys, level, event })
  return {
    debug() {},
    info: at('info'),
    warning: at('warning'),
    error: at('error'),
    critical: at('critical'),
    child: keys => recordingLog(lines, { ...bound, ...keys }),
  }
}
