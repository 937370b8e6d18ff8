/** One stored event as a line, for logs. */
import type { Event } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { plain, truncate } from './text.ts'

export function renderEvent(event: Event, paint: Paint): string {
  const subject = event.run_id ?? event.checkpoint_id ?? event.operation_id ?? event.machine_id ?? event.project_id ?? ''
  const data = Object.entries(event.data)
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `${plain(name)}=${truncate(plain(typeof value === 'object' ? JSON.stringify(value) : String(value)), 100)}`)
    .join(' ')
  return `${paint.dim(event.at)} ${paint.bold(plain(event.type))} ${subject} ${paint.dim(truncate(data, 300))}`.trimEnd()
}
