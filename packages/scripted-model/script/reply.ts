/** Reads one reply of a script. */
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { ERROR_TYPES } from '../wire/errors.ts'
import type { Field } from './field.ts'
import { NO_OVERRIDE, type Reply, type ScriptedError, type ScriptedTool, type UsageOverride } from './types.ts'

const KEYS = ['thinking', 'text', 'tools', 'stop_reason', 'usage', 'delay_ms', 'error', 'times', 'cut_after_events', 'ignore_max_tokens'] as const
const STOP_REASONS = ['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'pause_turn', 'refusal', 'model_context_window_exceeded'] as const

const DELAY_MS_MAX = 60_000
const TOKENS_MAX = 100_000_000
const TIMES_MAX = 1_000_000
const EVENTS_MAX = 1_000_000

export function readReply(field: Field): Reply | undefined {
  const keys = field.mapping(KEYS)
  if (keys === undefined) return undefined
  const reply: Reply = {
    thinking: keys.get('thinking')?.filledText(),
    text: keys.get('text')?.filledText(),
    tools:
      keys
        .get('tools')
        ?.list('tools')
        ?.flatMap((item) => readTool(item) ?? []) ?? [],
    stopReason: keys.get('stop_reason')?.oneOf(STOP_REASONS),
    usage: readUsage(keys.get('usage')),
    delayMs: keys.get('delay_ms')?.integer(0, DELAY_MS_MAX, ' milliseconds') ?? 0,
    error: readError(keys.get('error')),
    times: keys.get('times')?.integer(1, TIMES_MAX),
    cutAfterEvents: keys.get('cut_after_events')?.integer(0, EVENTS_MAX),
    ignoreMaxTokens: keys.get('ignore_max_tokens')?.boolean() ?? false,
  }
  checkTogether(field, keys, reply)
  return reply
}

/** What no key can tell alone. */
function checkTogether(field: Field, keys: ReadonlyMap<string, Field>, reply: Reply): void {
  const content = keys.has('text') || keys.has('thinking') || keys.has('tools')
  const error = keys.get('error')
  if (error !== undefined && keys.has('cut_after_events')) error.mistake('either error or cut_after_events', 'both')
  if (keys.has('times') && error === undefined && !keys.has('cut_after_events')) keys.get('times')?.mistake('error or cut_after_events beside times', 'neither')
  if (!content && error === undefined) field.mistake('at least one of text, thinking, tools, error', 'none')
  if (!content && error !== undefined && keys.has('times')) field.mistake('text, thinking or tools for the calls after the error', 'none')
  if (content && error !== undefined && !keys.has('times') && reply.error !== undefined && reply.error.afterEvents === undefined) {
    error.mistake('times beside an error of a reply that has content', 'none, so that the content would never be sent')
  }
  if (!content && reply.error?.afterEvents !== undefined) error?.mistake('text, thinking or tools to send before the error', 'none')
  if (reply.stopReason === 'tool_use' && !keys.has('tools')) keys.get('stop_reason')?.mistake('tools beside it', 'none')
}

function readTool(field: Field): ScriptedTool | undefined {
  const keys = field.mapping(['name', 'input'])
  if (keys === undefined) return undefined
  if (!keys.has('name')) field.mistake('the key name', 'none')
  const name = keys.get('name')?.name()
  return name === undefined ? undefined : { name, input: keys.get('input')?.json() ?? {} }
}

function readUsage(field: Field | undefined): UsageOverride {
  const keys = field?.mapping(['input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cache_creation'])
  if (keys === undefined) return NO_OVERRIDE
  const writes = keys.get('cache_creation')?.mapping(['ephemeral_5m_input_tokens', 'ephemeral_1h_input_tokens'])
  const tokens = (from: ReadonlyMap<string, Field> | undefined, key: string): number | undefined => from?.get(key)?.integer(0, TOKENS_MAX, ' tokens')
  return {
    input: tokens(keys, 'input_tokens'),
    output: tokens(keys, 'output_tokens'),
    cacheRead: tokens(keys, 'cache_read_input_tokens'),
    cacheWrite5m: tokens(writes, 'ephemeral_5m_input_tokens'),
    cacheWrite1h: tokens(writes, 'ephemeral_1h_input_tokens'),
  }
}

function readError(field: Field | undefined): ScriptedError | undefined {
  const keys = field?.mapping(['status', 'type', 'message', 'headers', 'after_events'])
  if (field === undefined || keys === undefined) return undefined
  if (!keys.has('status')) field.mistake('the key status', 'none')
  const status = keys.get('status')?.integer(400, 599)
  if (status === undefined) return undefined
  const type = keys.get('type')?.name() ?? ERROR_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  return {
    status,
    type,
    message: keys.get('message')?.filledText() ?? `Scripted ${type.replaceAll('_', ' ')}`,
    headers: readHeaders(keys.get('headers')),
    afterEvents: keys.get('after_events')?.integer(0, EVENTS_MAX),
  }
}

function readHeaders(field: Field | undefined): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of field?.anyMapping('a mapping of header names to texts') ?? []) {
    const text = value.text()
    if (text === undefined) continue
    try {
      validateHeaderName(name)
      validateHeaderValue(name, text)
      headers[name.toLowerCase()] = text
    } catch {
      value.mistake('a header that HTTP allows', `${JSON.stringify(name)}: ${JSON.stringify(text)}`)
    }
  }
  return headers
}
