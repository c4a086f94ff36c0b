/** `parsec completion`: a script for a shell, made of the commands that there are. */
import type { Config } from '@oclif/core/config'
import { argument, flag, type OptionTable, type Values } from '../command-line/option.ts'
import { EXIT_OK, type Output } from '../command-line/output.ts'
import { ParsecCommand } from '../command-line/parsec-command.ts'
import { choice } from '../command-line/values.ts'
import { bashScript, fishScript, formsOf, type Place, type Places, wordsOf, zshScript } from '../completion.ts'

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const

export const completionOptions = {
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

export class Completion extends ParsecCommand<typeof completionOptions> {
  static override summary: string = completionSpec.summary
  protected readonly spec = completionSpec

  protected override async execute({ shell }: Values<typeof completionOptions>, output: Output): Promise<number> {
    output.out(SHELLS[shell!](await placesOf(this.config)))
    return EXIT_OK
  }
}

async function placesOf(config: Config): Promise<Places> {
  const commands = config.commands.filter(({ hidden }) => !hidden)
  const places = new Map<string, Place>()
  const tree = ['', ...config.topics.map(({ name }) => name), ...commands.map(({ id }) => id)]
  for (const id of tree) {
    const inside = [...new Set(tree)].filter(other => other !== '' && parentOf(other) === id)
    const words = inside.map(other => [nameOf(other), summaryOf(config, other)] as const)
    const command = commands.find(command => command.id === id)
    const options = command ? await optionsOf(command, config) : {}
    places.set(id.replaceAll(':', ' '), { words: [...words, ...wordsOf(options)], options: formsOf(options) })
  }
  return places
}
const nameOf = (id: string): string => id.split(':').at(-1)!
const parentOf = (id: string): string => id.split(':').slice(0, -1).join(':')
const summaryOf = (config: Config, id: string): string =>
  config.findCommand(id)?.summary ?? config.topics.find(({ name }) => name === id)?.description ?? ''

async function optionsOf(command: Config['commands'][number], config: Config): Promise<OptionTable> {
  const Class = (await command.load()) as unknown as new (argv: string[], config: Config) => ParsecCommand<never>
  return new Class([], config).options
}
