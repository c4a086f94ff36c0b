/** One server on a database that a test made. */
import type { TestDatabase } from '../harness/backing.ts'
import { ADMINISTRATION_TOKEN, ServerProcess } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'

export async function serve(
  database: TestDatabase,
  blockstore = 'POSTGRESQL',
): Promise<{ url: string; http: string } & AsyncDisposable> {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8' }
  const port = await freePort()
  const options = [
    `--administration-token=${ADMINISTRATION_TOKEN}`,
    `--db=${database.url}`,
    `--blockstore=${blockstore}`,
    '--email-host=MOCKED',
    '--log-level=WARNING',
  ]
  const server = new ServerProcess('takeover', '', port, await freePort(), options, env)
  await server.start()
  return {
    url: server.url,
    http: server.url.replace(/^ws/, 'http'),
    [Symbol.asyncDispose]: () => server.end(),
  }
}
