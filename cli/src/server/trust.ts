/** Whom the server trusts when it asks others over TLS: webhooks, reports, object stores. */
import { existsSync } from 'node:fs'
import tls from 'node:tls'

/** The authorities that Node brings, and those that the administrator has made known to the system. */
export function trustSystem(): void {
  const ofSystem = hasAuthorities(process.platform, process.env) ? tls.getCACertificates('system') : []
  const authorities = new Set([...tls.getCACertificates('default'), ...ofSystem])
  // Not in Node before 24.5: there --use-system-ca, or NODE_EXTRA_CA_CERTS, does it.
  tls.setDefaultCACertificates?.([...authorities])
}

/**
 * Whether the system has places for them. In a slim image it has none, which Node would say on standard error before
 * anything else; it shall say so only of places that somebody has named.
 */
export const hasAuthorities = (
  platform: NodeJS.Platform,
  { SSL_CERT_DIR, SSL_CERT_FILE }: NodeJS.ProcessEnv,
  exists: (path: string) => boolean = existsSync,
): boolean => platform !== 'linux' || Boolean(SSL_CERT_DIR || SSL_CERT_FILE) || PLACES.some(place => exists(place))
const PLACES = ['/etc/ssl/certs', '/etc/ssl/cert.pem']
