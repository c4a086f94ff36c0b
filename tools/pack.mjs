/**
 * Makes the package that is published: `parsec-server`, one tarball with the command, the compiled files of every
 * workspace and nothing else, which `npm install -g` turns into `parsec`.
 *
 *   node tools/pack.mjs [FOLDER]      writes parsec-server-<version>.tgz there (dist/), and prints its path
 *
 * The workspaces are bundled dependencies; what they need from the registry becomes the package's own dependencies, in
 * the exact versions that were tested.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname, '..')
const BUNDLED = ['libs/shared', 'services/admin', 'services/blockstore', 'services/gateway', 'services/metadata']
const target = path.resolve(process.argv[2] ?? path.join(ROOT, 'dist'))

const manifest = folder => JSON.parse(readFileSync(path.join(ROOT, folder, 'package.json'), 'utf8'))
const write = (folder, content) =>
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`)

execFileSync(path.join(ROOT, 'node_modules/.bin/tsc'), ['-b', 'cli'], { cwd: ROOT, stdio: ['ignore', 2, 2] })
execFileSync(process.execPath, ['tools/setup.mjs'], { cwd: ROOT, stdio: ['ignore', 2, 2] })
const stage = mkdtempSync(path.join(tmpdir(), 'parsec-pack-'))
try {
  const root = manifest('.')
  const cli = manifest('cli')
  const [dependencies, optionalDependencies, peerDependencies] = [{}, {}, {}]
  for (const { dependencies: needed = {}, ...more } of [cli, ...BUNDLED.map(manifest)]) {
    for (const [name, range] of Object.entries(needed)) if (!name.startsWith('@parsec/')) dependencies[name] = range
    Object.assign(optionalDependencies, more.optionalDependencies)
    // What only some installations need, and install by its name beside this package.
    Object.assign(peerDependencies, more.peerDependencies)
  }
  const bundleDependencies = []
  for (const folder of BUNDLED) {
    const { name, version, type, license, exports, files } = manifest(folder)
    const inside = path.join(stage, 'node_modules', name)
    for (const part of files) copyBuilt(path.join(ROOT, folder, part), path.join(inside, part))
    // Only the compiled files are there to be selected.
    write(inside, { name, version, type, license, exports: { './*': exports['./*'].default } })
    dependencies[name] = version
    bundleDependencies.push(name)
  }
  for (const part of cli.files) copyBuilt(path.join(ROOT, 'cli', part), path.join(stage, part))
  for (const file of ['README.md', 'CHANGELOG.md', 'LICENSE']) cpSync(path.join(ROOT, file), path.join(stage, file))
  // Pictures of what the server shows by itself.
  const isText = file => path.basename(file) !== 'images'
  cpSync(path.join(ROOT, 'docs'), path.join(stage, 'docs'), { recursive: true, filter: isText })
  const isSecret = file => path.basename(file) === 'secrets'
  cpSync(path.join(ROOT, 'deploy'), path.join(stage, 'deploy'), { recursive: true, filter: file => !isSecret(file) })
  write(stage, {
    name: root.name,
    version: root.version,
    description: root.description,
    license: root.license,
    type: 'module',
    engines: root.engines,
    bin: { parsec: 'bin/parsec.js' },
    files: [...cli.files, 'docs', 'deploy', 'CHANGELOG.md'],
    dependencies: sorted(dependencies),
    optionalDependencies: sorted(optionalDependencies),
    peerDependencies: sorted(peerDependencies),
    peerDependenciesMeta: Object.fromEntries(Object.keys(peerDependencies).map(name => [name, { optional: true }])),
    bundleDependencies,
  })
  mkdirSync(target, { recursive: true })
  const argv = ['pack', '--json', '--loglevel=error', '--pack-destination', target]
  const packed = JSON.parse(execFileSync('npm', argv, { cwd: stage, encoding: 'utf8', stdio: ['ignore', 'pipe', 2] }))
  const [{ filename }] = Array.isArray(packed) ? packed : Object.values(packed)
  process.stdout.write(`${path.join(target, filename)}\n`)
} finally {
  rmSync(stage, { recursive: true, force: true })
}

/** Compiled files without tests, types, maps, and those whose source is gone. */
function copyBuilt(from, to) {
  const isWanted = file => {
    if (path.basename(from) !== 'dist' || statSync(file).isDirectory()) return true
    const source = path.join(from, '../src', path.relative(from, file).replace(/\.js$/, '.ts'))
    return /(?<!\.test)\.js$/.test(file) && existsSync(source)
  }
  cpSync(from, to, { recursive: true, filter: isWanted })
}

function sorted(entries) {
  return Object.fromEntries(Object.entries(entries).sort(([a], [b]) => (a < b ? -1 : 1)))
}
