/** Makes a stored conversation one that the Messages API accepts: interrupted tool calls are answered, neighbours of one role joined. */
import type Anthropic from '@anthropic-ai/sdk'

export type Block = Anthropic.ContentBlockParam

/** What the conversation consists of; the API knows further roles that this agent never uses. */
export interface Message {
  readonly role: 'user' | 'assistant'
  readonly content: string | Block[]
}

export const INTERRUPTED = 'This tool call was interrupted before its result was recorded. It may or may not have taken effect: look before you repeat it.'

/** The same conversation, valid: it begins with the user, roles alternate, and each tool call has exactly one result in the very next message. */
export function repair(messages: readonly Message[]): Message[] {
  const repaired: Message[] = []
  for (const message of joinUsers(messages.filter((candidate) => blocksOf(candidate).length > 0))) {
    const last = repaired.at(-1)
    const open = openCalls(last)
    if (message.role === 'assistant') {
      if (last === undefined) continue
      if (open.length > 0) repaired.push({ role: 'user', content: open.map(interrupted) }, message)
      else if (last.role === 'assistant') repaired[repaired.length - 1] = joined(last, message)
      else repaired.push(message)
      continue
    }
    const content = answered(blocksOf(message), open)
    if (content.length === 0) continue
    if (last?.role === 'user') repaired[repaired.length - 1] = joined(last, { role: 'user', content })
    else repaired.push({ role: 'user', content })
  }
  const open = openCalls(repaired.at(-1))
  if (open.length > 0) repaired.push({ role: 'user', content: open.map(interrupted) })
  return repaired
}

export function blocksOf(message: Message): Block[] {
  return typeof message.content === 'string' ? (message.content === '' ? [] : [{ type: 'text', text: message.content }]) : message.content
}

/** Results first, in the order of the calls; a result without a call, or a second one, is left out. */
function answered(blocks: readonly Block[], open: readonly string[]): Block[] {
  const results = new Map<string, Block>()
  for (const block of blocks) if (block.type === 'tool_result' && !results.has(block.tool_use_id)) results.set(block.tool_use_id, block)
  return [...open.map((id) => results.get(id) ?? interrupted(id)), ...blocks.filter((block) => block.type !== 'tool_result')]
}

function openCalls(message: Message | undefined): string[] {
  if (message?.role !== 'assistant') return []
  return [...new Set(blocksOf(message).flatMap((block) => (block.type === 'tool_use' ? [block.id] : [])))]
}

function interrupted(id: string): Block {
  return { type: 'tool_result', tool_use_id: id, content: INTERRUPTED, is_error: true }
}

/** Results of one answer may stand in several messages; the assistant's neighbours stay apart, because between them results may be missing. */
function joinUsers(messages: readonly Message[]): Message[] {
  const result: Message[] = []
  for (const message of messages) {
    const last = result.at(-1)
    if (last?.role === 'user' && message.role === 'user') result[result.length - 1] = joined(last, message)
    else result.push(message)
  }
  return result
}

function joined(first: Message, second: Message): Message {
  return { role: first.role, content: [...blocksOf(first), ...blocksOf(second)] }
}
