/** The rules between messages: who begins and who ends, and that each tool call is answered right after it. */
import { blocks, type Json, type Message } from './blocks.ts'
import { invalid } from './errors.ts'

/** Throws a 400 in the provider's form. */
export function checkConversation(messages: readonly Message[]): void {
  const turns = mergeTurns(messages)
  if (turns[0]?.role !== 'user') throw invalid('messages: first message must use the "user" role')
  if (turns.at(-1)?.role === 'assistant') {
    throw invalid('This model does not support assistant message prefill. The conversation must end with a user message.')
  }
  const seen = new Set<string>()
  let open = new Set<string>()
  for (const { role, at, content } of turns) {
    if (role === 'assistant') open = callsOf(content, at, seen)
    else {
      checkAnswers(content, at, open)
      open = new Set()
    }
  }
}

interface Turn {
  readonly role: 'user' | 'assistant'
  /** Index of the first message in it. */
  readonly at: number
  readonly content: Json[]
}

/** Messages of the same role that follow one another are one turn; a system message belongs to the turn around it. */
export function mergeTurns(messages: readonly Message[]): readonly Turn[] {
  const turns: Turn[] = []
  for (const [at, { role, content }] of messages.entries()) {
    if (role === 'system') continue
    const last = turns.at(-1)
    if (last?.role === role) last.content.push(...blocks(content))
    else turns.push({ role, at, content: [...blocks(content)] })
  }
  return turns
}

function callsOf(content: readonly Json[], at: number, seen: Set<string>): Set<string> {
  const calls = new Set<string>()
  for (const [index, { type, id }] of content.entries()) {
    if (type !== 'tool_use') continue
    if (typeof id !== 'string' || id === '') throw invalid(`messages.${at}.content.${index}.tool_use.id: Field required`)
    if (seen.has(id)) throw invalid('messages: `tool_use` ids must be unique')
    seen.add(id)
    calls.add(id)
  }
  return calls
}

function checkAnswers(content: readonly Json[], at: number, open: ReadonlySet<string>): void {
  const missing = new Set(open)
  for (const [index, { type, tool_use_id: id }] of content.entries()) {
    if (type !== 'tool_result') continue
    if (typeof id !== 'string') throw invalid(`messages.${at}.content.${index}.tool_result.tool_use_id: Field required`)
    if (!open.has(id)) {
      const rule = 'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.'
      throw invalid(`messages.${at}.content.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. ${rule}`)
    }
    if (!missing.delete(id))
      throw invalid(`messages.${at}.content.${index}: each tool_use must have a single result. Found multiple \`tool_result\` blocks with id: ${id}`)
  }
  if (missing.size === 0) return
  const ids = [...missing].join(', ')
  const rule = 'Each `tool_use` block must have a corresponding `tool_result` block in the next message.'
  throw invalid(`messages.${at - 1}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${ids}. ${rule}`)
}
