/** Cases about what the server does not do yet: they run, must fail, and leave this list when they pass. */

const LATER: { readonly [what: string]: readonly string[] } = {
  'invitations': [
    '04-invite §10.2 a mail refused after its text, and a mail server that hangs up',
    '04-invite §10.2 an address that SMTP cannot carry',
    '04-invite §10.2 failures of the mail do not fail the command',
    '04-invite §10.3 Reply-To encodes the label and leaves the address alone',
    '04-invite §10.3 a label beyond ASCII',
    '04-invite §10.3 a recovery invitation by mail',
    '04-invite §10.3 an address cannot smuggle headers or recipients',
    '04-invite §10.3 labels are escaped in HTML',
    '04-invite §10.3 the logo of the HTML part is served',
    '04-invite#10 a refused recipient',
    '04-invite#11 no mail server',
    '04-invite#11 without a mail server the invitation exists, whatever was answered',
    '04-invite#12 a refused invitation sends no mail',
    '04-invite#12 asking again sends another mail with the same token',
    '04-invite#13 a user invitation by mail: envelope, headers, parts',
    '04-invite#13 mails written to a folder',
    '04-invite#14 a device invitation by mail goes to the user’s own address',
    '04-invite#14 links of a server with TLS',
    '04-invite#14 the link in a user invitation',
    '04-invite#14 the organization in a link is percent-encoded',
    '04-invite#50 the exchange survives a restart of the server',
    '04-invite#51 greeter and claimer on different server processes: exchange, resets, deletion',
    '04-invite#51 statuses and presence across two server processes',
    '04-invite#9 an administrator without human handle invites by mail under his user id',
  ],
  'the rest': [
    '01-wire#38 a connection that sends nothing and answers no ping for half a minute is still usable',
    '02-organization-http#52 events: an idle stream is kept alive at the configured pace',
    '05-data §14.3 webhooks are called in order of creation; the first refusal ends the command',
    '05-data §14.4 human_accesses lists the users of a human with their roles',
    '05-data#57 a webhook’s 400 rejects the write with its reason, other errors and a dead webhook are timeout; nothing is stored',
  ],
  'PKI enrollment': [
  ],
  'archiving': [
  ],
  'shared recovery': [
  ],
  'sequester': [
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
