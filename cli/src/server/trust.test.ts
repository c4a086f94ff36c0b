import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasAuthorities } from './trust.ts'

test('a system without places for authorities is not asked for them', () => {
  const places = (...there: string[]) => [(path: string) => there.includes(path)] as const
  assert.equal(hasAuthorities('linux', {}, ...places()), false, 'a slim image')
  assert.equal(hasAuthorities('linux', {}, ...places('/etc/ssl/certs')), true)
  assert.equal(hasAuthorities('linux', {}, ...places('/etc/ssl/cert.pem')), true)
  assert.equal(hasAuthorities('darwin', {}, ...places()), true, 'they are in no folder there')
})

test('places that somebody has named are looked into, there or not', () => {
  assert.equal(
    hasAuthorities('linux', { SSL_CERT_DIR: '/gone' }, () => false),
    true,
  )
  assert.equal(
    hasAuthorities('linux', { SSL_CERT_FILE: '/gone' }, () => false),
    true,
  )
  assert.equal(
    hasAuthorities('linux', { SSL_CERT_DIR: '', SSL_CERT_FILE: '/gone' }, () => false),
    true,
    'an empty variable names none',
  )
})
