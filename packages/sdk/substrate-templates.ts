/** The making of a template as it goes on: lines of JSON, read one by one; what it came to is the answer, and a failure is thrown. */
import { AutovibeError, type BuiltTemplate, TemplateEvent } from '@autovibe/contract'

export type TemplateProgress = Extract<TemplateEvent, { type: 'progress' }>
export type TemplateOutcome = { readonly template: BuiltTemplate } | { readonly removed: readonly string[] }

/** A line is a step, or a problem with its errors. */
const LINE_CHARACTERS_MOST = 256 * 1024

/** Rejects with what the Hub says went wrong, or `hub.unreachable` for an answer that was cut off. */
export async function readTemplateEvents(
  body: AsyncIterable<Uint8Array> | null,
  onProgress: (progress: TemplateProgress) => void,
  signal?: AbortSignal,
): Promise<TemplateOutcome> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const piece of body ?? []) {
      rest += decoder.decode(piece, { stream: true })
      const lines = rest.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const event = eventOf(line)
        if (event.type === 'done') return { template: event.template }
        if (event.type === 'abandoned') return { removed: event.removed }
        if (event.type === 'failed') throw AutovibeError.fromProblem(event.problem)
        onProgress(event)
      }
      if (rest.length > LINE_CHARACTERS_MOST) throw unreadable()
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof AutovibeError) throw error
    throw cutOff(error)
  }
  throw cutOff(undefined)
}

function eventOf(line: string): TemplateEvent {
  try {
    return TemplateEvent.parse(JSON.parse(line))
  } catch (cause) {
    throw unreadable(cause)
  }
}

const unreadable = (cause?: unknown): AutovibeError =>
  new AutovibeError('internal', 'The Hub told of the template in a way that this version does not understand.', {
    cause,
    fix: 'Use the command of the Hub’s own version.',
  })

const cutOff = (cause: unknown): AutovibeError =>
  new AutovibeError('hub.unreachable', 'The Hub broke off while it told of the template; what was begun stays on the cluster.', {
    cause,
    fix: 'The same command again goes on where it was.',
  })
