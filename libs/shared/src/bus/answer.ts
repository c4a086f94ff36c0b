/** How all drivers wait for the answer to a request. */
import { type Alarm, alarms } from '../alarms.ts'
import type { Cancellation } from '../cancellation.ts'
import { Unavailable } from '../errors.ts'

/** How long somebody waits: `timeoutMs`, and for no longer than nobody aborts. */
export type Patience = { readonly timeoutMs: number; readonly signal?: Cancellation | undefined }

/**
 * A request that waits until its answer is there, `timeoutMs` have passed (`Unavailable`) or `signal` aborts (its reason).
 * What comes first counts; afterwards `resolve` and `reject` do nothing.
 */
export class Answer {
  readonly promise: Promise<Buffer>
  readonly #signal: Cancellation | undefined
  readonly #alarm: Alarm
  #resolve!: (reply: Buffer) => void
  #reject!: (reason: unknown) => void
  #isOver = false

  constructor(subject: string, { timeoutMs, signal }: Patience) {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#signal = signal
    this.#alarm = alarms.set(performance.now() + timeoutMs, () =>
      this.#giveUp(new Unavailable(`no answer on ${subject} within ${timeoutMs} ms`)),
    )
    signal?.addEventListener('abort', this.#onAbort)
  }
  /** The wait has ended, however it did. */
  protected over(): void {}
  /** It has ended without an answer, and the asker knows. */
  protected givenUp(): void {}

  get isOver(): boolean {
    return this.#isOver
  }
  resolve(reply: Buffer): void {
    if (this.#isOver) return
    this.#settle()
    this.#resolve(reply)
  }
  reject(error: unknown): void {
    if (this.#isOver) return
    this.#settle()
    this.#reject(error)
  }

  readonly #onAbort = (): void => this.#giveUp(this.#signal!.reason)
  #giveUp(reason: unknown): void {
    this.reject(reason)
    this.givenUp()
  }
  #settle(): void {
    this.#isOver = true
    alarms.clear(this.#alarm)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.over()
  }
}

/** What ends with the wait for a process elsewhere: its place in a table, and the work, when nobody waits any more. */
export type Ends = { forget(): void; tellGone(): void }
export class RemoteAnswer extends Answer {
  readonly #ends: Ends
  constructor(subject: string, patience: Patience, ends: Ends) {
    super(subject, patience)
    this.#ends = ends
  }
  protected override over(): void {
    this.#ends.forget()
  }
  protected override givenUp(): void {
    this.#ends.tellGone()
  }
}
