/**
 * Makes a fresh machine ready: installs the packages, among them Node 26, and what start-up copies. Plain JavaScript
 * without dependencies, since it runs on whatever Node the machine has (≥ 20). Says nothing when all is there.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..')
const LOCK = path.join(ROOT, 'package-lock.json')
/** A copy of the lock file that the installed packages come from. */
const INSTALLED = path.join(ROOT, 'node_modules', '.installed-lock.json')
const METADATA = path.join(ROOT, 'services', 'metadata')
const TEMPLATE = path.join(METADATA, 'pglite-template')
const OLDEST_NODE = 24

if (!existsSync(INSTALLED) || !readFileSync(INSTALLED).equals(readFileSync(LOCK))) {
  mayWrite(ROOT, 'its packages are not installed yet, or are those of an earlier release')
  console.error('Installing packages…')
  command('npm', ['ci', '--loglevel=error', '--no-audit', '--no-fund'])
  copyFileSync(LOCK, INSTALLED)
  // It may be that of another PGlite.
  if (isWritable(METADATA)) rmSync(TEMPLATE, { recursive: true, force: true })
}
const node = workingNode()
// Without it a trial only takes longer to start.
if (templateDigest() !== schemaDigest() && isWritable(METADATA)) {
  console.error('Preparing the embedded database…')
  command(node, ['--conditions=development', 'services/metadata/src/storage/make-pglite-template.ts'])
}

/** As `schemaDigest` of `services/metadata/src/storage/migrations.ts`. */
function schemaDigest() {
  const folder = path.join(METADATA, 'migrations')
  const hash = createHash('sha256')
  for (const name of readdirSync(folder).sort()) hash.update(readFileSync(path.join(folder, name)))
  return hash.digest('hex')
}
function templateDigest() {
  const file = path.join(TEMPLATE, 'parsec-schema.sha256')
  return existsSync(file) ? readFileSync(file, 'utf8') : null
}

/** The Node of the repository where it starts, else the machine's own when it is new enough. */
function workingNode() {
  const own = path.join(ROOT, 'node_modules', '.bin', 'node')
  if (existsSync(own)) {
    if (spawnSync(own, ['--version']).status === 0) return own
    fail(
      `${path.relative(ROOT, own)} does not start on this system (it needs glibc). Install without it, beside a Node ` +
        `of version ${OLDEST_NODE} or later: npm ci --omit=optional`,
    )
  }
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath
  fail(`Node ${OLDEST_NODE} or later is needed, this is ${process.version}`)
}

/** A clone may belong to another user than the one who starts it. */
function mayWrite(folder, reason) {
  if (isWritable(folder)) return
  fail(`${folder}: ${reason}, and this user may not write there. Run \`npm start\` once as its owner.`)
}
function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function command(name, argv) {
  const result = spawnSync(name, argv, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  if (result.status !== 0) fail(`${name} ${argv.join(' ')} failed${result.error ? `: ${result.error.message}` : ''}`)
}

function fail(text) {
  console.error(text)
  process.exit(1)
}
