/** Figures and instants for people. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
const whole = new Intl.NumberFormat('en')

export function bytes(n) {
  const unit = n < 1 ? 0 : Math.min(Math.floor(Math.log10(n) / 3), UNITS.length - 1)
  const value = n / 1000 ** unit
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}
export const number = n => whole.format(n)
export const plural = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`

const pad = n => String(n).padStart(2, '0')
/** In the time zone of the reader, like all of these. */
export function moment(text) {
  if (text === null || text === undefined) return '–'
  const at = Date.parse(text) / 1000
  return `${day(at)} ${clock(at)}`
}
/** `at`: seconds of the epoch. */
export function day(at) {
  const date = new Date(at * 1000)
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
}
export function clock(at) {
  const date = new Date(at * 1000)
  return `${pad(date.getHours())}:${pad(date.getMinutes())}`
}

const SPANS = [
  ['year', 31_536_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
]
/** How long ago something was. */
export function ago(text) {
  if (text === null || text === undefined) return 'never'
  const seconds = (Date.now() - Date.parse(text)) / 1000
  const [unit, length] = SPANS.find(([, length]) => seconds >= length) ?? ['moment', 1]
  return unit === 'moment' ? 'just now' : `${plural(Math.floor(seconds / length), unit)} ago`
}

export const stateOf = ({ is_expired, is_bootstrapped }) =>
  is_expired ? 'expired' : is_bootstrapped ? 'in use' : 'waiting'
export const activeUsers = ({ active_users, active_users_limit }) =>
  active_users_limit === null ? number(active_users) : `${number(active_users)} of ${number(active_users_limit)}`
