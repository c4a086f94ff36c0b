/**
 * `node check-logs.ts FOLDER`: after all tests, looks through everything that their servers have logged for any secret or
 * payload that their clients have used. Ends with 1 when there is one, or when there is too little to look at.
 */
import { createReadStream, globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { SWIFT_PASSWORD } from '../blockstore/swift-v1.ts'
import { backing } from './backing.ts'
import { ADMINISTRATION_TOKEN, S3_SECRET } from './launch.ts'
import { LeakFinder } from './leaks.ts'

/** Less than a tenth of what the suite leaves: then something is wrong with the recording. */
const LEAST = { lines: 20_000, payloads: 2_000, tokens: 200 }
/** Lines that are shown. */
const SHOWN = 20

/** What a trial says at the terminal once it is ready; its token is no secret: it is the same for everybody. */
const TRIAL_STEPS = /^(?:Ready\. The console is at \S+, its token is s3cr3t\.| {2}PARSEC_ADMINISTRATION_TOKEN=s3cr3t )/

const folder = process.argv[2]!
const env = await backing('swift')
const payloads = new Set<string>()
const texts = new Set([
  ADMINISTRATION_TOKEN,
  S3_SECRET,
  SWIFT_PASSWORD,
  env['OS_PASSWORD']!,
  env['TEST_S3_SECRET_ACCESS_KEY']!,
  // Without one the database of the tests trusts everybody.
  ...[new URL(env['TEST_PG_ADMIN_URL']!).password].filter(password => password !== ''),
])
for (const file of globSync('*.secrets.json', { cwd: folder })) {
  const recorded = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as { payloads: string[]; texts: string[] }
  for (const payload of recorded.payloads) payloads.add(payload)
  for (const text of recorded.texts) texts.add(text)
}
const { lines, leaks } = await search(new LeakFinder({ payloads, texts }))
const found = { lines, payloads: payloads.size, tokens: texts.size }
const missing = Object.entries(LEAST).filter(([name, least]) => found[name as keyof typeof found] < least)
console.log(`${lines} lines, ${payloads.size} payloads, ${texts.size} tokens and passwords`)
for (const [name, least] of missing) console.log(`only ${found[name as keyof typeof found]} ${name}, not ${least}`)
for (const leak of leaks.slice(0, SHOWN)) console.log(leak)
if (leaks.length > 0) console.log(`${leaks.length} lines with a secret`)
process.exitCode = leaks.length + missing.length > 0 ? 1 : 0

async function search(finder: LeakFinder): Promise<{ lines: number; leaks: string[] }> {
  const leaks: string[] = []
  let lines = 0
  for (const file of globSync('*.log', { cwd: folder })) {
    for await (const line of createInterface(createReadStream(path.join(folder, file)))) {
      lines++
      const leak = finder.find(line.replace(TRIAL_STEPS, ''))
      if (leak) leaks.push(`${file}: ${leak.form} ${leak.secret}\n  ${line.slice(0, 500)}`)
    }
  }
  return { lines, leaks }
}
