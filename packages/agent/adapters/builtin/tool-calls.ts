/** Carries out the tool calls of one answer: all at once when none changes anything, else one after the other with a quiet point before what is risky. */
import type Anthropic from '@anthropic-ai/sdk'
import { log } from '../../log.ts'
import type { AgentHost } from '../adapter.ts'
import type { Block } from './repair.ts'
import { TOOLS, toolNamed } from './tools/registry.ts'
import { type Tool, ToolError, type ToolInput, type ToolResult, wordOf } from './tools/tool.ts'

export interface ToolRecord {
  readonly block: Block
  readonly name: string
  readonly summary: string
  readonly isError: boolean
  readonly changedFiles: boolean
  readonly durationMs: number
}

/** More calls than this in one answer are answered with an error. */
const CALLS_MAX = 100

/** The results in the order of the calls. Rejects only with the signal's reason. */
export async function executeTools(calls: readonly Anthropic.ToolUseBlockParam[], index: number, host: AgentHost): Promise<ToolRecord[]> {
  const isReadOnly = calls.every((call) => toolNamed(call.name)?.isReadOnly ?? true)
  if (isReadOnly && calls.length <= CALLS_MAX) return executeTogether(calls, index, host)
  const done: ToolRecord[] = []
  for (const [i, call] of calls.entries()) {
    if (call.name === 'shell') {
      await host.quietPoint({ kind: 'before-command', command: wordOf(inputOf(call), 'command'), filesChanged: done.some((one) => one.changedFiles) })
    }
    await host.gate.enter(host.signal)
    try {
      done.push(await executeOne(call, index, host, i < CALLS_MAX))
    } finally {
      host.gate.leave()
    }
  }
  return done
}

async function executeTogether(calls: readonly Anthropic.ToolUseBlockParam[], index: number, host: AgentHost): Promise<ToolRecord[]> {
  if (calls.length === 0) return []
  await host.gate.enter(host.signal)
  try {
    return await Promise.all(calls.map((call) => executeOne(call, index, host, true)))
  } finally {
    host.gate.leave()
  }
}

async function executeOne(call: Anthropic.ToolUseBlockParam, index: number, host: AgentHost, isWithinLimit: boolean): Promise<ToolRecord> {
  const tool = toolNamed(call.name)
  const input = inputOf(call)
  const summary = tool?.summary(input) ?? ''
  host.emit({ type: 'step.tool_started', index, name: call.name, summary })
  const startedAt = performance.now()
  const result = isWithinLimit ? await attempt(tool, call.name, input, host) : failure(`Not carried out: more than ${CALLS_MAX} calls in one answer.`)
  const durationMs = Math.round(performance.now() - startedAt)
  const isError = result.isError ?? false
  host.emit({ type: 'step.tool_finished', index, name: call.name, summary, isError, durationMs })
  const block: Block = { type: 'tool_result', tool_use_id: call.id, content: result.text, ...(isError ? { is_error: true } : {}) }
  return { block, name: call.name, summary, isError, changedFiles: result.changedFiles ?? false, durationMs }
}

/** A result in every case but a cancelled run: what goes wrong is the model's to know. */
async function attempt(tool: Tool | undefined, name: string, input: ToolInput, host: AgentHost): Promise<ToolResult> {
  if (!tool) return failure(`There is no tool "${name}". There are: ${TOOLS.map((known) => known.definition.name).join(', ')}.`)
  try {
    const result = await tool.run(input, { paths: host.paths, signal: host.signal })
    host.signal.throwIfAborted()
    return { ...result, text: result.text.replaceAll('\u0000', '').toWellFormed() }
  } catch (error) {
    host.signal.throwIfAborted()
    if (error instanceof ToolError) return failure(error.message)
    log('a tool broke', { tool: name, reason: error instanceof Error ? error.stack : String(error) })
    // It may have done a part of its work.
    return { ...failure(`The tool broke: ${error instanceof Error ? error.message : String(error)}`), changedFiles: !tool.isReadOnly }
  }
}

function failure(text: string): ToolResult {
  return { text, isError: true }
}

function inputOf(call: Anthropic.ToolUseBlockParam): ToolInput {
  const { input } = call
  return typeof input === 'object' && input !== null ? (input as ToolInput) : {}
}
