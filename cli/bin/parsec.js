#!/usr/bin/env node
/** Entry of the `parsec` command: the TypeScript sources in the repository, the compiled files when published. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
// Not by its name: an old Node does not have it, and shall still read what follows.
import * as module from 'node:module'
import { homedir, tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'

const OLDEST_NODE = 24

// As the first process of a container it would not hear a signal that it does not listen to. Until the command takes
// over there is nothing to end in order.
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 }))
  process.once(signal, () => process.exit(code))
// Whoever reloads a service may do so as soon as it runs; what it is to read again has not been read yet.
if (process.argv.includes('run')) process.on('SIGHUP', () => {})
// Libraries ask for the user's home and shell; a container may run as a user that no file knows.
process.env.HOME ??= homeOfUser()
process.env.SHELL ??= '/bin/sh'

function homeOfUser() {
  try {
    return homedir()
  } catch {
    return tmpdir()
  }
}
const sources = existsSync(new URL('../src/main.ts', import.meta.url))

if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
  const brought = sources && existsSync(new URL('../../node_modules/.bin/node', import.meta.url))
  const remedy = brought
    ? `Here \`npm run parsec -- …\` has one that is.`
    : `Install one (https://nodejs.org), then try again.`
  process.stderr.write(`Error: parsec needs Node ${OLDEST_NODE} or newer, this is ${process.version}. ${remedy}\n`)
  process.exit(1)
} else if (!sources) {
  await (await import('../dist/main.js')).main()
} else if (process.execArgv.includes('--conditions=development')) {
  // Half of what a start from the sources takes is reading TypeScript.
  module.enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/parsec', import.meta.url)))
  await (await import('../src/main.ts')).main()
} else {
  // The condition that selects sources in every package, worker threads included, can only be set when Node starts.
  const argv = [
    ...process.execArgv,
    '--conditions=development',
    fileURLToPath(import.meta.url),
    ...process.argv.slice(2),
  ]
  if (process.execve) process.execve(process.execPath, [process.execPath, ...argv], process.env)
  process.exitCode = spawnSync(process.execPath, argv, { stdio: 'inherit' }).status ?? 1
}
