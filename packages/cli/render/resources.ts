/** Lists and single resources for people. */
import type { Checkpoint, Finding, Machine, Operation, Provider, Run } from '@autovibe/contract'
import { AUTOVIBE } from '../called.ts'
import type { Paint } from '../output.ts'
import { sharesOf } from './money.ts'
import { age, bytes, duration, plain, plural, table, truncate, usd } from './text.ts'

export interface MachineRow {
  readonly machine: Machine
  readonly run: Run | null
  readonly project: string
}

export function renderMachines(rows: readonly MachineRow[], nowMs: number, paint: Paint): string[] {
  if (rows.length === 0)
    return [
      'No machines. A run makes one, and the demo shows it without a key:',
      `  ${AUTOVIBE} run "PROMPT" --project PATH --budget 2.00`,
      `  ${AUTOVIBE} demo`,
    ]
  const [head = '', ...lines] = table(
    ['MACHINE', 'PROJECT', 'STATE', 'RUN', 'SPENT', 'STEPS', 'AGE', 'PROMPT OR REASON'],
    rows.map(({ machine, run, project }) => [
      machine.name,
      plain(project),
      machine.state,
      run?.state ?? '-',
      run ? spentOf(run) : '-',
      run ? String(run.steps) : '-',
      age(machine.created_at, nowMs),
      truncate(plain(whatItIsAt(machine, run)), 48),
    ]),
  )
  return [paint.bold(head), ...lines]
}

function spentOf(run: Run): string {
  const { spent, limit } = sharesOf(run)
  return `${spent}/${limit ?? 'none'}`
}

/** Why it failed, else what it was asked for. */
function whatItIsAt({ state, state_reason }: Machine, run: Run | null): string {
  if (state === 'failed' && state_reason !== null) return state_reason
  return run?.prompt ?? state_reason ?? '-'
}

/** As a tree where parents are in the list: a fork stands below what it came from. */
export function renderCheckpoints(checkpoints: readonly Checkpoint[], nowMs: number, paint: Paint): string[] {
  if (checkpoints.length === 0) return ['No checkpoints yet. They are made while a run works, or by:', `  ${AUTOVIBE} checkpoint create MACHINE`]
  const sorted = [...checkpoints].sort((a, b) => (a.id < b.id ? -1 : 1))
  const [head = '', ...lines] = table(
    ['CHECKPOINT', 'MACHINE', 'STEP', 'TRIGGER', 'STATE', 'FILES', 'SIZE', 'NEW', 'SPENT', 'AGE', 'LABEL'],
    sorted.map((checkpoint) => [
      checkpoint.id,
      checkpoint.machine_name,
      checkpoint.step === null ? '-' : String(checkpoint.step),
      checkpoint.trigger,
      `${checkpoint.state}${checkpoint.pinned ? ', pinned' : ''}`,
      checkpoint.files === null ? '-' : String(checkpoint.files),
      checkpoint.bytes === null ? '-' : bytes(checkpoint.bytes),
      checkpoint.new_bytes === null ? '-' : bytes(checkpoint.new_bytes),
      usd(checkpoint.spent),
      age(checkpoint.created_at, nowMs),
      checkpoint.label === null ? '' : plain(checkpoint.label),
    ]),
  )
  return [paint.bold(head), ...lines]
}

export function renderCheckpoint(checkpoint: Checkpoint, nowMs: number): string[] {
  const { tier } = checkpoint
  return fields([
    ['checkpoint', checkpoint.id],
    ['machine', checkpoint.machine_name],
    ['state', `${checkpoint.state}${checkpoint.state_reason === null ? '' : ` (${plain(checkpoint.state_reason)})`}`],
    ['pinned', checkpoint.pinned ? 'yes: it stays whatever the rules say' : 'no'],
    ['trigger', `${checkpoint.trigger}${checkpoint.step === null ? '' : ` at step ${checkpoint.step}`}`],
    ['label', checkpoint.label === null ? '-' : plain(checkpoint.label)],
    ['made', `${age(checkpoint.created_at, nowMs)} ago`],
    ['parent', checkpoint.parent_id ?? '-'],
    [
      'files',
      checkpoint.files === null ? '-' : `${plural(checkpoint.files, 'file')}, ${bytes(checkpoint.bytes ?? 0)} (${bytes(checkpoint.new_bytes ?? 0)} new)`,
    ],
    ['consistency', checkpoint.consistency ?? '-'],
    ['manifest', checkpoint.manifest_sha256 ?? '-'],
    ['spent then', usd(checkpoint.spent)],
    ['taken on', tier ? `${tier.substrate} ${tier.isolation} ${tier.copy}` : '-'],
  ])
}

/** `names` are those of the machines, by id. */
export function renderOperations(operations: readonly Operation[], names: ReadonlyMap<string, string>, nowMs: number, paint: Paint): string[] {
  const [head = '', ...lines] = table(
    ['OPERATION', 'KIND', 'STATE', 'STEP', 'MACHINE', 'AGE'],
    operations.map((operation) => [
      operation.id,
      operation.kind,
      operation.state,
      currentStep(operation),
      operation.machine_id === null ? '-' : (names.get(operation.machine_id) ?? operation.machine_id),
      age(operation.created_at, nowMs),
    ]),
  )
  return [paint.bold(head), ...lines]
}

export function renderOperation(operation: Operation, nowMs: number, paint: Paint): string[] {
  const marks: Record<string, string> = {
    waiting: '·',
    running: '…',
    done: paint.green('✓'),
    failed: paint.red('✗'),
    undoing: paint.yellow('↶'),
    undone: paint.yellow('↶'),
  }
  return [
    ...fields([
      ['operation', operation.id],
      ['kind', operation.kind],
      ['state', operation.state + (operation.cancel_requested && operation.ended_at === null ? ' (cancel requested)' : '')],
      ['machine', operation.machine_id ?? '-'],
      ['run', operation.run_id ?? '-'],
      ['begun', `${age(operation.created_at, nowMs)} ago`],
    ]),
    ...operation.steps.map((step) => {
      const took = step.started_at !== null && step.ended_at !== null ? duration(Date.parse(step.ended_at) - Date.parse(step.started_at)) : ''
      return `  ${marks[step.state] ?? '?'} ${step.name} ${paint.dim(`${step.kind}, ${step.state}${step.attempts > 1 ? `, ${step.attempts} attempts` : ''}${took === '' ? '' : `, ${took}`}`)}`
    }),
    // A Hub of an earlier version says nothing of it.
    ...(operation.waits_for ? [`${paint.bold('waits')}  ${plain(operation.waits_for)}`] : []),
    ...(operation.error
      ? [
          `${paint.red('error')}  ${plain(operation.error.message)} (${operation.error.code})`,
          ...(operation.error.fix === null ? [] : [`${paint.bold('fix')}    ${plain(operation.error.fix)}`]),
        ]
      : []),
  ]
}

export function renderProviders(providers: readonly Provider[], paint: Paint): string[] {
  if (providers.length === 0) return ['No providers. Set one up:', `  ${AUTOVIBE} provider set anthropic`]
  const [head = '', ...lines] = table(
    ['PROVIDER', 'WIRE', 'KEY', 'MODEL', 'COSTS', 'ADDRESS'],
    providers.map((provider) => [
      provider.name,
      provider.wire,
      provider.has_key ? 'yes' : 'no',
      provider.default_model,
      provider.simulated ? 'simulated' : 'real',
      provider.base_url,
    ]),
  )
  return [paint.bold(head), ...lines]
}

export function renderFindings(findings: readonly Finding[], paint: Paint): string[] {
  const marks = { ok: paint.green('✓'), warning: paint.yellow('!'), failed: paint.red('✗') }
  return findings.flatMap((finding) => [
    `${marks[finding.status]} ${finding.area}: ${plain(finding.name)} ${paint.dim(plain(finding.detail))}`,
    ...(finding.fix !== null && finding.status !== 'ok' ? [`    ${paint.bold('Fix:')} ${plain(finding.fix)}`] : []),
  ])
}

export function fields(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`)
}

function currentStep(operation: Operation): string {
  if (operation.ended_at !== null) return '-'
  return (
    operation.steps.find((step) => step.state === 'running' || step.state === 'undoing')?.name ??
    operation.steps.find((step) => step.state === 'waiting')?.name ??
    '-'
  )
}
