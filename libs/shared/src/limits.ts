/**
 * Every bound on what others send or cause (DESIGN §11): `docs/limits.md` is made from this table, and
 * `limits.test.ts` holds that each row has a test.
 */

export type Limit = {
  readonly value: number
  readonly unit: 'bytes' | 'items' | 'characters' | 'ms' | 'per second' | 'per minute'
  /** What is bounded, for the documentation. */
  readonly what: string
  /** What whoever goes beyond is told. */
  readonly beyond: string
  /** The test that goes beyond: file, and a part of its title. */
  readonly test: readonly [file: string, title: string]
}

export const limits = {} as const satisfies { readonly [name: string]: Limit }
