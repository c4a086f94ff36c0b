/** Sequester checks of vlob writes (spec 05 §14.3), done before any look at the realm. */
import type { Uuid } from '@parsec/shared/codec/values'

/** The certificate is null in an organization that is not sequestered. */
export type SequesterFacts = { sequester_authority_certificate: Buffer | null }

/** The ids of the blobs must be those of the enabled services; nil counts as none. */
export function sequesterRefusal(
  { sequester_authority_certificate }: SequesterFacts,
  sequester_blob: [Uuid, Buffer][] | null,
) {
  if (sequester_authority_certificate === null)
    return sequester_blob === null ? undefined : { status: 'not_a_sequestered_organization' as const }
  if (sequester_blob === null || sequester_blob.length === 0) return undefined
  return {
    status: 'sequester_inconsistency' as const,
    sequester_authority_certificate,
    sequester_services_certificates: [] as Buffer[],
  }
}
