/**
 * Log lines of spec 06 §9: a fixed event text and keys, as JSON or for the console.
 * Never log payloads, tokens, keys or passwords.
 */

export const LOG_LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['CONSOLE', 'JSON'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export type LogKeys = { readonly [key: string]: unknown; error?: unknown }

/** `error` among the keys may be an `Error`: it is printed with its stack under `exception`. */
export type Log = {
  debug(event: string, keys?: LogKeys): void
  info(event: string, keys?: LogKeys): void
  warning(event: string, keys?: LogKeys): void
  error(event: string, keys?: LogKeys): void
  critical(event: string, keys?: LogKeys): void
  /** The same log with keys bound to every line. */
  child(keys: LogKeys): Log
}

export type LogOptions = {
  level: LogLevel
  format: LogFormat
  /** Path of a file to append to; null is stderr. */
  file: string | null
}
