/** Reporter of `node:test` for `tools/test.mjs`: what it needs of each event, one JSON text per line. */
export default async function* events(source) {
  for await (const { type, data } of source) {
    if (type === 'test:dequeue' || type === 'test:pass') yield line({ type, name: data.name, nesting: data.nesting })
    if (type === 'test:fail') yield line({ type, name: data.name, nesting: data.nesting, ...failure(data) })
    if (type === 'test:diagnostic')
      yield line({ type, message: data.message, nesting: data.nesting, level: data.level })
    if (type === 'test:summary') yield line({ type, counts: data.counts })
  }
}

const line = value => `${JSON.stringify(value)}\n`

function failure({ skip, todo, details: { type, error } }) {
  const isOwn = !(skip || todo || type === 'suite' || error?.failureType === 'subtestsFailed')
  const cause = error?.cause
  return { isOwn, reason: String(cause?.stack ?? cause ?? error) }
}
