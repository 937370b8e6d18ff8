/** The few shapes of a request that are read, whatever else stands in it. */

export type Json = Readonly<Record<string, unknown>>

export interface Message {
  readonly role: 'user' | 'assistant' | 'system'
  readonly content: string | readonly Json[]
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The blocks of a content, a plain text counting as one. */
export function blocks(content: string | readonly Json[]): readonly Json[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content
}
