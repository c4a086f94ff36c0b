/** What the checks of an organization found (spec 07 §4). */
export type Finding = {
  readonly organization_id: string
  readonly table: string
  /** Names the row for people: ids of the protocol and the source's `_id`. */
  readonly row: string
  readonly why: string
  /**
   * - `certificate`: does not verify; refuses the organization, or is taken as it is with `--skip-verification`.
   * - `broken`: the organization cannot be taken.
   * - `left_out`: the row is not taken.
   * - `kept`: odd, but taken as it is.
   */
  readonly kind: 'certificate' | 'broken' | 'left_out' | 'kept'
}
/** One that does not say whose it is yet. */
export type Found = Omit<Finding, 'organization_id'>
