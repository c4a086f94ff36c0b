/**
 * Names of hosts are looked up once for all who ask at the same time, and while an answer takes long the last one counts.
 *
 * The runtime has two threads for lookups in the whole process, and a question cannot be taken back. A name whose servers
 * are silent takes one of them for half a minute each time that somebody asks: a webhook that cannot be found, asked for
 * each version that is written, kept the connections to database and object store waiting behind a queue of hours.
 *
 * Names whose servers were silent the last time are asked for one after the other, so that they hold one of the threads and
 * leave the other.
 */
import dns, { type LookupOptions } from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { isIP } from 'node:net'
import { LOOKUP_LATE_MS } from './deadlines.ts'
import { limits } from './limits.ts'

export type Answer = readonly [error: NodeJS.ErrnoException | null, ...found: unknown[]]
type Told = (...answer: Answer) => void
/** What `dns.lookup` does, with all its arguments. */
export type Ask = (name: string, options: LookupOptions, told: Told) => void
type Question = { waiting: Told[]; isLate: boolean }

export class NameLookups {
  readonly #ask: Ask
  readonly #lateMs: number
  readonly #asked = new Map<string, Question>()
  /** Least recently answered first. */
  readonly #known = new Map<string, Answer>()
  /** Names that were late, and failed; the first is the one that was longest so. */
  readonly #silent = new Set<string>()
  /** Questions for such names: the first is asked, the others wait for it. */
  readonly #inTurn: (() => void)[] = []

  constructor(ask: Ask, lateMs = LOOKUP_LATE_MS) {
    this.#ask = ask
    this.#lateMs = lateMs
  }

  /** Tells what the system says. After `lateMs`, or where it cannot say for now, it is what it said the last time, if ever. */
  lookup(name: string, options: LookupOptions, told: Told): void {
    if (isIP(name) !== 0) return this.#ask(name, options, told)
    const key = JSON.stringify([name, options])
    const question = this.#asked.get(key) ?? this.#begin(key, name, options)
    const known = question.isLate ? this.#known.get(key) : undefined
    if (known) setImmediate(told, ...copied(known))
    else question.waiting.push(told)
  }

  #begin(key: string, name: string, options: LookupOptions): Question {
    const question: Question = { waiting: [], isLate: false }
    const late = setTimeout(() => {
      question.isLate = true
      const known = this.#known.get(key)
      if (known) tell(question, known)
    }, this.#lateMs).unref()
    const ask = (answered = () => {}) => {
      const askedAt = performance.now()
      this.#ask(name, options, (...answer) => {
        clearTimeout(late)
        this.#asked.delete(key)
        const [error] = answer
        if (!error) this.#remember(key, answer)
        this.#judge(key, error !== null && performance.now() - askedAt >= this.#lateMs)
        tell(question, (isPassing(error) && this.#known.get(key)) || answer)
        answered()
      })
    }
    if (this.#silent.has(key)) this.#askInTurn(ask)
    else ask()
    // Not before: options that the system does not take throw.
    this.#asked.set(key, question)
    return question
  }
  #askInTurn(ask: (answered: () => void) => void): void {
    const next = () => {
      this.#inTurn.shift()
      this.#inTurn[0]?.()
    }
    if (this.#inTurn.push(() => ask(next)) === 1) ask(next)
  }
  #remember(key: string, answer: Answer): void {
    this.#known.delete(key)
    this.#known.set(key, answer)
    if (this.#known.size > limits.known_names.value) this.#known.delete(this.#known.keys().next().value!)
  }
  #judge(key: string, isSilent: boolean): void {
    this.#silent.delete(key)
    if (isSilent) this.#silent.add(key)
    if (this.#silent.size > limits.known_names.value) this.#silent.delete(this.#silent.keys().next().value!)
  }
}

/** Nobody who could say it was reached; a name that does not exist is another matter. */
const isPassing = (error: NodeJS.ErrnoException | null): boolean => error?.code === 'EAI_AGAIN'
function tell({ waiting }: Question, answer: Answer): void {
  for (const told of waiting.splice(0)) told(...copied(answer))
}
/** Each has a list of its own. */
const copied = ([error, ...found]: Answer): Answer => [
  error,
  ...found.map(one => (Array.isArray(one) ? [...one] : one)),
]

/** From now on all lookups of this process, those of libraries included, go this way. */
export function shareLookups(): void {
  const names = new NameLookups(dns.lookup as Ask)
  const lookup = (name: string, options: unknown, told?: Told): void => {
    if (typeof options === 'function') names.lookup(name, {}, options as Told)
    else
      names.lookup(name, typeof options === 'number' ? { family: options } : ((options ?? {}) as LookupOptions), told!)
  }
  // `util.promisify` finds there what its promises resolve to.
  Object.defineProperties(lookup, Object.getOwnPropertyDescriptors(dns.lookup))
  Object.assign(dns, { lookup })
  syncBuiltinESMExports()
}
