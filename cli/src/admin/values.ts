/** Options and arguments that several commands of `parsec admin` have. */
import { organizationId, parse } from '@parsec/shared/codec/fields'
import { DateTime } from '@parsec/shared/codec/values'
import { argument, optional, withDefault } from '../command-line/option.ts'
import { BOOL, choice, INT, TEXT, type ValueType } from '../command-line/values.ts'

const ORGANIZATION_ID: ValueType<string> = {
  metavar: 'ID',
  parse(text) {
    const id = parse(organizationId(), text)
    if (!id.ok) throw new Error(`'${text}' is not a valid organization id.`)
    return id.value
  },
}
export const organization = argument({ name: 'ORGANIZATION', type: ORGANIZATION_ID, text: 'Id of the organization.' })
export const user = argument({ name: 'USER', type: TEXT, text: 'Id of the user, or the e-mail address.' })

const COUNT: ValueType<number> = {
  metavar: 'NUMBER',
  parse(text) {
    const number = INT.parse(text)
    if (number < 0) throw new Error(`${text} is less than 0.`)
    return number
  },
}
/** null: none. */
const LIMIT: ValueType<number | null> = {
  metavar: 'NUMBER|none',
  parse: text => (text.toLowerCase() === 'none' ? null : COUNT.parse(text)),
}
export const settings = {
  activeUsersLimit: optional({
    name: 'active-users-limit',
    type: LIMIT,
    group: 'Organizations',
    text: 'Active users that it may have; `none` for no limit.',
  }),
  outsidersAllowed: optional({
    name: 'outsiders',
    type: { ...BOOL, metavar: 'yes|no' },
    group: 'Organizations',
    text: 'Whether it may have users with the profile OUTSIDER.',
  }),
  minimumArchivingPeriod: optional({
    name: 'minimum-archiving-period',
    type: { ...COUNT, metavar: 'SECONDS' },
    group: 'Organizations',
    text: 'For which an archived workspace is kept at least before it may be deleted.',
  }),
} as const
/** As the API names them; what is not given is left out. */
export const settingsOf = (values: {
  activeUsersLimit: number | null | undefined
  outsidersAllowed: boolean | undefined
  minimumArchivingPeriod: number | undefined
}) => ({
  active_users_limit: values.activeUsersLimit,
  user_profile_outsider_allowed: values.outsidersAllowed,
  minimum_archiving_period: values.minimumArchivingPeriod,
})

/** A day, UTC, or an instant. */
export const INSTANT: ValueType<DateTime> = {
  metavar: 'DATE',
  parse(text) {
    const instant = DateTime.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
    if (!instant)
      throw new Error(`'${text}' is neither a day like 2030-01-31 nor an instant like 2030-01-31T12:00:00Z.`)
    return instant
  },
}

const AT_LEAST_ONE: ValueType<number> = {
  metavar: 'NUMBER',
  parse(text) {
    const number = COUNT.parse(text)
    if (number < 1) throw new Error(`${text} is less than 1.`)
    return number
  },
}
export const limit = withDefault(Number.MAX_SAFE_INTEGER, {
  name: 'limit',
  type: AT_LEAST_ONE,
  defaultText: 'all',
  group: 'Output',
  text: 'Show no more than so many.',
})
export const search = optional({
  name: 'search',
  type: TEXT,
  group: 'Output',
  text: 'Only those whose id, e-mail address or name has this part.',
})
export const state = <const T extends readonly string[]>(states: T) =>
  optional({ name: 'state', type: choice(states), group: 'Output', text: 'Only those in this state.' })
export const sort = <const T extends readonly string[]>(keys: T, usual: T[number]) =>
  withDefault(usual, { name: 'sort', type: choice(keys), group: 'Output', text: 'By what the list is sorted.' })
export const order = (usual: 'asc' | 'desc') =>
  withDefault<string>(usual, {
    name: 'order',
    type: choice(['asc', 'desc']),
    group: 'Output',
    text: 'Smallest or oldest first, or the other way round.',
  })
