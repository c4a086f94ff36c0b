/** `parsec completion`: a script for a shell, made of the commands that there are. */
import type { Config } from '@oclif/core/config'
import { argument, flag, type OptionTable, type Values } from '../command-line/option.ts'
import { EXIT_OK, type Output } from '../command-line/output.ts'
import { ParsecCommand } from '../command-line/parsec-command.ts'
import type { CommandClass, CommandTree } from '../command-line/tree.ts'
import { choice } from '../command-line/values.ts'
import { bashScript, fishScript, formsOf, type Place, type Places, wordsOf, zshScript } from '../completion.ts'

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const

const completionOptions = {
  shell: argument({
    name: 'SHELL',
    type: choice(Object.keys(SHELLS) as (keyof typeof SHELLS)[]),
    text: 'bash, zsh or fish.',
  }),
  debug: flag({ name: 'debug', group: 'General', text: 'Show where an error came from.' }),
} as const satisfies OptionTable

const completionSpec = {
  path: 'parsec completion',
  options: completionOptions,
  summary: 'Print the script by which a shell completes parsec commands.',
  description: 'Print the script by which a shell completes parsec commands. Its first lines say where it belongs.',
  examples: [
    'parsec completion bash > /etc/bash_completion.d/parsec',
    'parsec completion fish > ~/.config/fish/completions/parsec.fish',
  ],
} as const

export const completionOf = (tree: CommandTree): CommandClass =>
  class extends ParsecCommand<typeof completionOptions> {
    static override summary: string = completionSpec.summary
    protected readonly spec = completionSpec

    protected override async execute({ shell }: Values<typeof completionOptions>, output: Output): Promise<number> {
      output.data(SHELLS[shell!](await placesOf(tree, this.config)))
      return EXIT_OK
    }
  }

async function placesOf(tree: CommandTree, config: Config): Promise<Places> {
  const places = new Map<string, Place>()
  for (const path of tree.groups.keys())
    places.set(path, {
      words: (await tree.inside(path)).map(({ name, summary }) => [name, summary]),
      options: formsOf({}),
    })
  for (const [path, load] of tree.commands) {
    const Class = await load()
    if (Class.hidden) continue
    const { options } = new Class([], config)
    places.set(path, { words: wordsOf(options), options: formsOf(options) })
  }
  return places
}
