/**
 * Everything that the OpenAPI document allows, and much that it does not, by schemathesis: no answer is 5xx, none is
 * undocumented.
 *
 *   python3 -m venv FOLDER && FOLDER/bin/pip install schemathesis
 *   SCHEMATHESIS=FOLDER/bin/schemathesis node --conditions=development tests/administration/schemathesis.manual.ts
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clientOf } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'

const program = process.env['SCHEMATHESIS'] ?? 'schemathesis'
/** Not: that a header is missing is 403 here, and cursors and codes are no texts of one's own choice. */
const CHECKS =
  'not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance'
const examples = process.env['EXAMPLES'] ?? '50'
const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
const folder = await mkdtemp(join(tmpdir(), 'parsec-schemathesis-'))
try {
  const { alice } = await client.org()
  await client.connect(alice)
  const run = spawn(
    program,
    [
      ...['run', `${client.http}/administration/docs/json`, '--url', `${client.http}/administration`],
      ...['--header', `Authorization: Bearer ${ADMINISTRATION_TOKEN}`, '--max-examples', examples],
      ...['--checks', CHECKS, '--workers', '1', '--request-timeout', '30'],
      ...process.argv.slice(2),
    ],
    { cwd: folder, stdio: 'inherit' },
  )
  const [code] = await once(run, 'exit')
  process.exitCode = code as number
} finally {
  await client.end()
  await cluster.stop()
  await rm(folder, { recursive: true })
}
