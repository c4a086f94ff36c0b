/** Key files, and the certificate that makes a sequester service known (spec 06 §6.5). */

import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  publicKeyToDer,
  readPrivateKey,
  readPublicKey,
  signServiceCertificate,
} from '@parsec/shared/certificates/sequester'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'

/** A certificate of a new service, signed now. Throws `OperatorError` for a file that is no RSA key. */
export function makeServiceCertificate(values: {
  serviceLabel: string | undefined
  servicePublicKey: string | undefined
  authorityPrivateKey: string | undefined
}): { service_id: Uuid; certificate: Buffer } {
  const service_id = Uuid.random()
  const certificate = signServiceCertificate(privateKey('--authority-private-key', values.authorityPrivateKey!), {
    timestamp: DateTime.now(),
    service_id,
    service_label: values.serviceLabel!,
    encryption_key_der: publicKeyToDer(publicKey('--service-public-key', values.servicePublicKey!)),
  })
  return { service_id, certificate }
}

export function privateKey(option: string, path: string): KeyObject {
  const key = readPrivateKey(readFileSync(path))
  if (!key) throw new OperatorError(`${option}: ${path} is not an RSA private key (PEM or DER, without passphrase)`)
  return key
}
function publicKey(option: string, path: string): KeyObject {
  const key = readPublicKey(readFileSync(path))
  if (!key) throw new OperatorError(`${option}: ${path} is not an RSA public key (PEM or DER)`)
  return key
}

/** Type and URL of a new service. Throws `OperatorError` when they do not go together. */
export function serviceKind({ serviceType, webhookUrl }: { serviceType: string; webhookUrl: string | undefined }) {
  if (serviceType === 'webhook') {
    if (!webhookUrl) throw new OperatorError('Webhook sequester service requires webhook_url argument')
    return { type: 'WEBHOOK' as const, webhook_url: webhookUrl }
  }
  if (webhookUrl) throw new OperatorError('webhook_url argument is for webhook sequester services only')
  return { type: 'STORAGE' as const, webhook_url: null }
}
