/**
 * What waits for the database meets it together: whoever comes while a batch is under way goes into the next, so that many
 * share one statement, or one transaction and its commit. Nobody waits for a batch to fill; where items trickle in, the next
 * batch may have to wait for its time.
 *
 * Batches are bounded in items and bytes, and take from each organization in turn, from each in order. Who is cancelled or
 * overdue leaves, without harm to the others. A batch that is late, since the database has frozen under it or keeps it waiting
 * for a lock, lends its lane to the next ones. When a batch fails, each of its items is tried alone: a failure is only
 * whoever's it is.
 */
import { Budget } from '@parsec/shared/budget'
import { GATHER_LATE_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'

/** Instead of an answer: the item cannot be served without waiting for somebody else's lock, so it waits for another batch. */
export const BUSY = Symbol('busy')

export type Gathered<Item, Answer> = {
  /** Serves items together; answers are in their order, an error for who cannot be served. */
  together(items: readonly Item[], budget: Budget): Promise<readonly (Answer | typeof BUSY | Error)[]>
  /** Serves one, where that costs less than `together`: batches of fewer than `few`, and what is tried again. */
  alone?: (item: Item, budget: Budget) => Promise<Answer>
  few?: number
  maxItems: number
  maxBytes: number
  /** Batches under way at once. */
  lanes: number
  /** Batches that may be late while others have their lanes; 0 by default. */
  spareLanes?: number
  /** Least time from the start of a batch to that of the next, where items come one by one and cost less than a statement. */
  everyMs?: number
  /** Where items go that are busy; else to the end of the queue. */
  patient?: Gathering<Item, Answer>
}

/** Of an item: whose it is, how long it may wait, and how large it is. */
export type Waiting = { organization: number | string; budget: Budget; bytes?: number }

class Entry<Item, Answer> {
  readonly item: Item
  readonly organization: number | string
  readonly budget: Budget
  readonly bytes: number
  readonly answered: Promise<Answer>
  #resolve!: (answer: Answer) => void
  #reject!: (error: unknown) => void
  #isOver = false
  constructor(item: Item, { organization, budget, bytes = 0 }: Waiting) {
    this.item = item
    this.organization = organization
    this.budget = budget
    this.bytes = bytes
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (budget.aborted) this.#leave()
    else budget.addEventListener('abort', this.#leave)
  }
  /** Answered, refused, or not waited for any more. */
  get isOver(): boolean {
    return this.#isOver
  }
  resolve(answer: Answer): void {
    this.#end()
    this.#resolve(answer)
  }
  reject(error: unknown): void {
    this.#end()
    this.#reject(error)
  }
  readonly #leave = (): void => this.reject(this.budget.reason)
  #end(): void {
    this.budget.removeEventListener('abort', this.#leave)
    this.#isOver = true
  }
}

type Batch = { isLate: boolean }
type Queue<Item, Answer> = Entry<Item, Answer>[]
const REMEMBERED_QUEUES = 1_000

export class Gathering<Item, Answer> {
  readonly #gathered: Gathered<Item, Answer>
  /** By organization, those of some that wait for nothing among them (see `Bag` for why). */
  readonly #queues = new Map<number | string, Queue<Item, Answer>>()
  /** Queues with entries, the one whose turn it is first. */
  readonly #turns: Queue<Item, Answer>[] = []
  readonly #underWay: Batch[] = []
  #late = 0
  #isWatching = false
  #isCalled = false
  #sentAt = Number.NEGATIVE_INFINITY

  constructor(gathered: Gathered<Item, Answer>) {
    this.#gathered = gathered
  }

  /** Resolves to the answer to an item; rejects as it was refused, or with the reason of its budget. */
  add(item: Item, waiting: Waiting): Promise<Answer> {
    const entry = new Entry<Item, Answer>(item, waiting)
    if (!entry.isOver) this.#enter(entry)
    return entry.answered
  }

  #enter(entry: Entry<Item, Answer>): void {
    let queue = this.#queues.get(entry.organization)
    if (!queue) this.#queues.set(entry.organization, (queue = []))
    if (queue.push(entry) === 1) this.#turns.push(queue)
    this.#call()
  }
  /** The first waits for those that come with it: the bus delivers all requests of a turn of the event loop together. */
  #call(): void {
    if (this.#isCalled || this.#turns.length === 0) return
    if (this.#underWay.length - this.#late >= this.#gathered.lanes) return this.#watch()
    this.#isCalled = true
    const { everyMs } = this.#gathered
    const early = everyMs === undefined ? 0 : this.#sentAt + everyMs - performance.now()
    if (early > 0) setTimeout(this.#called, early)
    else process.nextTick(this.#called)
  }
  readonly #called = (): void => {
    this.#isCalled = false
    const entries = this.#take()
    if (entries.length > 0) void this.#send(entries)
    this.#call()
  }
  async #send(entries: readonly Entry<Item, Answer>[]): Promise<void> {
    const batch: Batch = { isLate: false }
    this.#underWay.push(batch)
    this.#sentAt = performance.now()
    await this.#serve(entries)
    this.#underWay.splice(this.#underWay.indexOf(batch), 1)
    if (batch.isLate) this.#late--
    this.#call()
  }
  /** Somebody waits for a lane: looks later whether it is still for the same batch. */
  #watch(): void {
    const { spareLanes = 0 } = this.#gathered
    if (this.#isWatching || this.#late >= spareLanes) return
    this.#isWatching = true
    const oldest = this.#underWay.find(batch => !batch.isLate)!
    setTimeout(() => {
      this.#isWatching = false
      if (this.#underWay.includes(oldest)) {
        oldest.isLate = true
        this.#late++
      }
      this.#call()
    }, GATHER_LATE_MS).unref()
  }

  #take(): Entry<Item, Answer>[] {
    const { maxItems, maxBytes } = this.#gathered
    const taken: Entry<Item, Answer>[] = []
    let bytes = 0
    while (taken.length < maxItems) {
      const queue = this.#turns[0]
      if (!queue) break
      while (queue[0]?.isOver) this.#leaveQueue(queue)
      const entry = queue[0]
      if (entry && taken.length > 0 && bytes + entry.bytes > maxBytes) break
      this.#turns.shift()
      if (!entry) continue
      this.#leaveQueue(queue)
      // Its next turn is after everybody else's.
      if (queue.length > 0) this.#turns.push(queue)
      taken.push(entry)
      bytes += entry.bytes
    }
    return taken
  }
  #leaveQueue(queue: Queue<Item, Answer>): void {
    const { organization } = queue.shift()!
    if (queue.length === 0 && this.#queues.size > REMEMBERED_QUEUES) this.#queues.delete(organization)
  }

  async #serve(entries: readonly Entry<Item, Answer>[]): Promise<void> {
    const { alone, few = 1 } = this.#gathered
    if (alone && entries.length < few) await Promise.all(entries.map(entry => this.#serveAlone(entry)))
    else await this.#serveTogether(entries)
  }
  async #serveTogether(entries: readonly Entry<Item, Answer>[]): Promise<void> {
    const { together, patient } = this.#gathered
    // As long as anybody has: those who have less leave before.
    const budget = Budget.ofLongest(entries.map(entry => entry.budget))
    try {
      const answers = await together(
        entries.map(entry => entry.item),
        budget,
      )
      for (const [i, entry] of entries.entries()) {
        const answer = answers[i] as Answer | typeof BUSY | Error
        if (answer === BUSY) (patient ?? this).#enter(entry)
        else if (answer instanceof Error) entry.reject(answer)
        else entry.resolve(answer)
      }
    } catch (error) {
      // After an outage nobody knows what was committed, and one by one they would fare no better.
      if (error instanceof Unavailable || entries.length === 1) for (const entry of entries) entry.reject(error)
      else for (const entry of entries) await this.#serveAlone(entry)
    } finally {
      budget.end()
    }
  }
  async #serveAlone(entry: Entry<Item, Answer>): Promise<void> {
    const { alone } = this.#gathered
    if (entry.isOver) return
    if (!alone) return this.#serveTogether([entry])
    try {
      entry.resolve(await alone(entry.item, entry.budget))
    } catch (error) {
      entry.reject(error)
    }
  }
}

/** Rows of a statement for many keys in the order of these: `n` tells which, from 1. Undefined for a key without a row. */
export function inOrder<Row extends { n: number }>(
  keys: readonly unknown[],
  rows: readonly Row[],
): (Row | undefined)[] {
  const ordered: (Row | undefined)[] = keys.map(() => undefined)
  for (const row of rows) ordered[row.n - 1] = row
  return ordered
}
