/** Which API version is settled, and what depends on the client's (01-wire §1, §7.4, §7.5, §10.5). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  answersWithMap,
  formatVersion,
  knowsEvent,
  noOverlap,
  releaseOf,
  SUPPORTED_API_VERSIONS,
  settle,
} from './versions.ts'

test("the server takes its own entry of the client's major; revisions play no part (01-wire#4)", () => {
  assert.deepEqual(SUPPORTED_API_VERSIONS.map(formatVersion), ['1.3', '2.10', '3.4'])
  assert.deepEqual(settle([1, 0]), [1, 3])
  assert.deepEqual(settle([2, 99]), [2, 10])
  assert.deepEqual(settle([3, 999]), [3, 4])
  for (const major of [0, 4, 5]) assert.equal(settle([major, 0]), undefined)
})

test('a major that is not served is told which are (01-wire#3)', () => {
  assert.equal(
    noOverlap([4, 0]),
    'No overlap between client API versions {4.0} and backend API versions {1.3, 2.10, 3.4}',
  )
})

test('the challenge is answered with a signed map from 2.5 on (01-wire#5, #6)', () => {
  for (const version of [
    [1, 2],
    [1, 3],
    [2, 0],
    [2, 4],
  ] as const)
    assert.equal(answersWithMap(version), false, formatVersion(version))
  for (const version of [
    [2, 5],
    [2, 8],
    [2, 10],
    [3, 0],
    [3, 4],
  ] as const)
    assert.equal(answersWithMap(version), true, formatVersion(version))
})

test('events go only to clients that know them (01-wire#53)', () => {
  const knowing = (event: string) =>
    (
      [
        [1, 3],
        [2, 0],
        [2, 5],
        [2, 6],
        [2, 9],
        [2, 10],
        [3, 0],
        [3, 3],
        [3, 4],
      ] as const
    )
      .filter(version => knowsEvent(version, event))
      .map(formatVersion)
      .join(' ')
  assert.equal(knowing('pinged'), '1.3 2.0 2.5 2.6 2.9 2.10 3.0 3.3 3.4')
  assert.equal(knowing('realm.vlobs_updated'), '1.3 2.0 2.5 2.6 2.9 2.10 3.0 3.3 3.4')
  assert.equal(knowing('invite.status_changed'), '2.0 2.5 2.6 2.9 2.10 3.0 3.3 3.4')
  assert.equal(knowing('pki_enrollment.updated'), '2.6 2.9 2.10 3.0 3.3 3.4')
  assert.equal(knowing('realm.archiving_updated'), '2.10 3.4')
})

test('a user agent tells the release', () => {
  assert.deepEqual(releaseOf('parsec/v2.11.1'), [2, 11])
  assert.deepEqual(releaseOf('parsec/2.7.0+dev'), [2, 7])
  for (const agent of [
    undefined,
    '',
    'curl/8.0',
    'Mozilla/5.0 parsec/v2.11.1',
    'parsec/',
    'parsec/v2',
    `parsec/2.${'9'.repeat(20)}`,
  ]) {
    assert.equal(releaseOf(agent), undefined, String(agent))
  }
})
