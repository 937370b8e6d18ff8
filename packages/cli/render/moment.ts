/** One moment of a run as lines for people. */
import type { Checkpoint, CheckResult } from '@autovibe/contract'
import { AUTOVIBE } from '../called.ts'
import type { Moment } from '../follow/moments.ts'
import { isForMoney } from '../follow/money-out.ts'
import type { Paint } from '../output.ts'
import { renderCostChange, renderStep } from './step.ts'
import { bytes, duration, plain, plainBlock, plural } from './text.ts'

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
    case 'step_interrupted':
      return renderStep(moment, paint)
    case 'cost_changed':
      return renderCostChange(moment, paint)
    case 'checkpoint':
      return [renderCheckpointLine(moment.checkpoint, paint)]
    case 'check_finished':
      return renderCheck(moment.check, paint)
    case 'run_state':
      if (moment.state === 'queued') return []
      if (moment.state === 'running') return [paint.dim('the agent is at work')]
      // The whole sentence stands in the closing words, beside its remedy.
      if (moment.state === 'paused' && isForMoney(moment.reason)) return [`${paint.yellow('‖')} run paused: out of budget`]
      return [
        `${moment.state === 'succeeded' ? paint.green('✓') : moment.state === 'paused' ? paint.yellow('‖') : paint.red('✗')} run ${moment.state}${moment.reason === null ? '' : `: ${plain(moment.reason)}`}`,
      ]
    case 'notice':
      if (moment.event === 'budget.exhausted' || moment.code?.startsWith('budget.')) return []
      return [`${paint.yellow('!')} ${moment.text}`]
    case 'hub_lost':
      return [`${paint.yellow('!')} The Hub went away; waiting for it. If it was stopped: ${AUTOVIBE} up ${paint.dim(`(${plain(moment.reason)})`)}`]
    case 'hub_back':
      return [`${paint.green('✓')} The Hub is back.`]
  }
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
  const output = plainBlock(check.output).trimEnd()
  const tail = output === '' ? [] : output.split('\n').slice(-15)
  return [`${paint.red('✗')} check ${paint.bold(plain(check.command))} ${how} ${took}`, ...tail.map((line) => paint.dim(`  │ ${line}`))]
}
