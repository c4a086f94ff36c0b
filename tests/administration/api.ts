/**
 * The administration API as its own document says it is: calls by operation id, and every answer is held against what the
 * document allows, status, code and body.
 */
import assert from 'node:assert/strict'
import { z } from 'zod'

type Json = { readonly [key: string]: unknown }
type Operation = Json & {
  readonly operationId: string
  readonly parameters?: readonly { readonly name: string; readonly in: string }[]
  readonly responses: { readonly [status: string]: { readonly content: { readonly [type: string]: { schema: Json } } } }
}
export type Document = {
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } }
  readonly components: { readonly schemas: Json }
}
export type Given = { readonly [name: string]: string | number | undefined }
// biome-ignore lint/suspicious/noExplicitAny: an answer is whatever the server sent
export type Answer = { status: number; json: any }

export class Api {
  readonly #url: string
  readonly #token: string
  readonly document: Document
  private constructor(url: string, token: string, document: Document) {
    this.#url = url
    this.#token = token
    this.document = document
  }
  /** `url`: of the server, `http://host:port`. */
  static async open(url: string, token: string): Promise<Api> {
    const response = await fetch(`${url}/administration/docs/json`)
    return new Api(url, token, (await response.json()) as Document)
  }
  /** The same with another token. */
  as(token: string): Api {
    return new Api(this.#url, token, this.document)
  }

  /** `given`: parameters of path and query by their names. */
  async call(operationId: string, given: Given = {}, body?: unknown): Promise<Answer> {
    const { path, method, operation } = this.#find(operationId)
    const query = new URLSearchParams()
    let target = path
    for (const [name, value] of Object.entries(given)) {
      if (value === undefined) continue
      if (target.includes(`{${name}}`)) target = target.replace(`{${name}}`, encodeURIComponent(value))
      else query.set(name, String(value))
    }
    const response = await fetch(`${this.#url}/administration${target}${query.size > 0 ? `?${query}` : ''}`, {
      method: method.toUpperCase(),
      headers: { authorization: `Bearer ${this.#token}` },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const { status } = response
    const documented = operation.responses[status]?.content['application/json']
    assert.ok(documented, `${operationId} answered ${status}, which the document does not know`)
    const json: unknown = await response.json()
    this.#holds(documented.schema, json, `${operationId} ${status}`)
    return { status, json }
  }
  /** The answer when all went well. */
  async ok(operationId: string, given: Given = {}, body?: unknown): Promise<Answer['json']> {
    const { status, json } = await this.call(operationId, given, body)
    assert.ok(status < 300, `${operationId}: ${status} ${JSON.stringify(json)}`)
    return json
  }
  /** The status and code of a refusal. */
  async refused(operationId: string, given: Given = {}, body?: unknown): Promise<[status: number, error: string]> {
    const { status, json } = await this.call(operationId, given, body)
    return [status, json.error]
  }
  /** All items of a list, read page by page. */
  async *pages(operationId: string, list: string, given: Given = {}): AsyncGenerator<Answer['json']> {
    let cursor: string | undefined
    do {
      const answer = await this.ok(operationId, { ...given, ...(cursor !== undefined && { cursor }) })
      yield answer[list]
      cursor = answer.next_cursor ?? undefined
    } while (cursor !== undefined)
  }

  #find(operationId: string) {
    for (const [path, methods] of Object.entries(this.document.paths))
      for (const [method, operation] of Object.entries(methods))
        if (operation.operationId === operationId) return { path, method, operation }
    throw new Error(`the document has no ${operationId}`)
  }
  #holds(schema: Json, json: unknown, what: string): void {
    const whole = { ...schema, $defs: this.document.components.schemas }
    const text = JSON.stringify(whole).replaceAll('"#/components/schemas/', '"#/$defs/')
    const parsed = z.fromJSONSchema(JSON.parse(text)).safeParse(json)
    assert.ok(parsed.success, `${what}: ${JSON.stringify(json)} is not as documented: ${parsed.error?.message}`)
  }
}
