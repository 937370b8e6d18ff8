/** Reads the conversations of a script, and finds those that no prompt can ever reach. */
import type { Field } from './field.ts'
import { readReply } from './reply.ts'
import type { Conversation } from './types.ts'

export function readConversations(field: Field): Conversation[] | undefined {
  const read: { field: Field; conversation: Conversation }[] = []
  for (const item of field.list('conversations') ?? []) {
    const conversation = readConversation(item)
    if (conversation === undefined) continue
    const earlier = read.find(({ conversation: { match } }) => covers(match, conversation.match))
    if (earlier === undefined) read.push({ field: item, conversation })
    else
      item.say(`expected a conversation that a prompt can reach, found one that ${earlier.field.path} always answers before it; put the narrower match first`)
  }
  return read.map(({ conversation }) => conversation)
}

function readConversation(field: Field): Conversation | undefined {
  const keys = field.mapping(['match', 'replies'])
  if (keys === undefined) return undefined
  const replies = keys.get('replies')
  if (replies === undefined) field.mistake('the key replies', 'none')
  const match = keys.get('match')
  return {
    match: match === undefined ? undefined : (match.name() ?? ''),
    replies: replies?.list('replies')?.flatMap((item) => readReply(item) ?? []) ?? [],
  }
}

/** Whether every prompt that `later` answers is answered by `earlier`: matches win over a conversation without one, wherever it stands. */
function covers(earlier: string | undefined, later: string | undefined): boolean {
  if (later === undefined) return earlier === undefined
  return earlier !== undefined && earlier !== '' && later.includes(earlier)
}
