/** The administration API as an OpenAPI document: what an administrator reads and what client generators take. */

type Schema = { readonly [key: string]: unknown }

const BOOLEAN: Schema = { type: 'boolean' }
const COUNT: Schema = { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 }
const SIZE: Schema = { type: 'integer', minimum: 0, description: 'In bytes.' }
const LIMIT: Schema = { type: ['integer', 'null'], minimum: 0, maximum: 2 ** 31 - 1, description: 'null: no limit.' }
const TEXT: Schema = { type: 'string' }
const ORGANIZATION_ID: Schema = { type: 'string', description: 'At most 32 bytes of letters, digits, `_` and `-`.' }

const object = (
  properties: { [name: string]: Schema },
  required: readonly string[] = Object.keys(properties),
): Schema => ({
  type: 'object',
  properties,
  ...(required.length > 0 && { required }),
})
const list = (items: Schema): Schema => ({ type: 'array', items })
const failure = (...errors: readonly string[]): Schema =>
  object({ error: { type: 'string', enum: errors }, ...(errors.includes('bad_data') && { reason: TEXT }) }, ['error'])

const json = (schema: Schema): Schema => ({ 'application/json': { schema } })
const answer = (description: string, schema: Schema): Schema => ({ description, content: json(schema) })
const body = (schema: Schema): Schema => ({ required: true, content: json(schema) })

const REFUSED = {
  403: answer('The administration token is missing or wrong.', failure('not_allowed')),
  429: answer('Too many refused calls from this address; try again in a few seconds.', failure('too_many_requests')),
  503: answer('The service behind is away; nothing was done, try again.', failure('unavailable')),
}
const BAD_DATA = answer('A field is missing or wrong; `reason` says which.', failure('bad_data'))
const NOT_FOUND = answer('No such organization.', failure('not_found'))
const IN_PATH = [{ name: 'organization_id', in: 'path', required: true, schema: ORGANIZATION_ID }]

const PROFILE_DETAIL = list(
  object({ profile: { type: 'string', enum: ['ADMIN', 'STANDARD', 'OUTSIDER'] }, active: COUNT, revoked: COUNT }),
)
const SIZES = { data_size: SIZE, metadata_size: SIZE, realms: COUNT, active_users: COUNT }
const SETTINGS = {
  user_profile_outsider_allowed: BOOLEAN,
  active_users_limit: LIMIT,
  minimum_archiving_period: { ...COUNT, description: 'In seconds.' },
}
const USER = object({ user_id: TEXT, user_email: TEXT, user_name: TEXT, frozen: BOOLEAN })

/** `version`: of the server. */
export function openApiDocument(version: string) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Parsec administration',
      version,
      description:
        'Organizations of a Parsec server. Every call needs the administration token (`--administration-token`). Bodies are JSON whatever the content type says. Unknown fields are ignored, unless they look like a misspelt known one; with `Prefer: handling=strict` they are refused. Every error is JSON.',
    },
    servers: [{ url: '/administration' }],
    security: [{ token: [] }],
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    paths: {
      '/organizations': {
        post: {
          summary: 'Create an organization',
          description:
            'The answer holds the token of its bootstrap link. An organization that nobody bootstrapped may be created again, which makes a new token.',
          requestBody: body(object({ organization_id: ORGANIZATION_ID, ...SETTINGS }, ['organization_id'])),
          responses: {
            200: answer('Created.', object({ bootstrap_token: { type: 'string', pattern: '^[0-9a-f]{64}$' } })),
            400: answer('Wrong, or already bootstrapped.', failure('bad_data', 'already_exists')),
            ...REFUSED,
          },
        },
      },
      '/organizations/{organization_id}': {
        get: {
          summary: 'Show an organization',
          parameters: IN_PATH,
          responses: {
            200: answer('Its state.', object({ is_bootstrapped: BOOLEAN, is_expired: BOOLEAN, ...SETTINGS })),
            404: NOT_FOUND,
            ...REFUSED,
          },
        },
        patch: {
          summary: 'Change an organization',
          description:
            'What is absent stays. `is_expired: true` closes the organization and disconnects its users at once. With `Prefer: return=representation` the answer is the new state.',
          parameters: IN_PATH,
          requestBody: body(object({ is_expired: BOOLEAN, ...SETTINGS }, [])),
          responses: {
            200: answer('Changed.', object({ is_bootstrapped: BOOLEAN, is_expired: BOOLEAN, ...SETTINGS }, [])),
            400: BAD_DATA,
            404: NOT_FOUND,
            ...REFUSED,
          },
        },
      },
      '/organizations/{organization_id}/stats': {
        get: {
          summary: 'Statistics of an organization',
          parameters: IN_PATH,
          responses: {
            200: answer('As of now.', object({ ...SIZES, users: COUNT, users_per_profile_detail: PROFILE_DETAIL })),
            404: NOT_FOUND,
            ...REFUSED,
          },
        },
      },
      '/organizations/{organization_id}/users': {
        get: {
          summary: 'Users of an organization',
          description: 'Those with an e-mail address, revoked ones included.',
          parameters: IN_PATH,
          responses: {
            200: answer('In order of creation.', object({ users: list(USER) })),
            404: NOT_FOUND,
            ...REFUSED,
          },
        },
      },
      '/organizations/{organization_id}/users/freeze': {
        post: {
          summary: 'Freeze or unfreeze a user',
          description: 'A frozen user cannot connect. Exactly one of `user_id` and `user_email` is given.',
          parameters: IN_PATH,
          requestBody: body(object({ frozen: BOOLEAN, user_id: TEXT, user_email: TEXT }, ['frozen'])),
          responses: {
            200: answer('Done.', USER),
            400: BAD_DATA,
            404: answer('No such organization or user.', failure('not_found', 'user_not_found')),
            ...REFUSED,
          },
        },
      },
      '/stats': {
        get: {
          summary: 'Statistics of every organization',
          parameters: [
            { name: 'format', in: 'query', required: true, schema: { type: 'string', enum: ['json', 'csv'] } },
            { name: 'at', in: 'query', required: false, schema: { type: 'string', format: 'date-time' } },
          ],
          responses: {
            200: {
              description: 'As of `at`, by default now.',
              content: {
                ...json(
                  object({
                    stats: list(object({ organization_id: TEXT, ...SIZES, users_per_profile_detail: PROFILE_DETAIL })),
                  }),
                ),
                'text/csv': { schema: TEXT },
              },
            },
            400: BAD_DATA,
            ...REFUSED,
          },
        },
      },
    },
  }
}
