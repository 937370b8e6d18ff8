/** What the parts of a build share: the cluster by the token of the making, the plan, and whom it is told. */
import { AutovibeError } from '@autovibe/contract'
import { parseUpid } from '@autovibe/core/proxmox/upid.ts'
import type { ProxmoxClient } from '../client/client.ts'
import type { ParametersOf, TaskEndpointName } from '../client/endpoints.ts'
import { ProxmoxError } from '../client/errors.ts'
import { awaitTask, runTask } from '../client/tasks.ts'
import { tokenLine } from '../client/template-needs.ts'
import type { Plan } from './plan.ts'

export interface BuildPatience {
  /** Of one task; a download of an image over a slow line among them. */
  readonly taskMs: number
  /** From the start of the VM until it is off. */
  readonly installMs: number
}
export const PATIENCE: BuildPatience = { taskMs: 60 * 60_000, installMs: 45 * 60_000 }

export type Tell = (step: string, detail: string) => void

export interface Build {
  readonly client: ProxmoxClient
  /** `name@realm!token`. */
  readonly tokenId: string
  readonly plan: Plan
  readonly patience: BuildPatience
  readonly tell: Tell
  readonly signal: AbortSignal
}

/** One task to its end. Its name is kept nowhere: what it was for shows on the cluster, and one that still works is found among the node's. */
export async function task<N extends TaskEndpointName>({ client, patience, signal }: Build, name: N, parameters: ParametersOf<N>): Promise<void> {
  await runTask(client, name, parameters, { signal, deadlineMs: patience.taskMs, started: async () => undefined })
}

export async function taskNamed({ client, patience, signal }: Build, upid: string): Promise<void> {
  await awaitTask(client, upid, { signal, deadlineMs: patience.taskMs })
}

/** Awaits what an earlier attempt left running; how it ended shows in what it left. */
export async function settleOwnTasks(build: Build): Promise<void> {
  const { client, tokenId, plan, signal, tell } = build
  const active = await client.call('GET /nodes/{node}/tasks', { node: plan.node, source: 'active', limit: 100 }, { signal })
  for (const { upid, type, endtime } of active) {
    if (parseUpid(upid)?.user !== tokenId || endtime !== undefined) continue
    tell('waiting', `A task of before (${type}) is still under way.`)
    try {
      await taskNamed(build, upid)
    } catch (error) {
      if (!(error instanceof ProxmoxError) || (error.kind !== 'task failed' && error.kind !== 'task vanished')) throw error
      tell('waiting', `It did not end well: ${error.message}`)
    }
  }
}

/** The command that goes on with this build, or takes it away. */
export const buildCommand = ({ substrate, node, vmid, imageStorage, buildBridge, flags, image }: Plan, more = '', imageSha256 = image.given): string =>
  `autovibe substrate template build ${substrate} --node ${node} --vmid ${vmid} --image-storage ${imageStorage} --bridge ${buildBridge}${flags}${imageSha256 === null ? '' : ` --image-sha256 ${imageSha256}`} --token-id … --token-stdin${more}`

export const grantsCommand = ({
  substrate,
  node,
  vmid,
  imageStorage,
  buildBridge,
}: Pick<Plan, 'substrate' | 'node' | 'vmid' | 'imageStorage' | 'buildBridge'>): string =>
  `autovibe substrate grants ${substrate} --for template --node ${node} --vmid ${vmid} --image-storage ${imageStorage} --bridge ${buildBridge}`

export const poolFix = ({ pool }: Pick<Plan, 'pool'>): string => `As root on a node: pveum pool add ${pool}`

/** A refusal of this token, with the lines that mend it for this one rather than for the Hub's. */
export function withOwnFix(error: unknown, { plan, tokenId }: Pick<Build, 'plan' | 'tokenId'>): unknown {
  if (!(error instanceof ProxmoxError)) return error
  const fix = fixOf(error, plan, tokenId)
  return fix === null ? error : new AutovibeError(error.code, error.message, { cause: error, internal: error.internal, fix })
}

function fixOf({ kind, message }: ProxmoxError, plan: Plan, tokenId: string): string | null {
  if (kind === 'credentials') {
    const [user = '', token = ''] = tokenId.split('!')
    return `Its secret is wrong, or it has expired. As root on a node: pveum user token remove ${user} ${token}; ${tokenLine({ user, token })}`
  }
  if (kind !== 'forbidden') return null
  // Somebody has removed it since the build began.
  if (/\bpool '[^']*' does not exist/.test(message)) return poolFix(plan)
  return `Give the token of the making what it lacks: ${grantsCommand(plan)}`
}
