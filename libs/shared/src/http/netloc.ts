/** The public address as addresses of all schemes have it: host, and the port unless it is the usual one (spec 02 §6.3). */
import type { BackendAddr } from '../config.ts'

export function netloc({ hostname, port, useTls }: BackendAddr): string {
  const host = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname
  return port === (useTls ? 443 : 80) ? host : `${host}:${port}`
}
