/** Hosts and ports as addresses have them. */
import type { BackendAddr } from '../config.ts'

/** The public address as addresses of all schemes have it: host, and the port unless it is the usual one (spec 02 §6.3). */
export function netloc({ hostname, port, useTls }: BackendAddr): string {
  const host = inBrackets(hostname)
  return port === (useTls ? 443 : 80) ? host : `${host}:${port}`
}

/** The host as sockets and certificates have it: an IPv6 address stands in brackets only where a port may follow. */
export const withoutBrackets = (host: string): string => host.replace(/^\[(.*)\]$/, '$1')

/** A host as it stands in a URL: an IPv6 address in brackets. */
export const inBrackets = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)
