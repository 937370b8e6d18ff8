/** Which reply a request gets: decided from the request alone, so that forks, rollbacks, resumes and retries find theirs by themselves. */
import type { Conversation, Reply, Script } from './script/types.ts'
import { mergeTurns } from './wire/conversation.ts'
import type { MessagesRequest } from './wire/request.ts'

export interface Choice {
  /** Index in the script; null for `otherwise`. */
  readonly conversation: number | null
  /** How many assistant turns stand between the prompt and the request; null for `otherwise`. */
  readonly index: number | null
  readonly reply: Reply
}

/**
 * The newest prompt that some conversation matches decides; the assistant turns since it are the index. A request
 * that offers no tools is a side call to a conversation that uses tools, and gets `otherwise`, as does all that no reply covers.
 */
export function chooseReply(script: Script, request: Pick<MessagesRequest, 'messages' | 'tools'>): Choice {
  const open = [...script.conversations.entries()].filter(([, conversation]) => request.tools.length > 0 || !usesTools(conversation))
  const turns = mergeTurns(request.messages)
  for (const [back, turn] of [...turns].reverse().entries()) {
    if (turn.role !== 'user') continue
    const prompt = promptOf(turn.content)
    const found = open.find(([, { match }]) => match !== undefined && prompt.includes(match))
    // Turns alternate, so every second one after the prompt is the assistant's.
    if (found !== undefined) return pick(script, found, Math.floor(back / 2))
  }
  const always = open.find(([, { match }]) => match === undefined)
  return always === undefined ? otherwise(script) : pick(script, always, Math.floor(turns.length / 2))
}

function pick(script: Script, [conversation, { replies }]: [number, Conversation], index: number): Choice {
  const reply = replies[index]
  return reply === undefined ? otherwise(script) : { conversation, index, reply }
}

function otherwise(script: Script): Choice {
  return { conversation: null, index: null, reply: script.otherwise }
}

function usesTools({ replies }: Conversation): boolean {
  return replies.some(({ tools }) => tools.length > 0)
}

/** What the person wrote in a user turn: its texts without tool results and without what an agent adds in reminders. */
function promptOf(content: readonly Readonly<Record<string, unknown>>[]): string {
  return content.map(({ type, text }) => (type === 'text' && typeof text === 'string' ? withoutReminders(text) : '')).join('\n')
}

const REMINDER_START = '<system-reminder>'
const REMINDER_END = '</system-reminder>'

function withoutReminders(text: string): string {
  let rest = text
  let kept = ''
  for (;;) {
    const start = rest.indexOf(REMINDER_START)
    const end = start < 0 ? -1 : rest.indexOf(REMINDER_END, start)
    if (end < 0) return kept + rest
    kept += rest.slice(0, start)
    rest = rest.slice(end + REMINDER_END.length)
  }
}
