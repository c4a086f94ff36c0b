/** What the pages promise a reader: links lead somewhere, and no example shows a secret to everyone on the machine. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { placesOfPages, siteText } from '../tools/site/pages.mjs'
import { anchorsOf, blocksOf, linksOf, type Page, pages, ROOT } from './pages.ts'

const all = pages()
const byFile = new Map(all.map(page => [page.file, page]))

test('there are pages', () => assert.ok(all.length > 20))

for (const page of all)
  test(`${page.file}: every link leads to a file of the repository, and to a heading that is there`, () => {
    const dead = linksOf(page).filter(target => !/^[a-z][a-z+.-]*:/.test(target) && !isAlive(page, target))
    assert.deepEqual(dead, [])
  })

function isAlive({ file }: Page, target: string): boolean {
  const [path = '', anchor] = target.split('#')
  const found = path === '' ? file : normalize(join(dirname(file), decodeURI(path)))
  if (!existsSync(join(ROOT, found))) return false
  const page = byFile.get(found)
  return anchor === undefined || (page !== undefined && anchorsOf(page).has(anchor))
}

test('the site has every page of docs/ in its menu, and its links lead to pages of its own', () => {
  const docs = all.map(({ file }) => file).filter(file => /^docs\/[^/]+\.md$/.test(file))
  const places = placesOfPages(docs)
  const menu = readFileSync(join(ROOT, 'tools/site/.vitepress/config.ts'), 'utf8')
  const [, sidebar = ''] = menu.split('sidebar: [')
  const listed = [...sidebar.matchAll(/page\('[^']+', '\/([\w-]*)'\)/g)].map(([, name]) => `${name || 'index'}.md`)
  assert.deepEqual(listed.sort(), [...places.values()].sort())
  for (const [file] of places) {
    const text = siteText(file, byFile.get(file)!.text, places)
    for (const target of linksOf({ file, text }).filter(link => !/^[a-z][a-z+.-]*:|^#/.test(link))) {
      const [path = '', anchor] = target.slice('./'.length).split('#')
      if (path.startsWith('images/')) continue
      const [source] = [...places].find(([, place]) => place === path) ?? []
      assert.ok(source, `${file}: ${target}`)
      assert.ok(anchor === undefined || anchorsOf(byFile.get(source)!).has(anchor), `${file}: ${target}`)
    }
  }
})

/** Arguments are seen by every user of a machine. `s3cr3t` is the token of trials and no secret. */
const SECRETS: readonly RegExp[] = [
  /--(?:db|from|to)[ =]'?postgres(?:ql)?:\/\/[^\s/@:]*:[^\s@]+@/,
  /(?:--blockstore|-b|--from|--to)[ =]['"]?(?:RAID\d:\d:)?(?:s3|swift):/i,
  /--(?:administration-token|token|email-host-password)[ =](?!-|s3cr3t)\S/,
  /--nats-url[ =]\S+:[^\s/@]+@/,
  /--from-literal=\S*(?:PASSWORD|TOKEN|SECRET|PARSEC_DB|PARSEC_BLOCKSTORE)/,
]
const secretsIn = (lines: readonly string[]) => lines.filter(line => SECRETS.some(secret => secret.test(line)))

// The tools of the tests are given those of test servers.
for (const page of all.filter(({ file }) => !file.startsWith('tests/')))
  test(`${page.file}: no secret is an argument of a command`, () => {
    const commands = blocksOf(page).filter(({ language }) => ['', 'sh', 'bash', 'shell', 'yaml'].includes(language))
    assert.deepEqual(secretsIn(commands.flatMap(({ code }) => code.split('\n'))), [])
  })

test('nor in an example that the command itself prints, or in what deploy/ runs', () => {
  const files = execFileSync('git', ['ls-files', 'cli/src', 'deploy'], { cwd: ROOT, encoding: 'utf8' }).split('\n')
  const shown = files.filter(file => /\.(?:service|sh|ya?ml|conf)$|(?<!\.test)\.ts$/.test(file))
  assert.ok(shown.length > 20)
  for (const file of shown) assert.deepEqual(secretsIn(readFileSync(join(ROOT, file), 'utf8').split('\n')), [], file)
})
