/** What every command shares: its arguments read by the option table, `--help`, `--version`, failures and exit codes. */
import { Command } from '@oclif/core/command'
import { OperatorError } from '@parsec/shared/errors'
import { versionLine } from '../version.ts'
import { type CommandHelp, commandHelp } from './help.ts'
import type { OptionTable, Values } from './option.ts'
import { EXIT_FAILURE, EXIT_OK, type Output, plain, reportFailure, steerless } from './output.ts'
import { type CommandSpec, readCommandLine } from './read.ts'

class ProcessOutput implements Output {
  readonly colours = process.stdout.isTTY === true
  #failure: NodeJS.ErrnoException | null = null
  constructor() {
    for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  }
  out(text: string, colour?: number): void {
    const shown = steerless(text)
    this.data(this.colours && colour !== undefined ? `\x1b[${colour}m${shown}\x1b[0m` : shown)
  }
  err(text: string): void {
    process.stderr.write(steerless(text))
  }
  data(text: string): void {
    process.stdout.write(text)
    this.#failure ??= process.stdout.errored
  }
  progress(text: string): void {
    process.stderr.write(`\r\x1b[K${plain(text)}`)
  }
  /**
   * The exit code of a command, unless somebody would take a part of what it said for the whole: a full disk is told, a
   * reader that has gone wants to hear no more. What was begun is done to its end in either case.
   */
  heard(code: number): number {
    if (this.#failure === null || code !== EXIT_OK) return code
    if (this.#failure.code !== 'EPIPE') this.err(`Error: cannot write the output: ${this.#failure.message}\n`)
    return EXIT_FAILURE
  }
}
export const processOutput = new ProcessOutput()

export abstract class ParsecCommand<O extends OptionTable & { debug: OptionTable[string] }> extends Command {
  static override strict = false
  protected abstract readonly spec: CommandSpec<O> & CommandHelp
  /** Does the work; returns the exit code. */
  protected abstract execute(values: Values<O>, output: Output): Promise<number>

  get options(): OptionTable {
    return this.spec.options
  }
  override async run(): Promise<number> {
    this.parsed = true
    const output = processOutput
    let [debug, dev] = [false, false]
    try {
      const line = readCommandLine(this.spec, this.argv, process.env)
      if (line.kind === 'help') output.out(commandHelp(this.spec, this.spec.options))
      if (line.kind === 'version') output.out(versionLine())
      if (line.kind !== 'run') return EXIT_OK
      debug = line.values.debug === true
      dev = line.values.dev === true
      return await this.execute(line.values, output)
    } catch (error) {
      // Who tries the server out wants to know what to change, not where that was noticed.
      return reportFailure(output, error, debug && !(dev && error instanceof OperatorError))
    }
  }
}
