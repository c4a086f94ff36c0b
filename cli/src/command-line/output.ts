export const EXIT_OK = 0
export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/**
 * Where a command writes: for people, whose terminal is steered by nothing that stands in a text, and for programs, which
 * get each byte. `colour`: the number of the one that a text has on a terminal.
 */
export type Output = {
  out(text: string, colour?: number): void
  err(text: string): void
  data(text: string): void
  /** On `err`, in place of what it said last; nothing takes that away. */
  progress(text: string): void
  /** Whether `out` goes to a terminal. */
  readonly colours: boolean
}

/** Lines as a terminal shows them. What joins letters is a part of names. */
export const steerless = (text: string): string =>
  text.replace(/(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd')
/** What somebody else has named, on one line: it can forge none. */
export const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\ufffd')

const RED = 31

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
  output.out('Error:', RED)
  output.out(` ${describe(error)}\n`)
  if (debug && error instanceof Error) output.err(`${error.stack}\n`)
  return EXIT_FAILURE
}

/** One line about an error: its message, or that of its causes when it has none of its own. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describe).join('; ')
  if (!(error instanceof Error)) return String(error)
  return error.message.trim() || (error as { code?: string }).code || error.name
}
