/** Where a scrub or a copy notes how far it has come, so that the next run goes on from there. */
import { createHash } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import { OperatorError } from '@parsec/shared/errors'

type Contents<State> = { version: number; work: string; state: State }
const VERSION = 1

/** Tells scrubs of different stores, databases and choices apart, without their secrets. */
export function workOf(store: StoreConfig, databaseUrl: string, choice: object): string {
  const { host, pathname } = URL.canParse(databaseUrl) ? new URL(databaseUrl) : { host: '', pathname: databaseUrl }
  const isPublic = (name: string) => !['key', 'secret', 'user', 'password'].includes(name)
  const text = JSON.stringify([store, host, pathname, choice], (name, value) => (isPublic(name) ? value : undefined))
  return createHash('sha256').update(text).digest('hex')
}

export class StateFile<State> {
  readonly #path: string | undefined
  readonly #work: string
  readonly #begin: () => State
  /** Without a path nothing is kept. */
  constructor(path: string | undefined, work: string, begin: () => State) {
    this.#path = path
    this.#work = work
    this.#begin = begin
  }

  /** That of an interrupted run, or a new one. Throws `OperatorError` when the file is not such a state. */
  async read(): Promise<State> {
    if (this.#path === undefined) return this.#begin()
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return this.#begin()
      throw new OperatorError(`--state: ${(error as Error).message}`, { cause: error })
    }
    const { version, work, state } = parse(text, this.#begin)
    if (version !== VERSION || work !== this.#work)
      throw new OperatorError(
        `--state: \`${this.#path}\` belongs to another scrub or copy; name another file, or delete it to start anew`,
      )
    return state
  }
  async write(state: State): Promise<void> {
    if (this.#path === undefined) return
    const contents: Contents<State> = { version: VERSION, work: this.#work, state }
    await rm(`${this.#path}.new`, { force: true })
    await writeFile(`${this.#path}.new`, `${JSON.stringify(contents)}\n`, { mode: 0o600, flag: 'wx', flush: true })
    await rename(`${this.#path}.new`, this.#path)
  }
  async remove(): Promise<void> {
    if (this.#path !== undefined) await rm(this.#path, { force: true })
  }
}

function parse<State>(text: string, begin: () => State): Partial<Contents<State>> & { state: State } {
  try {
    return JSON.parse(text)
  } catch {
    return { state: begin() }
  }
}
