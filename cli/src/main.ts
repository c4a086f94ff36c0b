/** The `parsec` command. oclif runs commands; which one is meant, what its arguments say and what is printed follow spec 06 §2. */

import { fileURLToPath } from 'node:url'
import { Config } from '@oclif/core/config'
import { effectiveArgv } from './command-line/argv.ts'
import { groupHelp } from './command-line/help.ts'
import { EXIT_OK, type Output, reportFailure, UsageError, usageLines } from './command-line/output.ts'
import { processOutput } from './command-line/parsec-command.ts'
import { suggestion } from './command-line/suggestion.ts'
import { TREE } from './commands.ts'
import { version, versionLine } from './version.ts'

/** Runs the command that the process was started for, and ends the process. */
export async function main(): Promise<void> {
  const argv = effectiveArgv(process.argv.slice(2), process.env)
  const code = await runCommand(argv, processOutput).catch(error => reportFailure(processOutput, error, false))
  process.exit(processOutput.heard(code))
}

async function runCommand(argv: readonly string[], output: Output): Promise<number> {
  let words = ''
  for (const [i, word] of argv.entries()) {
    if (word === '--version') return print(output, versionLine())
    if (word === '--help') break
    const path = `parsec ${words}`.trimEnd()
    const usage = usageLines(`${path} [OPTIONS] COMMAND [ARGS]...`, path)
    if (word.startsWith('-')) throw new UsageError(`No such option: ${word}`, usage)
    const further = `${words} ${word}`.trimStart()
    const load = TREE.commands.get(further)
    if (load) return (await (await load()).run(argv.slice(i + 1), await oclifConfig())) as number
    if (!TREE.groups.has(further)) {
      const known = (await TREE.inside(words)).map(({ name }) => name)
      throw new UsageError(`No such command '${word}'.${suggestion(word, known)}`, usage)
    }
    words = further
  }
  return print(output, await helpOf(words))
}

function print(output: Output, text: string): number {
  output.out(text)
  return EXIT_OK
}

/** Help of a group: its commands, or its groups with what they are for. */
async function helpOf(words: string): Promise<string> {
  const { description, examples } = TREE.groups.get(words)!
  return groupHelp(`parsec ${words}`.trimEnd(), description, await TREE.inside(words), examples)
}

/** No plugins of the user's: there is nothing to look for in their home. */
const oclifConfig = (): Promise<Config> =>
  Config.load({
    root: fileURLToPath(new URL('..', import.meta.url)),
    userPlugins: false,
    devPlugins: false,
    pjson: { name: '@parsec/cli', version: version(), type: 'module', oclif: { bin: 'parsec', topicSeparator: ' ' } },
  })
