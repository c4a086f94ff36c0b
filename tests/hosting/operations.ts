/** The table of docs/operations.md, "what an operator does", whose rows are run by tests in all three ways. */
import { readFileSync } from 'node:fs'

/** `place`: where the console has it, or `–`. */
export type Operation = {
  readonly what: string
  readonly operation: string
  readonly command: string
  readonly place: string
}

export function whatAnOperatorDoes(): Operation[] {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const [, section = ''] = page.split('## What an operator does\n')
  const row = /^\| ([A-Z][^|]*) \| `(\w+)` \| `parsec ([^`]+)` \| ([^|]+) \|$/gm
  return [...section.split('\n## ')[0]!.matchAll(row)].map(([, what, operation, command, place]) => ({
    what: what!,
    operation: operation!,
    command: command!,
    place: place!,
  }))
}
