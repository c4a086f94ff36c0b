import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { clientOf, networkOf, trustOf } from './client-address.ts'

const from = (peer: string, forwarded: string | undefined, proxies: readonly string[]): string => {
  const request = {
    socket: { remoteAddress: peer, remotePort: 4711 },
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
  } as unknown as IncomingMessage
  const { address, port } = clientOf(request, trustOf(proxies))
  return `${address}:${port}`
}

test('a peer that is no proxy of ours is the client, whatever it claims', () => {
  assert.equal(from('203.0.113.9', '198.51.100.7', []), '203.0.113.9:4711')
  assert.equal(from('203.0.113.9', '198.51.100.7', ['10.0.0.0/8']), '203.0.113.9:4711')
})

test('a trusted proxy names the client; what the client claimed before is not believed', () => {
  assert.equal(from('10.1.2.3', '203.0.113.9', ['10.0.0.0/8']), '203.0.113.9:0')
  assert.equal(from('10.1.2.3', '127.0.0.1, 203.0.113.9', ['10.0.0.0/8']), '203.0.113.9:0')
  assert.equal(from('10.1.2.3', '6.6.6.6, 203.0.113.9, 10.9.9.9', ['10.0.0.0/8']), '203.0.113.9:0')
  assert.equal(from('::1', '2001:db8::5', ['::1', '127.0.0.1']), '2001:db8::5:0')
  assert.equal(from('::ffff:10.1.2.3', '203.0.113.9', ['10.0.0.0/8']), '203.0.113.9:0')
})

test('an address may come with its port, and IPv6 in brackets', () => {
  const told = (header: string) => from('10.1.2.3', header, ['10.0.0.0/8', '2001:db8::/32'])
  assert.equal(told('203.0.113.9:5678'), '203.0.113.9:5678')
  assert.equal(told('2001:db9::5'), '2001:db9::5:0')
  assert.equal(told('[2001:db9::5]'), '2001:db9::5:0')
  assert.equal(told('"[2001:db9::5]:5678"'), '2001:db9::5:5678')
  assert.equal(told('6.6.6.6:1, 203.0.113.9:5678 ,10.9.9.9:80, [2001:db8::1]:443'), '203.0.113.9:5678')
})

test('without a usable header the proxy itself is the client', () => {
  for (const header of [
    ...[undefined, '', 'unknown', '203.0.113.9, nonsense', '203.0.113.9:', '203.0.113.9:70000', '[203.0.113.9]:80'],
    ...['203.0.113.999:80', '2001:db8::5:x', '[2001:db8::5', '[]:80', '_hidden:80', `[${'1'.repeat(5000)}]`],
  ])
    assert.equal(from('10.1.2.3', header, ['10.0.0.0/8']), '10.1.2.3:4711')
})

test('what is neither address nor network is refused by name', () => {
  for (const bad of ['', 'proxy.example.com', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '::/129', '10.0.0/8'])
    assert.throws(() => trustOf([bad]), { message: `'${bad}' is not an IP address or network.` })
})

test('the addresses of one IPv6 network are counted as one, those of IPv4 each by itself', () => {
  const network = '2001:db8:1:2::/64'
  for (const address of ['2001:db8:1:2::5', '2001:0DB8:1:2:ffff:0:0:1', '2001:db8:1:2::', '2001:db8:1:2:3:4:5.6.7.8'])
    assert.equal(networkOf(address), network, address)
  for (const address of ['2001:db8:1:3::5', '2001:db8:1::2', '::1', '::1:2:3:4:5', 'fe80::1%eth0', '::5.6.7.8'])
    assert.notEqual(networkOf(address), network, address)
  assert.equal(networkOf('::1'), '0:0:0:0::/64')
  assert.equal(networkOf('1:2:3::4:5'), '1:2:3:0::/64')
  assert.equal(networkOf('::2:3:4:5:6:7:8'), '0:2:3:4::/64')
  for (const address of ['203.0.113.9', '']) assert.equal(networkOf(address), address)
  assert.equal(networkOf('::ffff:203.0.113.9'), '203.0.113.9')
})
