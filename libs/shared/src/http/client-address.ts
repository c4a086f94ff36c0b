/**
 * Who is behind a request: the peer of the socket or, when that is a proxy of ours, the client that it names in
 * `X-Forwarded-For`. Proxies append, so the header is read from its end, and what stands before the first address that
 * is no proxy of ours is the client's own claim and never believed.
 */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

/** Longest chain of proxies that is followed. */
const MAX_HOPS = 16

/** Whether an address belongs to a proxy of ours. */
export type IsTrusted = (address: string) => boolean

/** `proxies`: IP addresses and networks (`10.0.0.0/8`); throws an `Error` that names the one that is neither. */
export function trustOf(proxies: readonly string[]): IsTrusted {
  if (proxies.length === 0) return () => false
  const list = new BlockList()
  for (const proxy of proxies) {
    const [address = '', bits, ...rest] = proxy.split('/')
    const family = isIP(address)
    const most = family === 6 ? 128 : 32
    const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
    if (family === 0 || rest.length > 0 || !(prefix <= most))
      throw new Error(`'${proxy}' is not an IP address or network.`)
    list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4')
  }
  return address => {
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

export type ClientAddress = {
  readonly address: string /** 0 when a proxy told the address without it. */
  readonly port: number
}

/** `203.0.113.9`, `203.0.113.9:4711`, `2001:db8::5`, `[2001:db8::5]`, `[2001:db8::5]:4711`, in quotes or not. */
function hopOf(text: string): ClientAddress | undefined {
  const hop = text.trim().replace(/^"(.*)"$/, '$1')
  if (isIP(hop) !== 0) return { address: hop, port: 0 }
  const [, v6, v4, port = '0'] = /^(?:\[([^\]]{2,45})\]|([0-9.]{7,15}))(?::(\d{1,5}))?$/.exec(hop) ?? []
  const address = v6 ?? v4 ?? ''
  if (isIP(address) !== (v6 ? 6 : 4) || Number(port) > 65_535) return undefined
  return { address, port: Number(port) }
}

export function clientOf(request: IncomingMessage, isTrusted: IsTrusted): ClientAddress {
  const { remoteAddress: peer = '', remotePort = 0 } = request.socket
  if (!isTrusted(peer)) return { address: peer, port: remotePort }
  const claimed = String(request.headers['x-forwarded-for'] ?? '').split(',')
  let client = { address: peer, port: remotePort }
  for (const text of claimed.slice(-MAX_HOPS).reverse()) {
    const hop = hopOf(text)
    if (!hop) break
    client = hop
    if (!isTrusted(hop.address)) break
  }
  return client
}

/** Groups of an IPv6 address that name the network of a subscriber. */
const NETWORK_GROUPS = 4
/**
 * Who is counted when an address is: whoever has one IPv6 address has the 2⁶⁴ of its network (RFC 6177), and may come from
 * another one each time.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d[\d.]+)$/i.exec(address)?.[1]
  if (mapped) return mapped
  if (isIP(address) !== 6) return address
  const [before = '', after] = address.replace(/%.*$/, '').split('::')
  const [head, tail] = [groupsOf(before), groupsOf(after ?? '')]
  const zeros = Array<string>(Math.max(8 - head.length - tail.length, 0)).fill('0')
  const groups = [...head, ...zeros, ...tail].slice(0, NETWORK_GROUPS)
  return `${groups.map(group => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
/** An IPv4 address at the end stands for two. */
const groupsOf = (text: string): string[] =>
  text === '' ? [] : text.split(':').flatMap(group => (group.includes('.') ? [group, group] : [group]))
