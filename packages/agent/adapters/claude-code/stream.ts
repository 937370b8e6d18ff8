/** Maps the lines of Claude Code's stream-json to our steps and events. Reads only what it knows; a line it does not know means nothing. */

import { oneLine } from '../../run/text.ts'
import type { AgentEvent } from '../adapter.ts'
import { nanoUsdOf } from './cost.ts'

export type Happening =
  | { readonly kind: 'event'; readonly event: AgentEvent }
  | { readonly kind: 'session'; readonly id: string }
  | { readonly kind: 'tool-opened'; readonly command: string | null }
  /** `result`: the call whose result the main conversation was told; null for a sub-agent's, and for one that has none. */
  | { readonly kind: 'tool-closed'; readonly result: string | null }
  | { readonly kind: 'step-ended'; readonly index: number; readonly filesChanged: boolean }
  | { readonly kind: 'result'; readonly result: Result }

export interface Result {
  readonly isError: boolean
  readonly text: string | null
  /** Of the whole session, earlier invocations included (seen with 2.1.330); null when it is not told. */
  readonly totalNanoUsd: bigint | null
  readonly problem: ApiProblem | null
}

export interface ApiProblem {
  readonly status: number | null
  readonly type: string | null
  readonly text: string
}

interface Step {
  readonly index: number
  readonly model: string
  readonly messageId: string
  text: string
  readonly tools: { id: string; name: string; summary: string; isError: boolean; durationMs: number | null; readonly startedAtMs: number }[]
  isStopped: boolean
}

/** A stream that opens more than this without ending any is not Claude Code's. */
const OPEN_STEPS_MAX = 64
const TOOLS_MAX = 100
/** More than the door takes of one step. */
const TEXT_MAX = 32_000

/** Tools that change no files. */
const READ_ONLY = new Set([
  'Read',
  'Glob',
  'Grep',
  'LS',
  'TodoWrite',
  'WebFetch',
  'WebSearch',
  'ToolSearch',
  'NotebookRead',
  'ListAgents',
  'BashOutput',
  'TaskOutput',
])

type Fields = Readonly<Record<string, unknown>>

export class StreamReader {
  readonly #nowMs: () => number
  /** By message id, in the order in which they began. */
  readonly #open = new Map<string, Step>()
  /** The newest message of the main conversation (empty key) and of each sub-agent: a new one means that the one before is whole. */
  readonly #newest = new Map<string, string>()
  #index: number
  #problem: ApiProblem | null = null
  #out: Happening[] = []

  constructor(lastIndex: number, nowMs: () => number) {
    this.#index = lastIndex
    this.#nowMs = nowMs
  }

  /** What one parsed line means. */
  read(line: unknown): Happening[] {
    this.#out = []
    const fields = fieldsOf(line)
    switch (fields['type']) {
      case 'system':
        if (fields['subtype'] === 'init' && typeof fields['session_id'] === 'string')
          this.#out.push({ kind: 'session', id: fields['session_id'].slice(0, 200) })
        break
      case 'stream_event':
        this.#streamEvent(fieldsOf(fields['event']), parentOf(fields))
        break
      case 'assistant':
        this.#assistant(fields)
        break
      case 'user':
        for (const block of blocksOf(fields['message']))
          if (block['type'] === 'tool_result') this.#closeTool(String(block['tool_use_id']), block['is_error'] === true, parentOf(fields) === '')
        break
      case 'result':
        this.#finishAll()
        this.#out.push({ kind: 'result', result: this.#resultOf(fields) })
        break
    }
    return this.#out
  }

  /** The process is gone: what is still open ends now. */
  end(): Happening[] {
    this.#out = []
    this.#finishAll()
    return this.#out
  }

  #streamEvent(event: Fields, parent: string): void {
    if (event['type'] === 'message_start') {
      const message = fieldsOf(event['message'])
      if (typeof message['id'] === 'string') this.#stepOf(message['id'], message, parent)
    }
    if (event['type'] === 'message_stop') this.#stop(this.#newest.get(parent))
  }

  #assistant(line: Fields): void {
    const message = fieldsOf(line['message'])
    const text = blocksOf(message)
      .flatMap((block) => (block['type'] === 'text' ? [String(block['text'])] : []))
      .join('\n')
    if (message['model'] === '<synthetic>' || line['is_api_error_message'] === true) {
      if (line['is_api_error_message'] === true)
        this.#problem = { status: numberOrNull(line['api_error_status']), type: textOrNull(line['api_error_type']), text }
      return
    }
    if (typeof message['id'] !== 'string') return
    this.#problem = null
    const step = this.#stepOf(message['id'], message, parentOf(line))
    if (text !== '') {
      step.text = (step.text === '' ? text : `${step.text}\n${text}`).slice(0, TEXT_MAX)
      this.#out.push({ kind: 'event', event: { type: 'run.message', text } })
    }
    for (const block of blocksOf(message)) if (block['type'] === 'tool_use') this.#openTool(step, block)
  }

  #stepOf(messageId: string, message: Fields, parent: string): Step {
    const known = this.#open.get(messageId)
    if (known) return known
    this.#stop(this.#newest.get(parent))
    if (this.#newest.size < OPEN_STEPS_MAX || this.#newest.has(parent)) this.#newest.set(parent, messageId)
    const oldest = this.#open.values().next().value
    if (oldest && this.#open.size >= OPEN_STEPS_MAX) this.#finish(oldest)
    const step: Step = { index: ++this.#index, model: String(message['model'] ?? ''), messageId, text: '', tools: [], isStopped: false }
    this.#open.set(messageId, step)
    this.#out.push({ kind: 'event', event: { type: 'step.started', index: step.index } })
    return step
  }

  #openTool(step: Step, block: Fields): void {
    if (step.tools.length >= TOOLS_MAX) return
    const name = String(block['name'])
    const input = fieldsOf(block['input'])
    const summary = summaryOf(input)
    step.tools.push({ id: String(block['id']), name, summary, isError: false, durationMs: null, startedAtMs: this.#nowMs() })
    this.#out.push({ kind: 'event', event: { type: 'step.tool_started', index: step.index, name, summary } })
    this.#out.push({ kind: 'tool-opened', command: name === 'Bash' && typeof input['command'] === 'string' ? input['command'] : null })
  }

  #closeTool(id: string, isError: boolean, isMain: boolean): void {
    for (const step of this.#open.values()) {
      const tool = step.tools.find((candidate) => candidate.id === id && candidate.durationMs === null)
      if (!tool) continue
      tool.durationMs = this.#nowMs() - tool.startedAtMs
      tool.isError = isError
      this.#out.push({
        kind: 'event',
        event: { type: 'step.tool_finished', index: step.index, name: tool.name, summary: tool.summary, isError, durationMs: tool.durationMs },
      })
      this.#out.push({ kind: 'tool-closed', result: isMain ? id : null })
      this.#finishIfDone(step)
      return
    }
  }

  #stop(messageId: string | undefined): void {
    const step = messageId === undefined ? undefined : this.#open.get(messageId)
    if (!step) return
    step.isStopped = true
    this.#finishIfDone(step)
  }

  #finishIfDone(step: Step): void {
    if (step.isStopped && step.tools.every((tool) => tool.durationMs !== null)) this.#finish(step)
  }

  #finishAll(): void {
    for (const step of [...this.#open.values()]) this.#finish(step)
    this.#newest.clear()
  }

  #finish(step: Step): void {
    this.#open.delete(step.messageId)
    for (const tool of step.tools) {
      if (tool.durationMs !== null) continue
      // Its result was never told.
      tool.durationMs = this.#nowMs() - tool.startedAtMs
      tool.isError = true
      this.#out.push({ kind: 'tool-closed', result: null })
    }
    const tools = step.tools.map((tool) => ({ name: tool.name, summary: tool.summary, is_error: tool.isError, duration_ms: Math.round(tool.durationMs ?? 0) }))
    this.#out.push({
      kind: 'event',
      event: { type: 'step.finished', step: { index: step.index, model: step.model, message_id: step.messageId, text: step.text, tools } },
    })
    this.#out.push({ kind: 'step-ended', index: step.index, filesChanged: step.tools.some((tool) => !READ_ONLY.has(tool.name)) })
  }

  #resultOf(fields: Fields): Result {
    const cost = fields['total_cost_usd']
    return {
      isError: fields['is_error'] === true || fields['subtype'] !== 'success',
      text: textOrNull(fields['result']),
      totalNanoUsd: typeof cost === 'string' ? (nanoUsdOf(cost) ?? null) : null,
      problem: this.#problem,
    }
  }
}

function summaryOf(input: Fields): string {
  for (const name of ['command', 'file_path', 'notebook_path', 'pattern', 'path', 'description', 'query', 'url', 'prompt']) {
    const value = input[name]
    if (typeof value === 'string') return oneLine(value)
  }
  return ''
}

function parentOf(line: Fields): string {
  return textOrNull(line['parent_tool_use_id']) ?? ''
}

function blocksOf(message: unknown): Fields[] {
  const { content } = fieldsOf(message)
  return Array.isArray(content) ? content.map(fieldsOf) : []
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
