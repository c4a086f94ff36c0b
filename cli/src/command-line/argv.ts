/**
 * The effective argument list: what was typed, then `PARSEC_CMD_ARGS` (spec 06 §2.5), and what `--dev` adds to it
 * (spec 06 §3.4).
 */

/** Environment variables, as given to a process. */
export type Environment = { readonly [name: string]: string | undefined }

/** Everything that separates words in `PARSEC_CMD_ARGS`: Unicode white space and the four information separators. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these separators are meant.
const SEPARATORS = /[\p{White_Space}\u001c-\u001f]+/u
const REFERENCE = /\$(?:\{([^}]*)\}|([A-Za-z0-9_]+))/gu

/** Appends the words of `PARSEC_CMD_ARGS` to `argv`: split first, then each word expanded once; there is no quoting. */
export function effectiveArgv(argv: readonly string[], environment: Environment): string[] {
  return [...argv, ...words(environment.PARSEC_CMD_ARGS ?? '').map(word => expand(word, environment))]
}

/** The non-empty parts between runs of white space. */
export const words = (text: string): string[] => text.split(SEPARATORS).filter(word => word !== '')

/** Replaces `$NAME` and `${NAME}` by defined variables; what is undefined stays as written. */
function expand(word: string, environment: Environment): string {
  return word.replace(REFERENCE, (reference, braced: string | undefined, plain: string | undefined) => {
    const name = braced ?? plain ?? ''
    return Object.hasOwn(environment, name) ? (environment[name] ?? reference) : reference
  })
}

export const MAX_PORT = 65_535

/** The administration token of `--dev`, which everybody knows. */
export const TRIAL_TOKEN = 's3cr3t'

/**
 * What `--dev` adds as if it were typed: only options that were not, whatever the environment says. The address names
 * the port in force and is plain unless TLS is configured.
 *
 * @param given option name → its last typed text
 */
export function devArguments(
  given: ReadonlyMap<string, string>,
  environment: Environment,
): (readonly [name: string, text: string])[] {
  const portText = (given.get('port') ?? (environment.PARSEC_PORT || '6777')).trim()
  const number = /^\+?\d[\d_]*$/.test(portText) ? Number(portText.replaceAll('_', '')) : undefined
  const port = number !== undefined && number <= MAX_PORT ? number : undefined
  const tls = given.has('ssl-certfile') || Boolean(environment.PARSEC_SSL_CERTFILE)
  const added = [
    ['debug', 'true'],
    ['db', 'MOCKED'],
    ['blockstore', 'MOCKED'],
    ['administration-token', TRIAL_TOKEN],
    // A port that is none is reported as such, not as a bad address.
    ...(port === undefined
      ? []
      : [['backend-addr', `parsec://localhost:${port}${tls ? '' : '?no_ssl=true'}`] as const]),
    ['email-host', 'MOCKED'],
    ['email-sender', 'no-reply@parsec.com'],
  ] as const
  return added.filter(([name]) => !given.has(name))
}
