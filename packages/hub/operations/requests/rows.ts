/** The rows that a request makes before its operation begins: a machine that is asked for, a run that is queued. */
import { createHash } from 'node:crypto'
import { type AgentName, AutovibeError, type BudgetPolicy, type CheckpointId, type MachineLimits, type ProjectId, type RunId } from '@autovibe/contract'
import { machineName } from '@autovibe/core/machines/names.ts'
import { AGENT_WIRES } from '@autovibe/core/runs/agent-wires.ts'
import type { Tx } from '../../database/database.ts'
import { recordEvent } from '../../database/events.ts'
import type { Ports } from '../ports.ts'
import type { MachineRow } from '../steps/machine-state.ts'
import { projectChoices } from './project-choices.ts'

const NAME_ATTEMPTS_MAX = 8

export interface NewMachine {
  readonly projectId: ProjectId
  readonly name?: string | undefined
  readonly allowUnisolated: boolean
  readonly sourceSha256: string | null
  readonly from: CheckpointId | null
  readonly notice: string | null
  /** Left out: what the host allows. */
  readonly limits?: MachineLimits | undefined
}

export async function insertMachine({ runtime, tokenFor }: Ports, tx: Tx, machine: NewMachine): Promise<MachineRow> {
  const id = runtime.newId('machine')
  const name = machine.name ?? (await freeName(tx, () => runtime.randomBytes(4)))
  const row = await tx
    .insertInto('machines')
    .values({
      id,
      name,
      project_id: machine.projectId,
      state: 'requested',
      state_reason: null,
      substrate: null,
      isolation: null,
      copy_tier: null,
      source_sha256: machine.sourceSha256,
      parent_checkpoint_id: machine.from,
      head_checkpoint_id: machine.from,
      token_hash: createHash('sha256').update(tokenFor(id)).digest('hex'),
      allow_unisolated: machine.allowUnisolated,
      boot_id: null,
      registered_at: null,
      last_heartbeat_at: null,
      quiet_revision: null,
      notice: machine.notice,
      run_id: null,
      created_at: runtime.now(),
      destroyed_at: null,
      limits: machine.limits === undefined ? null : JSON.stringify(machine.limits),
    })
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: { code?: string; constraint?: string }) => {
      if (error.code === '23505' && error.constraint === 'machines_name_living')
        throw new AutovibeError('conflict.name_taken', `There is a machine named ${name} already.`, { fix: 'Choose another --name.' })
      throw error
    })
  await recordEvent(tx, runtime, {
    type: 'machine.state_changed',
    project_id: machine.projectId,
    machine_id: id,
    data: { name, from: null, to: 'requested', reason: null },
  })
  return row
}

async function freeName(tx: Tx, chance: () => Buffer): Promise<string> {
  for (let attempt = 0; attempt < NAME_ATTEMPTS_MAX; attempt++) {
    const name = machineName(chance(), attempt)
    const taken = await tx.selectFrom('machines').select('id').where('name', '=', name).where('destroyed_at', 'is', null).executeTakeFirst()
    if (!taken) return name
  }
  throw new AutovibeError('conflict.name_taken', 'No free machine name was found.', { fix: 'Give one with --name.' })
}

export interface NewRun {
  readonly prompt: string
  readonly agent: string
  readonly provider: string
  readonly model: string
  readonly check?: string | undefined
  readonly machine: MachineRow
  readonly resume: boolean
  readonly on_limit?: BudgetPolicy | undefined
  /** In nano-US-dollars, as a decimal string. */
  readonly hand_back?: string | undefined
}

export async function insertRun({ runtime }: Ports, tx: Tx, run: NewRun): Promise<RunId> {
  const { prompt, agent, provider, model, check, machine, resume } = run
  const id = runtime.newId('run')
  await tx
    .insertInto('runs')
    .values({
      id,
      project_id: machine.project_id,
      machine_id: machine.id,
      prompt,
      agent,
      provider,
      model,
      check_command: check ?? null,
      state: 'queued',
      state_reason: null,
      summary: null,
      check_result: null,
      agent_reported_cost: null,
      budget_id: null,
      on_limit: run.on_limit ?? null,
      hand_back: run.hand_back === undefined ? null : BigInt(run.hand_back),
      winding_down_at: null,
      resume,
      created_at: runtime.now(),
      started_at: null,
      ended_at: null,
    })
    .execute()
    .catch((error: { code?: string; constraint?: string }) => {
      if (error.code === '23505' && error.constraint === 'runs_one_open_per_machine')
        throw new AutovibeError('conflict.busy', `Machine ${machine.name} has a run that has not ended.`, { fix: `autovibe attach ${machine.name}` })
      throw error
    })
  await tx.updateTable('machines').set({ run_id: id }).where('id', '=', machine.id).execute()
  await recordEvent(tx, runtime, {
    type: 'run.created',
    project_id: machine.project_id,
    machine_id: machine.id,
    run_id: id,
    data: { prompt, agent, provider, model, check: check ?? null },
  })
  return id
}

/** Checks what a run needs before anything is made: an installed agent, a known provider of its wire with a key, a priced model, and isolation fit for a real agent. */
export async function resolveModel(
  { substrate, isAgentInstalled, isModelPriced }: Ports,
  tx: Tx,
  input: {
    project: string
    machine?: string | undefined
    agent: AgentName
    provider: string
    model?: string | undefined
    allow_unisolated: boolean
    budget: string
    hand_back?: string | undefined
  },
): Promise<{ model: string; simulated: boolean }> {
  if (BigInt(input.budget) === 0n)
    throw new AutovibeError('request.invalid', 'The budget must be above zero.', { fix: 'Give what the run may spend, for example --budget 2.00' })
  if (input.hand_back !== undefined && BigInt(input.hand_back) >= BigInt(input.budget))
    throw new AutovibeError('request.invalid', 'What is set aside for handing the work back must be less than the budget.', {
      fix: 'Give a smaller --hand-back.',
    })
  if (!(await isAgentInstalled(input.agent))) {
    throw new AutovibeError('agent.not_installed', `The agent ${input.agent} is not installed.`, { fix: `autovibe agent install ${input.agent}` })
  }
  const provider = await tx.selectFrom('providers').selectAll().where('name', '=', input.provider).executeTakeFirst()
  if (!provider) throw new AutovibeError('provider.unknown', `There is no provider ${input.provider}.`, { fix: 'autovibe provider list' })
  const spoken = AGENT_WIRES[input.agent]
  if (!spoken.includes(provider.wire)) {
    throw new AutovibeError(
      'request.invalid',
      `The agent ${input.agent} speaks the wire ${spoken.join(' or ')}, and the provider ${input.provider} speaks ${provider.wire}.`,
      { fix: 'Choose a --provider of that wire: autovibe provider list' },
    )
  }
  const model = input.model ?? provider.default_model
  const choices = await projectChoices(tx, input, model)
  if (!provider.key_sealed && !choices.hasOwnKey) {
    throw new AutovibeError('provider.key_missing', `The Hub has no key for ${input.provider}.`, {
      fix: `Set ANTHROPIC_API_KEY before autovibe run, or: autovibe provider set ${input.provider} --key-stdin`,
    })
  }
  if (choices.allowedModels && !choices.allowedModels.includes(model)) {
    throw new AutovibeError('model.not_allowed', `The project does not allow the model ${model}.`, {
      fix: `Use one that it allows: --model ${choices.allowedModels[0]}`,
    })
  }
  if (!choices.hasOwnPrice && !isModelPriced(provider.wire, model)) {
    throw new AutovibeError('model.unpriced', `The model ${model} has no known price, so its cost could not be bounded.`, {
      fix: `Use a model of the price list, for example --model ${provider.default_model}`,
    })
  }
  const { isolated, summary } = substrate.capabilities()
  if (!isolated && !provider.simulated && !input.allow_unisolated) {
    throw new AutovibeError('isolation.too_weak', `A real agent would run here with: ${summary}.`, {
      fix: 'autovibe doctor names what is missing; --allow-unisolated accepts the risk.',
    })
  }
  return { model, simulated: provider.simulated }
}
