/** What a tool of the builtin agent is, and how it reads what a model asks of it. */
import type Anthropic from '@anthropic-ai/sdk'
import type { Paths } from '../../adapter.ts'

export interface ToolContext {
  readonly paths: Pick<Paths, 'project' | 'home'>
  readonly signal: AbortSignal
}

export type ToolInput = Readonly<Record<string, unknown>>

export interface ToolResult {
  readonly text: string
  /** Unlike a ToolError, the tool did run: a command that failed. */
  readonly isError?: boolean
  /** Files may be other than before. */
  readonly changedFiles?: boolean
}

export interface Tool {
  readonly definition: Anthropic.Tool
  /** Never changes anything, so that several may run at once. */
  readonly isReadOnly: boolean
  /** One line for a person who watches. */
  summary(input: ToolInput): string
  /** Throws ToolError for what the model can do better. */
  run(input: ToolInput, context: ToolContext): Promise<ToolResult>
}

/** Said to the model as the tool's result. */
export class ToolError extends Error {
  override readonly name = 'ToolError'
}

export function textOf(input: ToolInput, name: string, options: { readonly mayBeEmpty?: boolean } = {}): string {
  const value = input[name]
  if (typeof value !== 'string') throw new ToolError(`"${name}" must be given, as text.`)
  if (value === '' && !options.mayBeEmpty) throw new ToolError(`"${name}" must not be empty.`)
  return value
}

export function optionalTextOf(input: ToolInput, name: string): string | undefined {
  return input[name] === undefined || input[name] === null || input[name] === '' ? undefined : textOf(input, name)
}

/** A whole number within bounds; the default when it is not given. */
export function numberOf(input: ToolInput, name: string, bounds: { readonly least: number; readonly most: number; readonly otherwise: number }): number {
  const value = input[name] ?? bounds.otherwise
  if (typeof value === 'number' && Number.isInteger(value) && value >= bounds.least && value <= bounds.most) return value
  throw new ToolError(`"${name}" must be a whole number from ${bounds.least} to ${bounds.most}.`)
}

/** For summaries, which must not fail on what a model made up. */
export function wordOf(input: ToolInput, name: string): string {
  const value = input[name]
  return typeof value === 'string' ? value : ''
}
