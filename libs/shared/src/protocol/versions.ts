/** Which protocol versions are served, and what depends on the client's (spec 01 §1, §7.5, §10.5; 05 §1.6). */

/** `[major, revision]` */
export type ApiVersion = readonly [major: number, revision: number]

/** In the order of the challenge: clients take the first entry of their major. */
export const SUPPORTED_API_VERSIONS: readonly ApiVersion[] = [
  [1, 3],
  [2, 10],
  [3, 4],
]

/** The server's entry for the client's major, or undefined. Revisions are never compared. */
export const settle = (client: ApiVersion, supported = SUPPORTED_API_VERSIONS): ApiVersion | undefined =>
  supported.find(([major]) => major === client[0])

export const formatVersion = ([major, revision]: ApiVersion): string => `${major}.${revision}`

/** Help text of a refused handshake whose major is not served. */
export const noOverlap = (client: ApiVersion): string =>
  `No overlap between client API versions {${formatVersion(client)}} and backend API versions {${SUPPORTED_API_VERSIONS.map(formatVersion).join(', ')}}`

/** Whether a client speaks at least revision `v2` of major 2, or `v3` of major 3. */
const speaks = ([major, revision]: ApiVersion, v2: number, v3: number): boolean =>
  (major === 2 && revision >= v2) || (major === 3 && revision >= v3)

/** The answer to the challenge is a signed map since 2.5; before, the raw challenge (spec 01 §7.4). */
export const answersWithMap = (client: ApiVersion): boolean => speaks(client, 5, 0)

/** An event that a client does not know stops it for good, so each kind goes only to those that do (spec 01 §10.5). */
export function knowsEvent(client: ApiVersion, event: string): boolean {
  switch (event) {
    case 'invite.status_changed':
      return client[0] >= 2
    case 'pki_enrollment.updated':
      return speaks(client, 6, 0)
    case 'realm.archiving_updated':
      return speaks(client, 10, 4)
    default:
      return true
  }
}

/** `[major, minor]` of the release that a `parsec/<version>` user agent names (sent since v2.7), or undefined. */
export function releaseOf(userAgent: string | undefined): readonly [number, number] | undefined {
  const match = /^parsec\/v?(\d{1,9})\.(\d{1,9})(?!\d)/.exec(userAgent ?? '')
  return match ? [Number(match[1]), Number(match[2])] : undefined
}

/** A list with an invitation of a type that the client does not know is of no use to it (spec 04 §4.3). */
export const knowsRecovery = (client: ApiVersion): boolean => speaks(client, 9, 3)

/** `[major, minor]` of the client's release when its user agent tells. */
export type Release = readonly [number, number] | null
const isSince = (release: Release, major: number, minor: number): boolean =>
  release !== null && (release[0] > major || (release[0] === major && release[1] >= minor))

/**
 * Releases up to v2.12 also stop at a `pinged` of more than 64 characters. Those that do not say which they are, up to v2.6,
 * speak API 2.4 or earlier.
 */
export const takesPing = (client: ApiVersion, release: Release, ping: string): boolean =>
  ping.length <= 64 || (release === null ? speaks(client, 5, 0) : isSince(release, 2, 13))

/** How the client's release spells that messages and participants differ: only the matching word makes it try again. */
export const mismatchStatus = (release: Release) =>
  isSince(release, 2, 13) ? 'participant_mismatch' : 'participants_mismatch'
