/** Messages recorded between real clients and servers pass the protocol table. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from '../codec/fields.ts'
import { decodeMap } from '../codec/msgpack.ts'
import { eraOf } from './command.ts'
import { answerOpening, answerSchema } from './handshake.ts'
import { everyCommand } from './registry.ts'

type Recorded = { api: [number, number] | null; from: 'client' | 'server'; what: string; bytes: string }
const recorded = JSON.parse(
  readFileSync(new URL('../../../../tests/vectors/traffic.json', import.meta.url), 'utf8'),
) as Recorded[]
const fromClients = recorded
  .filter(({ from }) => from === 'client')
  .map(({ api, what, bytes }) => ({ what, major: api?.[0] ?? 3, map: decodeMap(Buffer.from(bytes, 'hex')) }))

test('every request passes the schema of its command', () => {
  const requests = fromClients.filter(({ map }) => map.cmd !== undefined)
  assert.ok(requests.length > 200, `${requests.length}`)
  for (const { what, major, map } of requests) {
    const specs = everyCommand.filter(spec => spec.cmd === map.cmd && spec.callers[eraOf(major)])
    assert.ok(specs.length > 0, `${what} of major ${major} has no entry`)
    const results = specs.map(spec => parse(spec.request, map))
    assert.ok(
      results.some(({ ok }) => ok),
      `${what}: ${JSON.stringify(results)}`,
    )
  }
})

test('every answer to a challenge passes the schema of its type', () => {
  const answers = fromClients.filter(({ map }) => map.handshake === 'answer')
  assert.ok(answers.length > 10, `${answers.length}`)
  for (const { what, major, map } of answers) {
    assert.ok(parse(answerOpening, map).ok, what)
    const type = answerSchema(major, map.type)
    assert.ok(type, `${what} of major ${major}`)
    const result = parse<unknown>(type.schema, map)
    assert.ok(result.ok, `${what}: ${JSON.stringify(result)}`)
  }
})

test('nothing recorded is of another kind', () => {
  for (const { what, map } of fromClients) assert.ok(map.cmd !== undefined || map.handshake === 'answer', what)
})
