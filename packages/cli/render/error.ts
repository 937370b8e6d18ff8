/** An error for people: what, why, how to fix it. */
import type { AutovibeError } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { plain } from './text.ts'

export function renderError(error: AutovibeError, paint: Paint): string[] {
  const lines = [`${paint.red('✗')} ${plain(error.message)} ${paint.dim(`(${error.code})`)}`]
  const { errors = [] } = error
  // A single field of a request says what the message says.
  const isTold = error.code === 'apply.conflict' || (error.code === 'request.invalid' && errors.length === 1)
  if (!isTold) for (const { path, message } of errors.slice(0, 20)) lines.push(`  ${plain(path)}: ${plain(message)}`)
  if (error.fix !== undefined) lines.push(`  ${paint.bold('Fix:')} ${plain(error.fix)}`)
  else if (error.retryable) lines.push(`  ${paint.bold('Fix:')} try again in a moment`)
  return lines
}
