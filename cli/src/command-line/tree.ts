/** Commands and groups of commands by their words. The code of a command is read when somebody needs it. */
import type { Command } from '@oclif/core/command'
import type { OptionTable } from './option.ts'

/** What is known of a command before it runs. */
export type CommandClass = Pick<typeof Command, 'run' | 'summary' | 'hidden'> &
  (new (
    ...made: ConstructorParameters<typeof Command>
  ) => Command & { readonly options: OptionTable })
type Load = () => Promise<CommandClass>
type Group = { readonly description: string; readonly examples: readonly string[] }
type Named = { readonly name: string; readonly summary: string }

export class CommandTree {
  readonly #commands: ReadonlyMap<string, Load>
  readonly #groups: ReadonlyMap<string, Group>

  /** By the words behind `parsec`; the group without words is `parsec` itself. */
  constructor(commands: { readonly [words: string]: Load }, groups: { readonly [words: string]: Group }) {
    this.#commands = new Map(Object.entries(commands))
    this.#groups = new Map(Object.entries(groups))
  }

  get commands(): ReadonlyMap<string, Load> {
    return this.#commands
  }
  get groups(): ReadonlyMap<string, Group> {
    return this.#groups
  }

  /** What may stand behind the words of a group: groups, then commands, each with what it is for. */
  async inside(words: string): Promise<Named[]> {
    const groups = [...this.#groups]
      .filter(([path]) => isInside(path, words))
      .map(([path, { description }]) => ({ name: nameOf(path), summary: description }))
    const commands = [...this.#commands]
      .filter(([path]) => isInside(path, words))
      .map(async ([path, load]) => ({ name: nameOf(path), Class: await load() }))
    const shown = (await Promise.all(commands))
      .filter(({ Class }) => !Class.hidden)
      .map(({ name, Class }) => ({ name, summary: Class.summary ?? '' }))
    return [...groups, ...shown.sort((a, b) => (a.name < b.name ? -1 : 1))]
  }
}

const isInside = (path: string, words: string): boolean =>
  path !== '' && path.split(' ').slice(0, -1).join(' ') === words
const nameOf = (path: string): string => path.split(' ').at(-1)!
