/** A prompt in, a change out: checks everything first, imports the checkout, starts the run and follows it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type AgentName, AutovibeError, type CreateRun, type MachineLimitsChange, type Provider } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import { agentName } from '../agent-names.ts'
import { type AtLimit, readAtLimit, readBudget } from '../amounts.ts'
import type { Action } from '../commands/define.ts'
import type { RunOptions } from '../commands/run.ts'
import type { Context } from '../context.ts'
import { openRepository, quote, type Repository } from '../git/repository.ts'
import { goOnWith, type Said } from '../go-on.ts'
import { checkName, type Imported, importCheckout, projectName } from '../importing.ts'
import { readLimits } from '../limits.ts'
import { findHub, remoteHub } from '../local/hub-process.ts'
import { readStdin } from '../local/stdin.ts'
import { bytes, duration, plural, usd } from '../render/text.ts'
import { isTooWeak, tierMeaning } from '../render/tiers.ts'
import { lastRun, resolveMachine } from '../resolve.ts'
import { wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'
import { followToEnd } from './following.ts'

const LONGEST_PROMPT = 200_000

interface Wish {
  readonly prompt: string
  readonly budget: string
  readonly budgetOrigin: string
  readonly atLimit: AtLimit
  readonly said: Said
  readonly check: string | undefined
  readonly from: string | undefined
  readonly repository: Repository | undefined
  readonly limits: MachineLimitsChange
}

export const run: Action<RunOptions> = async (context, [words = ''], options) => {
  const wish = await readWish(context, words, options)
  await requireKeySomewhere(context, goOnWith(wish.said, undefined).provider)
  const { client, startedMs } = await context.ensureHub()
  const { out, signal } = context
  if (startedMs !== null) out.note(`${out.paint.green('✓')} Hub started in ${duration(startedMs)}.`)
  // Before its provider is looked at: without the machine nobody knows which one is meant.
  const machine = options.machine === undefined ? undefined : await resolveMachine(client, options.machine, { signal })
  const chosen = goOnWith(wish.said, machine && (await lastRun(client, machine, { signal })))
  await requireAgent(client, chosen.agent, signal)
  const provider = await provideKey(context, client, chosen.provider)
  const { tier } = await client.hub.info({ signal })
  // The Hub refuses it too, but only once the checkout has been copied.
  if (isTooWeak(tier) && !provider.simulated && options.allowUnisolated !== true)
    throw new AutovibeError('isolation.too_weak', `A real agent would run here with: ${tierMeaning(tier)}.`, {
      fix: 'autovibe doctor names what is missing; --allow-unisolated accepts the risk.',
    })
  const from = wish.from === undefined ? undefined : ((await wholeId(client, wish.from, { signal })) as NonNullable<CreateRun['from_checkpoint']>)
  const place = machine ? { project: machine.project_id, machine: machine.id } : await importProject(context, client, wish, options)
  const { run, operation_id } = await client.runs.create(
    {
      ...place,
      prompt: wish.prompt,
      agent: chosen.agent,
      provider: chosen.provider,
      budget: wish.budget,
      ...wish.atLimit,
      allow_unisolated: options.allowUnisolated === true,
      ...(chosen.model === undefined ? {} : { model: chosen.model }),
      ...(wish.check === undefined ? {} : { check: wish.check }),
      ...(from === undefined ? {} : { from_checkpoint: from }),
      ...(Object.keys(wish.limits).length === 0 ? {} : { limits: wish.limits }),
    },
    { signal },
  )
  out.note(
    `${out.paint.bold(run.machine_name)}  ${run.agent}, ${run.model}, at most ${usd(run.limit)}${wish.budgetOrigin.startsWith('--') ? '' : ` (from ${wish.budgetOrigin})`}`,
  )
  out.note(`Isolation: ${tierMeaning(tier)}`)
  if (options.detach === true) {
    out.answer({ type: 'created', run, operation_id, next: [{ command: `autovibe attach ${run.machine_name}`, when: 'to follow it' }] }, [
      `${run.machine_name} ${run.id}`,
    ])
    out.note(`Next: autovibe attach ${run.machine_name}`)
    return 0
  }
  out.record({ type: 'created', run, operation_id })
  return followToEnd(context, client, { runId: run.id, operationId: operation_id, checkout: options.project })
}

/** Everything that can be wrong without asking the Hub, found before anything is changed. */
async function readWish(context: Context, words: string, options: RunOptions): Promise<Wish> {
  if (options.machine !== undefined && (options.project !== undefined || options.from !== undefined || options.includeDirty === true)) {
    throw new AutovibeError('request.invalid', '--machine goes on in a machine as it is; --project, --from and --include-dirty are for a new one.', {
      fix: 'Leave out one of them.',
    })
  }
  const prompt = (words === '-' ? await readStdin(LONGEST_PROMPT * 4) : words).trim()
  if (prompt === '')
    throw new AutovibeError('request.invalid', 'The prompt is empty.', { fix: 'autovibe run "make the date test deterministic" --budget 2.00' })
  if (prompt.length > LONGEST_PROMPT)
    throw new AutovibeError('request.too_large', `The prompt has more than ${LONGEST_PROMPT} characters.`, {
      fix: 'Put the material into files of the project and name them in the prompt.',
    })
  const repository = options.machine === undefined ? await openRepository(resolve(context.cwd, options.project ?? '.')) : undefined
  const settings = repository ? context.settings.inProject(repository.root) : context.settings
  const budget = settings.withFlag('budget', options.budget)
  const agent = settings.withFlag('agent', options.agent).value
  const provider = settings.withFlag('provider', options.provider).value
  const limit = readBudget(budget)
  const wish = {
    prompt,
    budget: limit,
    budgetOrigin: budget.origin,
    atLimit: readAtLimit(limit, options),
    said: {
      agent: agent === undefined ? undefined : agentName(agent),
      provider: provider === undefined ? undefined : checkName(provider, '--provider'),
      model: settings.withFlag('model', options.model).value,
    },
    check: settings.withFlag('check', options.check).value,
    from: options.from === undefined ? undefined : checkpointRef(options.from),
    repository,
    limits: readLimits(options),
  }
  if (options.machine !== undefined && Object.keys(wish.limits).length > 0)
    throw new AutovibeError('request.invalid', 'A machine that is there keeps its limits.', { fix: `autovibe machine limits ${options.machine} --help` })
  if (options.name !== undefined) checkName(options.name)
  return wish
}

/** The Hub refuses it too, but only once the checkout has been copied. */
async function requireAgent(client: Autovibe, agent: AgentName, signal: AbortSignal): Promise<void> {
  const known = await client.hub.agents({ signal }).take(100)
  if (known.some(({ name, installed }) => name === agent && installed)) return
  throw new AutovibeError('agent.not_installed', `The agent ${agent} is not installed.`, { fix: `autovibe agent install ${agent}` })
}

const KEY_VARIABLE: Readonly<Record<string, string>> = { anthropic: 'ANTHROPIC_API_KEY' }

const keyMissing = (provider: string): AutovibeError => {
  const variable = KEY_VARIABLE[provider]
  return new AutovibeError('provider.key_missing', `The provider ${provider} has no key${variable === undefined ? '' : `, and ${variable} is not set`}.`, {
    fix:
      variable === undefined ? `autovibe provider set ${provider}` : `export ${variable}=…, or autovibe provider set ${provider}. Without a key: autovibe demo`,
  })
}

/** A new Hub would have no key either, so none is started only to say so. */
async function requireKeySomewhere(context: Context, provider: string): Promise<void> {
  const variable = KEY_VARIABLE[provider]
  if (variable !== undefined && context.env[variable]) return
  if (remoteHub(context.env) || (await findHub(context.dataDir))) return
  if (!existsSync(context.dataDir)) throw keyMissing(provider)
}

/** Hands the environment's key to the Hub, which seals it; it goes no further. */
async function provideKey(context: Context, client: Autovibe, name: string): Promise<Provider> {
  const { out, signal } = context
  const provider = (await client.providers.list({ signal }).take(1000)).find((candidate) => candidate.name === name)
  const variable = KEY_VARIABLE[name]
  const key = variable === undefined ? undefined : context.env[variable]?.trim()
  if (key) {
    const updated = await client.providers.put(name, { wire: provider?.wire ?? 'anthropic', simulated: provider?.simulated ?? false, key }, { signal })
    out.note(`Key found in ${variable}; it is kept in the Hub, not in the machine.`)
    return updated
  }
  if (!provider && name !== 'anthropic')
    throw new AutovibeError('provider.unknown', `There is no provider ${name}.`, {
      fix: `autovibe provider list; or autovibe provider set ${name} --base-url URL --default-model MODEL`,
    })
  if (!provider?.has_key) throw keyMissing(name)
  return provider
}

/** The project, with the checkout as its source. */
async function importProject(context: Context, client: Autovibe, wish: Wish, options: RunOptions): Promise<Pick<CreateRun, 'project'>> {
  const { out, signal } = context
  const repository = wish.repository as Repository
  const name = options.name ?? projectName(repository.root)
  const imported = await importCheckout(client, repository, { name, includeDirty: options.includeDirty === true, signal, onProgress: (text) => out.live(text) })
  out.endLive()
  for (const line of describeImport(imported, repository, options)) out.note(line)
  out.record({ type: 'imported', project: imported.project, uploaded: imported.uploaded, leftovers: imported.leftovers })
  return { project: imported.project.id }
}

function describeImport(imported: Imported, repository: Repository, options: RunOptions): string[] {
  const { uncommitted, submodules, lfs } = imported.leftovers
  const lines = [
    `${imported.uploaded ? 'Copied' : 'Kept'} ${imported.dirty ? 'HEAD and uncommitted changes' : 'HEAD'} ${repository.head.slice(0, 12)} of ${repository.root}${imported.uploaded ? ` (${bytes(imported.bytes)})` : ', which the Hub has already'}.`,
  ]
  if (uncommitted.length > 0 && options.includeDirty !== true)
    lines.push(`! ${plural(uncommitted.length, 'uncommitted file')} left out (--include-dirty brings them along): ${some(uncommitted)}`)
  if (submodules.length > 0) lines.push(`! Not included: ${plural(submodules.length, 'submodule')}: ${some(submodules)}`)
  if (lfs.length > 0) lines.push(`! Not included: the contents of ${plural(lfs.length, 'file')} in Git LFS, only their pointers: ${some(lfs)}`)
  return lines
}

const some = (names: readonly string[]): string =>
  names
    .slice(0, 3)
    .map((name) => quote(name))
    .join(', ') + (names.length > 3 ? ', …' : '')
