/** `/v1/budgets`: the caps, their ledger, and raising a limit, which lets the runs beneath go on. */
import {
  AutovibeError,
  Budget,
  BudgetId,
  BudgetQuery,
  CreateBudget,
  LedgerAudit,
  LedgerEntry,
  PageQuery,
  pageOf,
  type RunId,
  UpdateBudget,
} from '@autovibe/contract'
import { UNLIMITED } from '@autovibe/core/budgets/unlimited.ts'
import { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import type { BudgetSettings } from '../ledger/ledger.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { findOpenBudget, findPausedRunsBeneath, listBudgets, listLedger, readBudget } from './read/budgets.ts'
import { readProject } from './read/projects.ts'
import { readRun } from './read/runs.ts'

const tags = ['budgets']
const params = z.object({ budget: BudgetId })
/** The `scope_id` of the budget that caps everything. */
const ORGANISATION = 'organisation'
/** Runs that one raise lets go on; one machine each, so more than any Hub has. */
const RESUMED_MAX = 10_000

export function registerBudgets(app: Api, context: ApiContext): void {
  const { db, ledger, requests } = context

  app.post(
    '/v1/budgets',
    { schema: { tags, operationId: 'createBudget', summary: 'Cap the organisation or a project', body: CreateBudget.strict(), response: { 201: Budget } } },
    (request, reply) =>
      change(context, request, reply, { action: 'budget.create', status: 201 }, async (tx) => {
        const { resource, period, limit } = request.body
        const scope = await resolveScope(tx, request.body)
        assertShare(scope.scope, request.body.share)
        const existing = await findOpenBudget(tx, scope.scope, scope.scopeId, resource, period)
        if (existing) {
          throw new AutovibeError('conflict.name_taken', `There is an open ${period} budget of ${resource} for this ${scope.scope} already: ${existing}.`, {
            fix: `Change its limit: PATCH /v1/budgets/${existing}`,
          })
        }
        // Chains are fixed when a budget is opened, so that of the organisation comes first, for a limit that may be set later.
        const parentId =
          scope.scope === 'project'
            ? await ledger.openBudget(tx, { scope: 'organisation', scopeId: ORGANISATION, parentId: null, resource, limit: UNLIMITED })
            : null
        const settings = settingsOf(request.body)
        const asked = { ...settings, limit: BigInt(limit) }
        const id =
          period === 'total'
            ? await ledger.openBudget(tx, { ...scope, parentId, resource, ...asked })
            : await ledger.openCap(tx, await ledger.openBudget(tx, { ...scope, parentId, resource, limit: UNLIMITED }), { ...asked, period })
        return { body: await readBudget(tx, id), subject: id, detail: { limit, period } }
      }),
  )

  app.get(
    '/v1/budgets',
    {
      schema: {
        tags,
        operationId: 'listBudgets',
        summary: 'List the budgets, newest first',
        querystring: BudgetQuery.strict(),
        response: { 200: pageOf(Budget) },
      },
    },
    (request) => listBudgets(db, request.query),
  )

  app.get(
    '/v1/budgets/:budget',
    { schema: { tags, operationId: 'getBudget', summary: 'Show a budget', params, response: { 200: Budget } } },
    async (request, reply) => {
      const budget = await readBudget(db, request.params.budget)
      reply.header('etag', etagOf(budget))
      return budget
    },
  )

  app.patch(
    '/v1/budgets/:budget',
    {
      schema: {
        tags,
        operationId: 'updateBudget',
        summary: 'Change a limit or other settings',
        description: 'Asks for If-Match with the ETag of the budget. Setting the limit thaws a frozen budget.',
        params,
        body: UpdateBudget.strict(),
        response: { 200: Budget },
      },
    },
    async (request, reply) => {
      let leftBefore: ReadonlyMap<RunId, bigint> = new Map()
      const budget = await change(context, request, reply, { action: 'budget.set_limit', status: 200 }, async (tx) => {
        const before = await readBudget(tx, request.params.budget)
        const { limit, share, ...others } = request.body
        assertShare(before.scope, share)
        const asked = { ...settingsOf(request.body), ...(limit === undefined ? {} : { limit: BigInt(limit) }) }
        leftBefore = await leftOfPausedBeneath(tx, before.id)
        await ledger.changeBudget(tx, before.id, asked, versionOf(request.headers['if-match'], before))
        const body = await readBudget(tx, before.id)
        const settings = { ...(others.thresholds && { thresholds: others.thresholds }), ...(others.policy && { policy: others.policy }) }
        return { body, subject: before.id, detail: { before: before.limit, after: body.limit, ...settings, ...(share === undefined ? {} : { share }) } }
      })
      await resumeBeneath(leftBefore)
      reply.header('etag', etagOf(budget))
      return budget
    },
  )

  app.get(
    '/v1/budgets/:budget/ledger',
    {
      schema: {
        tags,
        operationId: 'listLedger',
        summary: 'List the ledger of a budget, oldest first',
        params,
        querystring: PageQuery.strict(),
        response: { 200: pageOf(LedgerEntry) },
      },
    },
    async (request) => {
      const { id } = await readBudget(db, request.params.budget)
      return listLedger(db, id, request.query)
    },
  )

  app.post(
    '/v1/budgets/audit',
    {
      schema: {
        tags,
        operationId: 'auditBudgets',
        summary: 'Recompute every balance from the ledger, and look for what does not agree',
        response: { 200: LedgerAudit },
      },
    },
    async (request) => {
      const audit = await ledger.audit()
      if (audit.findings.length > 0) request.log.error({ findings: audit.findings }, 'the ledger does not agree with itself')
      return audit
    },
  )

  /** What each run that was stopped for money has left, beneath a budget that is about to change. */
  async function leftOfPausedBeneath(tx: Tx, id: BudgetId): Promise<Map<RunId, bigint>> {
    const left = new Map<RunId, bigint>()
    for (const run of await findPausedRunsBeneath(tx, id, RESUMED_MAX)) {
      if (/budget/i.test(run.state_reason ?? '')) left.set(run.id, await ledger.available(run.budget_id, tx))
    }
    return left
  }

  /**
   * Those that have more left now, each in a transaction of its own: resuming locks machines, and nobody may wait for one while the budgets are held. One for which another
   * limit is in the way would only meet that again, and one that cannot go on for another reason stays as it is.
   */
  async function resumeBeneath(leftBefore: ReadonlyMap<RunId, bigint>): Promise<void> {
    for (const [runId, before] of leftBefore) {
      try {
        await transactionWithRetry(db, async (tx) => {
          const { budget_id } = await readRun(tx, runId)
          if (budget_id !== null && (await ledger.available(budget_id, tx)) > before) await requests.resumeRun(tx, runId)
        })
      } catch (error) {
        if (!(error instanceof AutovibeError)) throw error
      }
    }
  }
}

async function resolveScope(tx: Tx, body: z.output<typeof CreateBudget>) {
  if (body.scope === 'project') {
    const { id } = await readProject(tx, body.scope_id)
    return { scope: 'project', scopeId: id } as const
  }
  if (body.scope_id === ORGANISATION) return { scope: 'organisation', scopeId: ORGANISATION } as const
  throw new AutovibeError('request.invalid', 'The scope_id of the organisation is "organisation".', {
    errors: [{ path: 'body.scope_id', message: 'must be "organisation"' }],
  })
}

const PPM = 1_000_000

const settingsOf = ({ thresholds, policy, share }: z.output<typeof UpdateBudget>): BudgetSettings => ({
  thresholds,
  policy,
  sharePpm: share === undefined ? undefined : BigInt(Math.round(share * PPM)),
})

function assertShare(scope: Budget['scope'], share: number | undefined): void {
  if (share === undefined || scope === 'project') return
  throw new AutovibeError('request.invalid', `Only a project has a share of what is left above it, and this budget is of a ${scope}.`, {
    errors: [{ path: 'body.share', message: 'is for the budgets of a project' }],
  })
}

const etagOf = (budget: Budget): string => `"${budget.version}"`

/** The version that the client saw; `*` stands for whichever there is. */
function versionOf(header: string | undefined, budget: Budget): bigint {
  if (header === undefined) {
    throw new AutovibeError('request.precondition_required', 'Changing a budget asks for If-Match, so that two people do not overwrite each other.', {
      fix: `Send "If-Match: ${etagOf(budget)}", the ETag of GET /v1/budgets/${budget.id}.`,
    })
  }
  if (header.trim() === '*') return BigInt(budget.version)
  const version = /^"([0-9]{1,18})"$/.exec(header.trim())?.[1]
  if (version !== undefined && BigInt(version) === BigInt(budget.version)) return BigInt(version)
  throw new AutovibeError('request.precondition_failed', `The budget has changed: it is at ${etagOf(budget)} now.`, {
    fix: `GET /v1/budgets/${budget.id}, look at it, and try again with its ETag.`,
  })
}
