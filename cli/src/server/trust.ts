/** Whom the server trusts when it asks others over TLS: webhooks, reports, object stores. */
import tls from 'node:tls'

/** The authorities that Node brings, and those that the administrator has made known to the system. */
export function trustSystem(): void {
  const authorities = new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])
  // Not in Node before 24.5: there --use-system-ca, or NODE_EXTRA_CA_CERTS, does it.
  tls.setDefaultCACertificates?.([...authorities])
}
