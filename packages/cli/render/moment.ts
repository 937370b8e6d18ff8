/** One moment of a run as lines for people. */
import type { Checkpoint, CheckResult, Step } from '@autovibe/contract'
import type { Moment } from '../follow/moments.ts'
import type { Paint } from '../output.ts'
import { bytes, count, duration, plain, plainBlock, plural, truncate, usd } from './text.ts'

export function renderMoment(moment: Moment, paint: Paint): string[] {
  switch (moment.type) {
    case 'operation_step': {
      const took = moment.duration_ms === null ? '' : paint.dim(` ${duration(moment.duration_ms)}`)
      if (moment.state === 'done') return [`${paint.green('✓')} ${plain(moment.kind)}: ${plain(moment.name)}${took}`]
      return [`${paint.yellow('↶')} ${plain(moment.kind)}: ${plain(moment.name)} ${moment.state}${took}`]
    }
    case 'operation_ended':
      return moment.state === 'done' ? [] : [`${paint.red('✗')} ${plain(moment.kind)} ${moment.state}${moment.error ? `: ${plain(moment.error.message)}` : ''}`]
    case 'tool_started':
      return []
    case 'step_finished':
      return renderStep(moment.step, moment.spent, moment.limit, paint)
    case 'checkpoint':
      return [renderCheckpointLine(moment.checkpoint, paint)]
    case 'check_finished':
      return renderCheck(moment.check, paint)
    case 'run_state':
      if (moment.state === 'queued') return []
      if (moment.state === 'running') return [paint.dim('the agent is at work')]
      return [
        `${moment.state === 'succeeded' ? paint.green('✓') : moment.state === 'paused' ? paint.yellow('‖') : paint.red('✗')} run ${moment.state}${moment.reason === null ? '' : `: ${plain(moment.reason)}`}`,
      ]
    case 'notice':
      return [`${paint.yellow('!')} ${moment.text}`]
    case 'hub_lost':
      return [`${paint.yellow('!')} The Hub went away; reconnecting. The run goes on when it is back. ${paint.dim(`(${plain(moment.reason)})`)}`]
    case 'hub_back':
      return [`${paint.green('✓')} The Hub is back.`]
  }
}

export function renderStep(step: Step, spent: string, limit: string, paint: Paint): string[] {
  const input = BigInt(step.input_tokens) + BigInt(step.cache_read_tokens) + BigInt(step.cache_write_tokens)
  const cached = BigInt(step.cache_read_tokens) > 0n ? `, ${count(step.cache_read_tokens)} cached` : ''
  const money = `${usd(step.cost)} ${paint.dim(`(${usd(spent)} of ${usd(limit)})`)}`
  const lines = [`${paint.bold(`step ${step.index}`)}  ${plain(step.model)}  ${count(input)} in${cached}, ${count(step.output_tokens)} out  ${money}`]
  const words = plain(step.text)
  if (words !== '') lines.push(`  ${paint.dim(truncate(words, 160))}`)
  for (const tool of step.tools)
    lines.push(
      `  ${tool.is_error ? paint.red('✗') : paint.green('✓')} ${plain(tool.name)} ${truncate(plain(tool.summary), 120)} ${paint.dim(duration(tool.duration_ms))}`,
    )
  return lines
}

export function renderCheckpointLine(checkpoint: Checkpoint, paint: Paint): string {
  const label = checkpoint.label === null ? '' : ` "${plain(checkpoint.label)}"`
  const what = `checkpoint ${checkpoint.id} ${checkpoint.trigger}${label}`
  if (checkpoint.state !== 'verified')
    return `  ${paint.red('✗')} ${what} ${checkpoint.state}${checkpoint.state_reason === null ? '' : `: ${plain(checkpoint.state_reason)}`}`
  const size =
    checkpoint.files === null ? '' : ` ${plural(checkpoint.files, 'file')}${checkpoint.new_bytes === null ? '' : `, ${bytes(checkpoint.new_bytes)} new`}`
  return `  ${paint.cyan('●')} ${what} ${paint.dim(`verified${size}${checkpoint.consistency === 'fuzzy' ? ', a file was open for writing' : ''}`)}`
}

export function renderCheck(check: CheckResult, paint: Paint): string[] {
  const took = paint.dim(duration(check.duration_ms))
  if (check.exit_code === 0) return [`${paint.green('✓')} check ${paint.bold(plain(check.command))} passed ${took}`]
  const how = check.exit_code === null ? 'did not end' : `failed with exit code ${check.exit_code}`
  const tail = plainBlock(check.output).trimEnd().split('\n').slice(-15)
  return [`${paint.red('✗')} check ${paint.bold(plain(check.command))} ${how} ${took}`, ...tail.map((line) => paint.dim(`  │ ${line}`))]
}
