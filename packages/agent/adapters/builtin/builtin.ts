/** The builtin agent: a conversation with a model that has six tools, kept in the machine's tree after every message. */
import type Anthropic from '@anthropic-ai/sdk'
import type { Adapter, AgentHost, Outcome, RunOrder } from '../adapter.ts'
import { Closing } from './closing.ts'
import { Conversation, inside } from './conversation.ts'
import { type Model, modelOver } from './model.ts'
import type { Block } from './repair.ts'
import { requestOf } from './request.ts'
import { executeTools, type ToolRecord } from './tool-calls.ts'

/** How often in a row an answer that was cut off by its length is continued. */
const CONTINUATIONS_MAX = 3

const GO_ON = 'Your answer was cut off by its length limit. Go on exactly where it stopped; write long files in several smaller pieces.'

export const builtin: Adapter = {
  name: 'builtin',
  run: async (order, host) => {
    const model = modelOver(host.paths.socket, host.token)
    try {
      const conversation = await openFor(order, host)
      return await converse(order, host, model, conversation)
    } catch (error) {
      if (host.signal.aborted) return ended('cancelled', null, null)
      throw error
    } finally {
      await model.close()
    }
  },
}

/** The conversation with the order in it, once: a restart of the same run does not give the order again. */
async function openFor(order: RunOrder, host: AgentHost): Promise<Conversation> {
  const conversation = await Conversation.open(host.paths.home, order.id, order.resume)
  const own = conversation.entries.filter((entry) => entry.run_id === order.id)
  const notice = own.some((entry) => entry.notice === order.notice) ? null : order.notice
  const content: Block[] = []
  if (notice !== null) content.push({ type: 'text', text: `<notice>\n${notice}\n</notice>` })
  if (own.length === 0) content.push({ type: 'text', text: order.prompt })
  if (content.length === 0) return conversation
  await inside(host, () =>
    conversation.append({
      at: now(),
      run_id: order.id,
      step: lastStep(conversation, order),
      message: { role: 'user', content },
      ...(notice === null ? {} : { notice }),
    }),
  )
  return conversation
}

async function converse(order: RunOrder, host: AgentHost, model: Model, conversation: Conversation): Promise<Outcome> {
  const closing = new Closing(order, host, conversation)
  const finished = finishedBefore(conversation, order)
  if (finished !== undefined) return ended('succeeded', null, finished)
  await closing.begin(lastStep(conversation, order) + 1)
  let continuations = 0
  for (let index = lastStep(conversation, order) + 1; index <= order.max_steps; index++) {
    await closing.resume(index)
    await tellOfMoney(order, host, conversation, index)
    host.emit({ type: 'step.started', index })
    const answer = await callModel(order, host, model, conversation, closing, index)
    if (typeof answer === 'string') return ended('failed', answer, null)
    const isCut = answer.stop_reason === 'max_tokens'
    const content = withoutHalfCall(answer)
    const text = textOf(answer)
    if (text !== '') host.emit({ type: 'run.message', text })
    const calls = content.filter((block): block is Anthropic.ToolUseBlockParam => block.type === 'tool_use')
    const isLast = closing.isLast(calls.length > 0)
    await inside(host, () =>
      conversation.append({
        at: now(),
        run_id: order.id,
        step: index,
        message: { role: 'assistant', content },
        stop_reason: answer.stop_reason,
        ...(isLast ? { closing: true } : {}),
      }),
    )
    const done = isLast ? [] : await executeTools(calls, index, host)
    host.emit({ type: 'step.finished', step: { index, model: answer.model, message_id: answer.id, text, tools: done.map(recordOf) } })
    if (isLast) {
      await closing.handBack(text)
      continue
    }
    continuations = isCut ? continuations + 1 : 0
    if (calls.length > 0 || (isCut && continuations <= CONTINUATIONS_MAX)) {
      const results: Block[] = [...done.map((one) => one.block), ...(isCut ? [{ type: 'text', text: GO_ON } as const] : [])]
      await inside(host, () => conversation.append({ at: now(), run_id: order.id, step: index, message: { role: 'user', content: results } }))
    }
    await host.quietPoint({ kind: 'step-ended', filesChanged: done.some((one) => one.changedFiles) })
    const outcome = afterAnswer(answer, calls.length > 0, continuations, text)
    if (outcome) return outcome
  }
  return ended('failed', `The run stopped after ${order.max_steps} steps, which is all that it may take.`, null)
}

/** What is new of the money, as a message that the next call reads. */
async function tellOfMoney(order: RunOrder, host: AgentHost, conversation: Conversation, step: number): Promise<void> {
  const notice = host.moneyNotice()
  if (notice === null) return
  const content: Block[] = [{ type: 'text', text: `<notice>\n${notice}\n</notice>` }]
  await inside(host, () => conversation.append({ at: now(), run_id: order.id, step: step - 1, message: { role: 'user', content } }))
}

/** The answer, or the reason why there is none. Waits while the gate is held and while the money is out, and winds the work down where that is to be done. */
async function callModel(
  order: RunOrder,
  host: AgentHost,
  model: Model,
  conversation: Conversation,
  closing: Closing,
  index: number,
): Promise<Anthropic.Message | string> {
  for (;;) {
    await host.gate.pass(host.signal)
    const refusal = await host.moneyRefusal()
    const result =
      refusal === null
        ? await model.call(requestOf(order.model, conversation.messages()), index === 1, host.signal)
        : ({ kind: 'money', reason: refusal } as const)
    if (result.kind === 'message') return result.message
    if (result.kind === 'refused') return result.reason
    if (!(await closing.onMoneyOut(result.reason, index))) await host.moneyOut(result.reason)
  }
}

/** What the model's stop means for the run; undefined to go on. */
function afterAnswer(answer: Anthropic.Message, hadCalls: boolean, continuations: number, text: string): Outcome | undefined {
  switch (answer.stop_reason) {
    case 'refusal':
      return ended('failed', 'The model refused to go on.', text)
    case 'model_context_window_exceeded':
      return ended('failed', "The conversation no longer fits into the model's context.", text)
    case 'max_tokens':
      return continuations > CONTINUATIONS_MAX
        ? ended('failed', `The model's answer was cut off by its length ${continuations} times in a row.`, text)
        : undefined
    case 'pause_turn':
      return undefined
    default:
      return hadCalls ? undefined : ended('succeeded', null, text)
  }
}

/** The closing words, when this very run had ended and only the report of it was lost. */
function finishedBefore(conversation: Conversation, order: RunOrder): string | undefined {
  const last = conversation.entries.at(-1)
  if (last?.run_id !== order.id || last.message.role !== 'assistant' || last.closing) return undefined
  if (last.stop_reason !== 'end_turn' && last.stop_reason !== 'stop_sequence') return undefined
  const blocks = typeof last.message.content === 'string' ? [] : last.message.content
  return blocks.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('\n')
}

/** A tool call at the very end of an answer that was cut off is not whole. An answer must not be empty, or the API refuses the conversation. */
function withoutHalfCall(answer: Anthropic.Message): Block[] {
  const blocks = answer.content as Block[]
  const whole = answer.stop_reason === 'max_tokens' && blocks.at(-1)?.type === 'tool_use' ? blocks.slice(0, -1) : blocks
  const kept = whole.filter((block) => block.type !== 'text' || block.text.trim() !== '')
  return kept.length > 0 ? kept : [{ type: 'text', text: '(no words)' }]
}

function lastStep(conversation: Conversation, order: RunOrder): number {
  return conversation.entries.reduce((most, entry) => (entry.run_id === order.id ? Math.max(most, entry.step) : most), 0)
}

function textOf(answer: Anthropic.Message): string {
  return answer.content
    .flatMap((block) => (block.type === 'text' ? [block.text] : []))
    .join('\n')
    .trim()
}

function recordOf(done: ToolRecord): { name: string; summary: string; is_error: boolean; duration_ms: number } {
  return { name: done.name, summary: done.summary, is_error: done.isError, duration_ms: done.durationMs }
}

function ended(state: Outcome['state'], reason: string | null, summary: string | null): Outcome {
  return { state, reason, summary: summary === '' ? null : summary, agentReportedCostNanoUsd: null }
}

function now(): string {
  return new Date().toISOString()
}
