/**
 * The `parsec` command. oclif knows which commands exist; which one is meant, what its arguments say and what is
 * printed follow spec 06 §2.
 */

import { fileURLToPath } from 'node:url'
import { Config } from '@oclif/core/config'
import { effectiveArgv } from './command-line/argv.ts'
import { groupHelp } from './command-line/help.ts'
import { EXIT_OK, type Output, reportFailure, UsageError, usageLines } from './command-line/output.ts'
import { processOutput } from './command-line/parsec-command.ts'
import { suggestion } from './command-line/suggestion.ts'
import { GROUPS_OF_COMMANDS } from './commands.ts'
import { version, versionLine } from './version.ts'

/** Runs the command that the process was started for, and ends the process. */
export async function main(): Promise<void> {
  const argv = effectiveArgv(process.argv.slice(2), process.env)
  const code = await runCommand(argv, processOutput).catch(error => reportFailure(processOutput, error, false))
  process.exit(code)
}

async function runCommand(argv: readonly string[], output: Output): Promise<number> {
  const config = await loadConfig()
  let words: string[] = []
  for (const [i, word] of argv.entries()) {
    if (word === '--version') return print(output, versionLine())
    if (word === '--help') break
    const path = ['parsec', ...words].join(' ')
    const usage = usageLines(`${path} [OPTIONS] COMMAND [ARGS]...`, path)
    if (word.startsWith('-')) throw new UsageError(`No such option: ${word}`, usage)
    const id = [...words, word].join(':')
    if (config.findCommand(id)) return (await config.runCommand(id, argv.slice(i + 1))) as number
    if (!config.findTopic(id))
      throw new UsageError(`No such command '${word}'.${suggestion(word, namesIn(words, config))}`, usage)
    words = [...words, word]
  }
  return print(output, helpOf(words, config))
}

/** The commands and groups that may stand behind `words`. */
const namesIn = (words: readonly string[], config: Config): string[] =>
  [...new Set([...config.topics.map(t => t.name), ...config.commands.filter(c => !c.hidden).map(c => c.id)])]
    .filter(id => id.split(':').length === words.length + 1 && id.startsWith(words.map(word => `${word}:`).join('')))
    .map(id => id.split(':').at(-1)!)

function print(output: Output, text: string): number {
  output.out(text)
  return EXIT_OK
}

/** Help of a group: its commands, or its groups with what they are for. */
function helpOf(words: readonly string[], config: Config): string {
  const { description, examples } = GROUPS_OF_COMMANDS[words.join(':')]!
  const inside = (id: string) =>
    id.split(':').slice(0, words.length).join(':') === words.join(':') && id.split(':').length === words.length + 1
  const name = (id: string) => id.split(':').at(-1)!
  const groups = config.topics
    .filter(t => inside(t.name) && GROUPS_OF_COMMANDS[t.name])
    .map(t => ({ name: name(t.name), summary: GROUPS_OF_COMMANDS[t.name]!.description }))
  const commands = config.commands
    .filter(c => inside(c.id) && !c.hidden)
    .map(c => ({ name: name(c.id), summary: c.summary ?? '' }))
  return groupHelp(['parsec', ...words].join(' '), description, [...groups, ...commands], examples)
}

async function loadConfig(): Promise<Config> {
  const target = import.meta.url.endsWith('.ts') ? './src/commands.ts' : './dist/commands.js'
  const topics = Object.fromEntries(
    Object.entries(GROUPS_OF_COMMANDS).flatMap(([id, { description }]) => (id === '' ? [] : [[id, { description }]])),
  )
  return Config.load({
    root: fileURLToPath(new URL('..', import.meta.url)),
    ignoreManifest: true,
    // No plugins of the user's: there is nothing to look for in their home.
    userPlugins: false,
    devPlugins: false,
    pjson: {
      name: '@parsec/cli',
      version: version(),
      type: 'module',
      oclif: {
        bin: 'parsec',
        topicSeparator: ' ',
        topics,
        commands: { strategy: 'explicit', target, identifier: 'COMMANDS' },
      },
    },
  })
}
