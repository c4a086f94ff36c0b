/**
 * Tells events to many, a slice per turn of the event loop, so that an organization of ten thousand keeps nobody else
 * waiting. Each group hears its events in their order; groups take turns.
 */
import { FAN_OUT_TURN_MS } from '@parsec/shared/deadlines'
import { limits } from '@parsec/shared/limits'

/** Deliveries in one turn of the event loop; one costs some 10 µs, and a turn should stay under 10 ms. */
export const DELIVERIES_PER_TURN = 256
/** Deliveries between two looks at the clock: a turn also ends by time, where each is encrypted or the machine is slow. */
export const LOOK_EVERY = 16
/** … that one group has of them while others wait. */
const SHARE = 64

type Job<R, E> = { readonly recipients: readonly R[]; readonly event: E; at: number }

export class FanOut<G, R, E> {
  /** Tells one, at once. */
  readonly give: (recipient: R, event: E) => void
  readonly #giveUp: (group: G) => void
  /** What is left to tell, by group; the group whose turn it is stands first. */
  readonly #waiting = new Map<G, Job<R, E>[]>()
  #backlog = 0
  #left = DELIVERIES_PER_TURN
  #nextTurn: NodeJS.Immediate | undefined
  readonly #now: () => number
  /** When this turn told its first. */
  #startedAt = 0

  /** `giveUp` is called when events come faster than they can be told; nothing of that group waits any more. */
  constructor(
    give: (recipient: R, event: E) => void,
    giveUp: (group: G) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#now = now
    this.give = give
    this.#giveUp = giveUp
  }

  /** At once, when nothing waits and this turn has not told many already. */
  tell(group: G, recipients: readonly R[], event: E): void {
    if (recipients.length === 0) return
    const job = { recipients, event, at: 0 }
    const jobs = this.#waiting.get(group)
    if (!jobs) {
      this.#run(job, recipients.length)
      if (job.at === recipients.length) return
    }
    this.#backlog += recipients.length - job.at
    if (jobs) jobs.push(job)
    else this.#waiting.set(group, [job])
    if (this.#backlog > limits.event_deliveries.value) this.#forget(group)
  }

  #run(job: Job<R, E>, most: number): number {
    if (!this.#nextTurn) {
      this.#nextTurn = setImmediate(() => this.#turn())
      this.#startedAt = this.#now()
    }
    const { recipients, event, at } = job
    const end = Math.min(at + Math.min(most, this.#left), recipients.length)
    while (job.at < end && this.#left > 0) {
      this.#left--
      this.give(recipients[job.at++]!, event)
      if (this.#left % LOOK_EVERY === 0 && this.#now() - this.#startedAt > FAN_OUT_TURN_MS) this.#left = 0
    }
    return job.at - at
  }
  #turn(): void {
    this.#nextTurn = undefined
    this.#left = DELIVERIES_PER_TURN
    while (this.#left > 0) {
      const [next] = this.#waiting
      if (!next) return
      const [group, jobs] = next
      let share = SHARE
      while (share > 0 && this.#left > 0 && jobs[0]) {
        const told = this.#run(jobs[0], share)
        share -= told
        this.#backlog -= told
        if (jobs[0].at === jobs[0].recipients.length) jobs.shift()
      }
      this.#waiting.delete(group)
      if (jobs.length > 0) this.#waiting.set(group, jobs)
    }
  }
  #forget(group: G): void {
    for (const { recipients, at } of this.#waiting.get(group) ?? []) this.#backlog -= recipients.length - at
    this.#waiting.delete(group)
    this.#giveUp(group)
  }
}
