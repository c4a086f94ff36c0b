/** Where a scrub notes how far it has come, so that the next run goes on from there. */
import { createHash } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { newScrub, type ScrubState } from '@parsec/blockstore/scrub/state'
import type { StoreConfig } from '@parsec/blockstore/stores/kinds'
import { OperatorError } from '@parsec/shared/errors'

type Contents = { version: number; work: string; state: ScrubState }
const VERSION = 1

/** Tells scrubs of different stores, databases and choices apart, without their secrets. */
export function workOf(
  store: StoreConfig,
  databaseUrl: string,
  choice: { node: number | null; isDegraded: boolean },
): string {
  const { host, pathname } = URL.canParse(databaseUrl) ? new URL(databaseUrl) : { host: '', pathname: databaseUrl }
  const isPublic = (name: string) => !['key', 'secret', 'user', 'password'].includes(name)
  const text = JSON.stringify([store, host, pathname, choice], (name, value) => (isPublic(name) ? value : undefined))
  return createHash('sha256').update(text).digest('hex')
}

export class ScrubStateFile {
  readonly #path: string | undefined
  readonly #work: string
  /** Without a path nothing is kept. */
  constructor(path: string | undefined, work: string) {
    this.#path = path
    this.#work = work
  }

  /** That of an interrupted run, or a new one. Throws `OperatorError` when the file is not such a state. */
  async read(): Promise<ScrubState> {
    if (this.#path === undefined) return newScrub()
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return newScrub()
      throw new OperatorError(`--state: ${(error as Error).message}`, { cause: error })
    }
    const { version, work, state } = parse(text)
    if (version !== VERSION || work !== this.#work)
      throw new OperatorError(
        `--state: \`${this.#path}\` belongs to another scrub; name another file, or delete it to start anew`,
      )
    return state
  }
  async write(state: ScrubState): Promise<void> {
    if (this.#path === undefined) return
    const contents: Contents = { version: VERSION, work: this.#work, state }
    await writeFile(`${this.#path}.new`, `${JSON.stringify(contents)}\n`, { mode: 0o600, flush: true })
    await rename(`${this.#path}.new`, this.#path)
  }
  async remove(): Promise<void> {
    if (this.#path !== undefined) await rm(this.#path, { force: true })
  }
}

function parse(text: string): Partial<Contents> & { state: ScrubState } {
  try {
    return JSON.parse(text)
  } catch {
    return { state: newScrub() }
  }
}
