/** `docs/limits.md`, made from the table of limits. */
import { type Limit, limits } from './limits.ts'

const HEAD = `# Limits

Made from the table in \`libs/shared/src/limits.ts\` by \`npm run docs\`. What others send or cause is bounded; nobody
who uses a released client as it is meant to be used meets one of these. Deadlines are in
\`libs/shared/src/deadlines.ts\`.

| what | at most | beyond | test |
|---|---|---|---|
`

export const limitsPage = (): string => HEAD + Object.values<Limit>(limits).map(row).join('')

const row = ({ what, value, unit, beyond, test: [file, title] }: Limit): string =>
  `| ${what} | ${grouped(value)} ${unit} | ${beyond} | \`${file}\`: ${title} |\n`

const grouped = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f')
