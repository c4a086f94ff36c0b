export const EXIT_OK = 0
export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/** Where a command writes. */
export type Output = {
  out(text: string): void
  err(text: string): void
  /** Whether `out` goes to a terminal. */
  readonly colours: boolean
}

/** The command line is wrong. `usage` are the lines above the error, none for mistakes in the form of an option. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly usage: string | undefined
  constructor(message: string, usage?: string) {
    super(message)
    this.usage = usage
  }
}

/** The lines that introduce a usage error. */
export const usageLines = (usage: string, path: string): string => `Usage: ${usage}\nTry '${path} --help' for help.\n\n`

/** Reports what ended a command; returns the exit code. A traceback is for debug mode and for bugs of the usage check. */
export function reportFailure(output: Output, error: unknown, debug: boolean): number {
  if (error instanceof UsageError) {
    output.err(`${error.usage ?? ''}Error: ${error.message}\n`)
    return EXIT_USAGE
  }
  const prefix = output.colours ? '\x1b[31mError:\x1b[0m' : 'Error:'
  output.out(`${prefix} ${describe(error)}\n`)
  if (debug && error instanceof Error) output.err(`${error.stack}\n`)
  return EXIT_FAILURE
}

/** One line about an error: its message, or that of its causes when it has none of its own. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describe).join('; ')
  if (!(error instanceof Error)) return String(error)
  return error.message.trim() || (error as { code?: string }).code || error.name
}
