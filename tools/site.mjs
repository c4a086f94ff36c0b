/**
 * Builds the site of the documentation into `site/`: the pages of `docs/` and those beside it, as they are (`npm run site`).
 * The generator is installed on demand, with a lock file of its own: nobody else needs its packages.
 *
 *   node tools/site.mjs [dev]      `dev` shows the site while its pages are written
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { placesOfPages, siteText } from './site/pages.mjs'

const ROOT = path.join(import.meta.dirname, '..')
const SITE = path.join(ROOT, 'tools/site')
const PAGES = path.join(SITE, 'pages')
const read = file => readFileSync(path.join(ROOT, file), 'utf8')

const lock = read('tools/site/package-lock.json')
const installed = path.join(SITE, 'node_modules/.installed-lock.json')
if (!existsSync(installed) || readFileSync(installed, 'utf8') !== lock) {
  execFileSync('npm', ['ci', '--loglevel=error', '--no-audit', '--no-fund'], { cwd: SITE, stdio: ['ignore', 2, 2] })
  writeFileSync(installed, lock)
}
rmSync(PAGES, { recursive: true, force: true })
mkdirSync(PAGES, { recursive: true })
const places = placesOfPages(globSync('docs/*.md', { cwd: ROOT }))
for (const [file, place] of places) writeFileSync(path.join(PAGES, place), siteText(file, read(file), places))
cpSync(path.join(ROOT, 'docs/images'), path.join(PAGES, 'images'), { recursive: true })
mkdirSync(path.join(PAGES, 'public'))
cpSync(path.join(ROOT, 'services/gateway/static/favicon.ico'), path.join(PAGES, 'public/favicon.ico'))
const command = process.argv[2] === 'dev' ? 'dev' : 'build'
execFileSync(process.execPath, [path.join(SITE, 'node_modules/vitepress/bin/vitepress.js'), command, SITE], {
  cwd: SITE,
  stdio: 'inherit',
})
