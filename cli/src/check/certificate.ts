/** A certificate: whom it is for, and until when. */

import { X509Certificate } from 'node:crypto'
import { CHECK_CERTIFICATE_MS } from '@parsec/shared/deadlines'
import { withoutBrackets } from '@parsec/shared/http/netloc'
import type { Findings } from './finding.ts'

const DAY = 24 * 60 * 60 * 1000

/** `hostname` null: nobody knows whom it should be for. */
export function checkCertificate(
  pem: Buffer | string,
  hostname: string | null,
  findings: Findings,
  now = Date.now(),
): void {
  const certificate = new X509Certificate(pem)
  const until = Date.parse(certificate.validTo)
  const days = Math.floor((until - now) / DAY)
  const whom = certificate.subjectAltName ?? certificate.subject
  if (Date.parse(certificate.validFrom) > now)
    findings.fail(
      `the certificate is valid from ${certificate.validFrom} on`,
      'check the clock, or use an older certificate',
    )
  else if (until <= now)
    findings.fail(`the certificate has expired on ${certificate.validTo}`, 'renew it; SIGHUP reads it again')
  else if (until - now < CHECK_CERTIFICATE_MS)
    findings.warn(`the certificate expires in ${days} days`, 'renew it; SIGHUP reads it again')
  else findings.ok(`the certificate is valid for ${days} days`)
  if (hostname === null) return
  const name = withoutBrackets(hostname)
  const isFor = /^[\d.]+$|:/.test(name) ? certificate.checkIP(name) : certificate.checkHost(name)
  if (!isFor)
    findings.fail(`the certificate is for ${whom}, not for ${name}`, 'use one for the host name of --backend-addr')
}
