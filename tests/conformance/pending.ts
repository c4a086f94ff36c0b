/** Cases about what the server does not do yet: they run, must fail, and leave this list when they pass. */

const LATER: { readonly [what: string]: readonly string[] } = {
  'sequester services and human_accesses': [
    '05-data §14.3 webhooks are called in order of creation; the first refusal ends the command',
    '05-data §14.4 human_accesses lists the users of a human with their roles',
    '05-data#57 a webhook’s 400 rejects the write with its reason, other errors and a dead webhook are timeout; nothing is stored',
    '05-data §14.2 a certificate with the largest salt is accepted; one of another authority, or for an organization without sequester, is refused',
    '05-data §14.3 re-encryption works in a sequestered organization without service blobs',
    '05-data §14.4 create_service, list_services and update_service say what they did; wrong input is refused',
    '05-data §14.4 generate_service_certificate writes an armored file that import_service_certificate takes',
    '05-data §14.4 service types: webhook wants a URL, storage refuses one; list_services shows both',
    '05-data §14.5 export_realm writes an SQLite file with the service’s own ciphertexts since its creation and all blocks; it can be run again',
    '05-data#55 services: the exact set is accepted; missing, unknown, additional ones are sequester_inconsistency with the enabled services in order of creation',
    '05-data#56 a certificate may be imported once; its id stays used when the service is disabled; any age is accepted',
    '05-data#56 disabling a service takes it out of the required set at once, enabling brings it back; each twice is refused',
    '05-data#57 a webhook gets the service’s blob by POST with organization and service in the query, before the write is stored',
  ],
}

/** Name of the case → what it waits for. */
export const PENDING: ReadonlyMap<string, string> = new Map(
  Object.entries(LATER).flatMap(([what, names]) => names.map(name => [name, what] as const)),
)
