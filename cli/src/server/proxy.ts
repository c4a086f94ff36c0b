/**
 * Proxies for what the server asks of others (webhooks, reports, object stores), from the variables that curl knows:
 * `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, each also in capitals; small letters count first.
 */
import http from 'node:http'
import { OperatorError } from '@parsec/shared/errors'
import type { Environment } from '../command-line/argv.ts'

export type ProxyVariables = { readonly [variable in 'http_proxy' | 'https_proxy' | 'no_proxy']?: string }

/** As Node's agents want them. Throws `OperatorError` for a proxy that they cannot use. */
export function proxyVariables(environment: Environment): ProxyVariables {
  const variable = (name: string) => environment[name] || environment[name.toUpperCase()] || undefined
  const proxyFor = (scheme: 'http' | 'https') => {
    const name = variable(`${scheme}_proxy`) ? `${scheme}_proxy` : 'all_proxy'
    const value = variable(name)
    return value && { [`${scheme}_proxy`]: proxyUrl(name, value) }
  }
  const exceptions = variable('no_proxy')
  return { ...proxyFor('http'), ...proxyFor('https'), ...(exceptions && { no_proxy: exceptionsOf(exceptions) }) }
}

/** Every request of the process that does not say otherwise goes through them. */
export function useProxies(proxies: ProxyVariables): void {
  if (proxies.http_proxy || proxies.https_proxy) http.setGlobalProxyFromEnv({ ...proxies })
}

function proxyUrl(name: string, value: string): string {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text
  // The value may hold a password.
  throw new OperatorError(`${name}: only proxies like http://host:port are understood`)
}

/** Names also stand for what is below them; networks are ranges of addresses, which `fetch` does not know. */
const exceptionsOf = (list: string): string =>
  list
    .split(/[\s,]+/)
    .filter(Boolean)
    .flatMap(entry => {
      const bare = entry.replace(/^\*?\./, '')
      const range = addressRange(bare)
      if (range !== undefined) return [range]
      return entry === '*' || isAddress(bare) ? [bare] : [bare, `.${bare}`]
    })
    .join(',')

const isAddress = (entry: string): boolean => /^[\d.:]+$/.test(entry) || /^\[?[\da-f]*:[\da-f:.]*\]?$/i.test(entry)

const BITS = 32
/** `10.0.0.0/8` as `10.0.0.0-10.255.255.255`; undefined for anything else. */
function addressRange(network: string): string | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(network)
  if (!match) return undefined
  const [a = 256, b = 256, c = 256, d = 256, prefix = BITS + 1] = match.slice(1).map(Number)
  if (Math.max(a, b, c, d) > 255 || prefix > BITS) return undefined
  const size = 2 ** (BITS - prefix)
  const first = Math.floor((((a * 256 + b) * 256 + c) * 256 + d) / size) * size
  return `${dotted(first)}-${dotted(first + size - 1)}`
}
const dotted = (address: number): string =>
  [24, 16, 8, 0].map(shift => Math.floor(address / 2 ** shift) % 256).join('.')
