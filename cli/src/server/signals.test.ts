import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'

/** Exit code of a program that listens to a signal, as the command does from its beginning, and then lets the server take over. */
async function run(signal: 'SIGTERM' | 'SIGINT'): Promise<number> {
  const program = `
    import { stopSignal } from ${JSON.stringify(import.meta.resolve('./signals.ts'))}
    process.once('${signal}', () => process.exit(99))
    // Has arrived, and will be told when the event loop comes to it.
    process.kill(process.pid, '${signal}')
    // Signals alone do not keep a process.
    setTimeout(() => {}, 2_000)
    await stopSignal(() => {})
    process.exit(0)`
  const argv = [...process.execArgv, '--input-type=module', '--eval', program]
  const [code] = await once(spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] }), 'exit')
  return code as number
}

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  test(`${signal} is not lost when it comes while the server takes over from the start of its program`, async () => {
    assert.equal(await run(signal), 0)
  })
