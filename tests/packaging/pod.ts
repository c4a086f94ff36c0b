/** The variables that Kubernetes gives the containers of rendered pods, for processes of this machine in their place. */
import { ConfigMap, type IContainer, Secret } from 'kubernetes-models/v1'
import { ofKind, type Resource } from './chart.ts'

export type Variables = { [name: string]: string }

/** Throws where something that the container refers to does not exist, as Kubernetes then does not start it. */
export function environment(container: IContainer, resources: readonly Resource[]): Variables {
  const variables: Variables = {}
  for (const { configMapRef } of container.envFrom ?? []) {
    const { name, optional } = configMapRef!
    if (!optional) Object.assign(variables, named(ofKind(resources, ConfigMap), name!).data)
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const reference = valueFrom?.secretKeyRef
    const text = reference ? secretValue(resources, reference) : expand(value ?? '', variables)
    if (text !== undefined) variables[name] = text
  }
  return variables
}

/** Replaces `$(NAME)` by variables that stand before. */
export const expand = (text: string, variables: Variables): string =>
  text.replace(/\$\(([^)]+)\)/g, (reference, name) => variables[name] ?? reference)

type SecretKey = { name?: string; key: string; optional?: boolean }
function secretValue(resources: readonly Resource[], { name, key, optional }: SecretKey): string | undefined {
  const text = named(ofKind(resources, Secret), name!).data?.[key]
  if (text === undefined && !optional) throw new Error(`the Secret ${name} has no ${key}`)
  return text === undefined ? undefined : Buffer.from(text, 'base64').toString()
}

function named<T extends Resource>(resources: readonly T[], name: string): T {
  const found = resources.find(({ metadata }) => metadata.name === name)
  if (!found) throw new Error(`nothing is named ${name}`)
  return found
}
