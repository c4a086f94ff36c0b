/**
 * What a RAID promises when one of its nodes is away (spec 06 §7.10): the status of every command meanwhile, and that
 * nothing acknowledged is ever lost, neither then, nor when the node is back, nor with another one away after a scrub.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Uuid } from '@parsec/shared/codec/values'
import { type Kind, type Node, NodeMaker, type Outage } from './raid-nodes.ts'
import { ScrubWorld } from './scrub-world.ts'
import { TestService } from './service.ts'

export type Level = 'RAID0' | 'RAID1' | 'RAID5'
/** RAID0 has no node that a write could spare. */
export const VARIANTS: readonly (readonly [level: Level, degradedWrites: boolean])[] = [
  ['RAID0', false],
  ['RAID1', false],
  ['RAID1', true],
  ['RAID5', false],
  ['RAID5', true],
]
/** Commands in all outages together, half of them creates; how many were answered with each status. */
export type Tally = { readonly create: { [status: string]: number }; readonly read: { [status: string]: number } }

type Counts = { missing: number; corrupt: number; damaged: number; repaired: number }

/** Commands that a server works on at once. */
const AT_ONCE = 16
const HEALTHY_BLOCKS = 8
const ATTEMPTS = 5
const BLOCK_BYTES = { least: 1024, most: 4096 }
/** Long: RAID1 reads at the pace of its fastest node, and leaves the slow ones with more requests than they can follow. */
const ATTEMPT_MS = 15_000
const STORE_DEADLINE_MS = 50_000

export const titleOf = (degradedWrites: boolean): string => (degradedWrites ? 'degraded writes' : 'no degraded writes')

export class Matrix {
  readonly #world: ScrubWorld
  readonly #maker: NodeMaker
  private constructor(world: ScrubWorld, maker: NodeMaker) {
    this.#world = world
    this.#maker = maker
  }
  static async open(): Promise<Matrix> {
    const world = await ScrubWorld.open()
    return new Matrix(world, await NodeMaker.start(world.database))
  }
  async close(): Promise<void> {
    await this.#maker.stop()
    await this.#world.close()
  }

  /** One cell: the outages of each node that can differ, one after the other. */
  async run(level: Level, kind: Kind, degradedWrites: boolean, operations: number): Promise<Tally> {
    const nodes = await this.#maker.nodes(kind)
    const outages = outagesOf(kind, nodes)
    const trial = new Trial(this.#world, level, nodes, degradedWrites)
    try {
      await trial.begin()
      for (const [index, outage] of outages) {
        await trial.withoutNode(index, outage, Math.ceil(operations / outages.length)).catch(cause => {
          throw new Error(`node ${index}, ${nodes[index]!.name}, ${outage.name}`, { cause })
        })
      }
      if (level !== 'RAID0') await trial.replaced(0)
      return trial.tally
    } finally {
      await trial.end()
      await Promise.all(nodes.map(node => node.close()))
      await this.#world.forget()
    }
  }
}

/** Of nodes of one kind: the first, and the last, which is RAID5's checksum. The files beside a database are alike. */
function outagesOf(kind: Kind, nodes: readonly Node[]): readonly (readonly [index: number, outage: Outage])[] {
  if (kind === 'all') return nodes.map(({ outages }, index) => [index, outages[0]!])
  if (kind === 'POSTGRESQL') return nodes.slice(0, 2).map(({ outages }, index) => [index, outages[0]!])
  return nodes[0]!.outages.map((_, i) => {
    const index = i % 2 === 0 ? 0 : nodes.length - 1
    return [index, nodes[index]!.outages[i]!]
  })
}

class Trial {
  readonly tally: Tally = { create: {}, read: {} }
  readonly #world: ScrubWorld
  readonly #level: Level
  readonly #nodes: readonly Node[]
  readonly #degradedWrites: boolean
  readonly #acknowledged: (readonly [block_id: Uuid, block: Buffer])[] = []
  readonly #refused: Uuid[] = []
  #service: TestService | undefined

  constructor(world: ScrubWorld, level: Level, nodes: readonly Node[], degradedWrites: boolean) {
    this.#world = world
    this.#level = level
    this.#nodes = nodes
    this.#degradedWrites = degradedWrites
  }

  async begin(): Promise<void> {
    await this.#start()
    await atOnce(Array.from({ length: HEALTHY_BLOCKS }), () => this.#stores(Uuid.random()))
  }
  async end(): Promise<void> {
    await this.#service?.stop()
  }

  /** Creates and reads while a node is away, then its return, a repair, and the absence of the next node. */
  async withoutNode(index: number, outage: Outage, operations: number): Promise<void> {
    const before = this.#acknowledged.length
    await outage.begin()
    try {
      await atOnce(
        Array.from({ length: operations }, (_, i) => i),
        i => (i % 2 === 0 ? this.#create(index) : this.#read(index, i)),
      )
      if (this.#level !== 'RAID0') await this.#everyBlockIsRead()
    } finally {
      await this.#nodes[index]!.comeBack()
    }
    await this.#everyBlockIsRead()
    const written = this.#acknowledged.length - before
    await this.#retryRefused()
    await this.#repair(this.#level !== 'RAID0' && this.#degradedWrites ? written : 0)
    await this.#readWithoutNextOf(index)
  }

  /** A node comes back empty. */
  async replaced(index: number): Promise<void> {
    await this.#service!.stop()
    await this.#nodes[index]!.replace()
    await this.#start()
    await this.#everyBlockIsRead()
    const counts = await this.#scrub({ repair: true, node: index })
    assert.deepEqual([counts.corrupt, counts.damaged], [0, 0])
    assert.equal(counts.repaired, this.#acknowledged.length)
    await this.#isClean()
    await this.#readWithoutNextOf(index)
  }

  async #start(): Promise<void> {
    this.#service = await TestService.start(
      { store: this.#store, database: this.#world.config, raidDegradedWrites: this.#degradedWrites },
      { network: { caFile: null, proxy: {}, attemptMs: ATTEMPT_MS }, storeDeadlineMs: STORE_DEADLINE_MS },
      this.#service?.organization_id,
    )
    for (const [block_id, block] of this.#acknowledged) this.#service.committed.set(block_id.hex, block.length)
  }
  get #store() {
    return { type: this.#level, nodes: this.#nodes.map(({ config }) => config) }
  }

  async #create(away: number): Promise<void> {
    const [block_id, block] = [Uuid.random(), newBlock()]
    const { status } = await this.#service!.create(block_id, block)
    count(this.tally.create, status)
    const works = this.#level === 'RAID0' ? this.#nodeOf(block_id) !== away : this.#degradedWrites
    assert.equal(status, works ? 'ok' : 'timeout')
    assert.equal(this.#service!.committed.has(block_id.hex), works)
    if (works) this.#acknowledged.push([block_id, block])
    else this.#refused.push(block_id)
  }
  async #read(away: number, turn: number): Promise<void> {
    const [block_id, block] = this.#acknowledged[(turn * 31) % this.#acknowledged.length]!
    const reply = await this.#service!.read(block_id)
    count(this.tally.read, reply.status)
    const works = this.#level !== 'RAID0' || this.#nodeOf(block_id) !== away
    assert.equal(reply.status, works ? 'ok' : 'timeout')
    if (works) assert.ok(reply.block!.equals(block), `${block_id.hex}: other bytes`)
  }
  /** RAID0's: the id as one number, modulo the number of nodes. */
  #nodeOf(block_id: Uuid): number {
    return Number(BigInt(`0x${block_id.hex}`) % BigInt(this.#nodes.length))
  }

  async #stores(block_id: Uuid): Promise<void> {
    const block = newBlock()
    await this.#service!.stores(block_id, block)
    this.#acknowledged.push([block_id, block])
  }
  /**
   * Clients come back until they succeed, and encrypt anew: the bytes are others. The nodes that stayed may have more
   * left to do than they can. Some blocks are never retried, and what was written of them is left over.
   */
  async #retryRefused(): Promise<void> {
    const retried = this.#refused.splice(0).filter((_, i) => i % 2 === 0)
    await atOnce(retried, async block_id => {
      for (let attempt = 1; attempt < ATTEMPTS; attempt++) {
        const block = newBlock()
        if ((await this.#service!.create(block_id, block)).status !== 'ok') continue
        this.#acknowledged.push([block_id, block])
        return this.#service!.holds(block_id, block)
      }
      return this.#stores(block_id)
    })
  }
  async #everyBlockIsRead(): Promise<void> {
    await atOnce([...this.#acknowledged], ([block_id, block]) => this.#service!.holds(block_id, block))
  }
  async #readWithoutNextOf(index: number): Promise<void> {
    if (this.#level === 'RAID0') return
    const next = this.#nodes[(index + 1) % this.#nodes.length]!
    await next.briefest.begin()
    try {
      await this.#everyBlockIsRead()
    } finally {
      await next.comeBack()
    }
  }

  async #repair(missing: number): Promise<void> {
    const { organization_id, missed } = this.#service!
    const blocks = this.#acknowledged.map(
      ([block_id, { length }]) => [block_id, length, missed.get(block_id.hex)!] as const,
    )
    await this.#world.register(organization_id, blocks)
    const counts = await this.#scrub({ repair: true })
    assert.deepEqual([counts.corrupt, counts.damaged], [0, 0])
    assert.deepEqual([counts.missing, counts.repaired], [missing, missing])
    await this.#isClean()
    // As the scrub leaves the metadata, which the service does not ask here.
    const stillMissed = await this.#world.database.query('SELECT FROM block WHERE missed_nodes IS NOT NULL')
    assert.equal(stillMissed.length, 0)
    missed.clear()
  }
  async #isClean(): Promise<void> {
    const { missing, corrupt, damaged } = await this.#scrub({})
    assert.deepEqual([missing, corrupt, damaged], [0, 0, 0])
  }
  /**
   * What scrubs found until one could read everything: Swift still works on requests that nobody waits for any more, and
   * may leave the first ones without an answer.
   */
  async #scrub(changes: Parameters<ScrubWorld['scrubHere']>[1]): Promise<Counts> {
    const total: Counts = { missing: 0, corrupt: 0, damaged: 0, repaired: 0 }
    for (let attempt = 1; ; attempt++) {
      const { state } = await this.#world.scrubHere(this.#store, changes)
      for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += state.counts[name]
      if (state.counts.unreadable + state.counts.unchecked === 0) {
        assert.equal(state.blocks, this.#acknowledged.length)
        return total
      }
      assert.ok(attempt < ATTEMPTS, JSON.stringify(state))
    }
  }
}

const newBlock = (): Buffer =>
  randomBytes(BLOCK_BYTES.least + Math.floor(Math.random() * (BLOCK_BYTES.most - BLOCK_BYTES.least)))

const count = (tally: { [status: string]: number }, status: string): void => {
  tally[status] = (tally[status] ?? 0) + 1
}

async function atOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
