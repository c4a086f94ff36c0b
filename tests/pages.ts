/** The pages of the repository as a reader has them: text, headings, links, and the shell blocks. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

export type Page = { readonly file: string; readonly text: string }

/** Every Markdown file, tracked or about to be. */
export const pages = (): Page[] =>
  execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
    .split('\n')
    .filter(file => file !== '')
    .map(file => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }))

const FENCE = /^( *)(`{3,}|~{3,})(.*)\n([\s\S]*?)^ *\2 *$/gm

export type Block = { readonly language: string; readonly code: string }
export const blocksOf = ({ text }: Page): Block[] =>
  [...text.matchAll(FENCE)].map(([, , , language, code]) => ({ language: language!.trim(), code: code! }))

/** Without what is shown as it stands. */
const proseOf = ({ text }: Page): string => text.replace(FENCE, '').replace(/`[^`\n]*`/g, '')

/** What links and images lead to, as written. */
export const linksOf = (page: Page): string[] =>
  [...proseOf(page).matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)].map(([, target]) => target!)

/** The anchors of the headings, as GitHub makes them. */
export function anchorsOf({ text }: Page): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading] of text.replace(FENCE, '').matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '')
    const anchor = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-')
    let free = anchor
    for (let i = 1; anchors.has(free); i++) free = `${anchor}-${i}`
    anchors.add(free)
  }
  return anchors
}
