/** What an agent tells, in the form and within the limits of the door. */
import type { MachineEvent } from '@autovibe/contract'
import type { AgentEvent } from '../adapters/adapter.ts'
import { clip, fitStep, oneLine } from './text.ts'

/** The `data` of the machine event of the same type. */
export function dataOf(event: AgentEvent): MachineEvent['data'] {
  switch (event.type) {
    case 'step.started':
      return { index: event.index }
    case 'step.tool_started':
      return { index: event.index, name: oneLine(event.name), summary: oneLine(event.summary) }
    case 'step.tool_finished':
      return {
        index: event.index,
        name: oneLine(event.name),
        summary: oneLine(event.summary),
        is_error: event.isError,
        duration_ms: Math.round(event.durationMs),
      }
    case 'step.finished':
      return { ...fitStep(event.step) }
    case 'run.message':
      return { text: clip(event.text, 16_000) }
  }
}
