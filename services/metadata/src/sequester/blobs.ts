/** Which blobs for sequester services a vlob write must carry (spec 05 §14.3). */
import type { Uuid } from '@parsec/shared/codec/values'

export type SequesterServiceType = 'STORAGE' | 'WEBHOOK'

/** A service that is enabled. */
export type EnabledService = {
  service: number
  service_id: Uuid
  service_label: string
  certificate: Buffer
  type: SequesterServiceType
  webhook_url: string | null
}
/** A sequestered organization: its authority, and its enabled services in the order of their creation. */
export type SequesterFacts = { sequester_authority_certificate: Buffer; services: EnabledService[] }

/** What a client sends, by service; nil counts as none. */
export type SequesterBlobs = [Uuid, Buffer][] | null

/** An enabled service and its blob. */
export type ServiceBlob = { service: EnabledService; blob: Buffer }

export const notSequestered = (sequester_blob: SequesterBlobs) =>
  sequester_blob === null ? undefined : { status: 'not_a_sequestered_organization' as const }

/** The blobs in the order of the services, or the refusal when their ids are not exactly those of the services. */
export function matchServices({ sequester_authority_certificate, services }: SequesterFacts, sent: SequesterBlobs) {
  const blobs = new Map((sent ?? []).map(([service_id, blob]) => [service_id.hex, blob]))
  const matched = services.flatMap((service): ServiceBlob[] => {
    const blob = blobs.get(service.service_id.hex)
    return blob ? [{ service, blob }] : []
  })
  if (matched.length === services.length && blobs.size === services.length) return { ok: true as const, blobs: matched }
  return {
    ok: false as const,
    refusal: {
      status: 'sequester_inconsistency' as const,
      sequester_authority_certificate,
      sequester_services_certificates: services.map(service => service.certificate),
    },
  }
}
