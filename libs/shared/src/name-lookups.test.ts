import assert from 'node:assert/strict'
import { lookup } from 'node:dns'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { limits } from './limits.ts'
import { type Answer, type Ask, NameLookups, shareLookups } from './name-lookups.ts'

/** A system that answers when it is told to. */
function system(lateMs: number) {
  const asked: { name: string; answer: (...answer: Answer) => void }[] = []
  const ask: Ask = (name, _, answer) => void asked.push({ name, answer })
  const names = new NameLookups(ask, lateMs)
  const find = (name: string) =>
    new Promise<unknown>((resolve, reject) =>
      names.lookup(name, { all: true }, (error, found) => (error ? reject(error) : resolve(found))),
    )
  return { asked, find }
}
const HERE = [{ address: '192.0.2.1', family: 4 }]
const THERE = [{ address: '192.0.2.2', family: 4 }]
const failure = (code: string) => Object.assign(new Error(code), { code })
const NEVER = 2 ** 30

describe('names of hosts', () => {
  test('who asks for what is being looked up waits for the same answer', async () => {
    const { asked, find } = system(NEVER)
    const found = [find('a.example'), find('a.example'), find('b.example')]
    assert.deepEqual(
      asked.map(({ name }) => name),
      ['a.example', 'b.example'],
    )
    asked[1]!.answer(null, THERE)
    asked[0]!.answer(null, HERE)
    assert.deepEqual(await Promise.all(found), [HERE, HERE, THERE])
    const again = find('a.example')
    asked[2]!.answer(null, THERE)
    assert.deepEqual(await again, THERE)
  })
  test('while the answer takes long, the last one counts; there may be none', async () => {
    const { asked, find } = system(10)
    const first = find('a.example')
    asked[0]!.answer(null, HERE)
    await first
    const unknown = find('b.example')
    assert.deepEqual(await Promise.all([find('a.example'), find('a.example')]), [HERE, HERE])
    // It is late by now.
    assert.deepEqual(await find('a.example'), HERE)
    assert.equal(asked.length, 3)
    asked[2]!.answer(null, THERE)
    asked[1]!.answer(null, THERE)
    assert.deepEqual(await unknown, THERE)
    const again = find('a.example')
    asked[3]!.answer(failure('EAI_AGAIN'))
    assert.deepEqual(await again, THERE)
  })
  test('a name that does not exist any more is not found', async () => {
    const { asked, find } = system(NEVER)
    const first = find('a.example')
    asked[0]!.answer(null, HERE)
    await first
    const gone = find('a.example')
    asked[1]!.answer(failure('ENOTFOUND'))
    await assert.rejects(gone, /ENOTFOUND/)
  })
  test('names that were silent take turns on one thread, so that the other is for the rest', async () => {
    const { asked, find } = system(0)
    const names = () => asked.map(({ name }) => name)
    const silent = ['a.example', 'b.example', 'c.example']
    const first = silent.map(find)
    for (const { answer } of asked.splice(0)) answer(failure('EAI_AGAIN'))
    for (const { status } of await Promise.allSettled(first)) assert.equal(status, 'rejected')
    const again = silent.map(find)
    const fresh = find('d.example')
    assert.deepEqual(names(), ['a.example', 'd.example'])
    asked[1]!.answer(null, THERE)
    assert.deepEqual(await fresh, THERE)
    asked[0]!.answer(failure('EAI_AGAIN'))
    assert.deepEqual(names().slice(2), ['b.example'])
    asked[2]!.answer(null, HERE)
    assert.deepEqual(await again[1], HERE)
    assert.deepEqual(names().slice(3), ['c.example'])
    // It speaks again, so it waits for nobody.
    const spoken = find('b.example')
    assert.deepEqual(names().slice(4), ['b.example'])
    for (const { answer } of asked.slice(3)) answer(null, THERE)
    assert.deepEqual(await Promise.all([spoken, again[2]]), [THERE, THERE])
    await assert.rejects(again[0]!, /EAI_AGAIN/)
  })
  test('only so many answers are kept', async () => {
    const { asked, find } = system(NEVER)
    for (let n = 0; n <= limits.known_names.value; n++) {
      const found = find(`${n}.example`)
      asked[n]!.answer(null, HERE)
      await found
    }
    const answers = ['0.example', '1.example'].map(find)
    for (const { answer } of asked.slice(-2)) answer(failure('EAI_AGAIN'))
    assert.deepEqual(
      (await Promise.allSettled(answers)).map(({ status }) => status),
      ['rejected', 'fulfilled'],
    )
  })
  test('all lookups of the process', async () => {
    shareLookups()
    const answers: unknown[] = []
    await new Promise<void>(resolve =>
      lookup('localhost', { family: 4, all: true }, (...answer) => resolve(void answers.push(answer))),
    )
    await new Promise<void>(resolve => lookup('127.0.0.1', (...answer) => resolve(void answers.push(answer))))
    assert.deepEqual(answers, [
      [null, [{ address: '127.0.0.1', family: 4 }]],
      [null, '127.0.0.1', 4],
    ])
    assert.deepEqual(await promisify(lookup)('127.0.0.1'), { address: '127.0.0.1', family: 4 })
  })
})
