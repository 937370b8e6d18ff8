/** Makes a template, or goes on making it: looks at what is on the cluster, does the one thing that comes next, and looks again. */
import { AutovibeError, type BuiltTemplate } from '@autovibe/contract'
import { backoffMs } from '@autovibe/core/proxmox/backoff.ts'
import { type Hindrance, nextOfBuild, type SeenVm } from '@autovibe/core/proxmox/template-build.ts'
import { look } from './look.ts'
import { preflight } from './preflight.ts'
import { type Build, buildCommand, settleOwnTasks, withOwnFix } from './site.ts'
import { STEPS } from './steps.ts'
import { assertEndedByItself } from './stopped-early.ts'

/** More than any way through takes; beyond it, somebody undoes what is done. */
const STEPS_MOST = 40
/** Failures that may pass, of one step. */
const FAILURES_MOST = 5

/** Rejects with an AutovibeError, or with the signal's reason; in either case the same again goes on from there. */
export async function build(site: Build): Promise<BuiltTemplate> {
  const { client, plan, tell, signal } = site
  try {
    tell('looking', `Rights, storages and bridges of ${plan.node}`)
    await passing(site, () => preflight(site))
    let made = false
    let vm: SeenVm | null = null
    let [last, failures] = ['', 0]
    for (let count = 0; count < STEPS_MOST; count += 1) {
      const next = await passing(site, async () => {
        await settleOwnTasks(site)
        const seen = await look(site)
        vm = seen.vm
        return nextOfBuild(seen, { name: plan.names.vm, diskBytes: plan.diskBytes })
      })
      if (next === 'done') return { vmid: plan.vmid, node: plan.node, build: plan.names.vm, made }
      // Who has stopped it, where that is known.
      if (next === 'not installed') await passing(site, () => assertEndedByItself(site))
      if (!(next in STEPS)) throw hindered(site, next as Hindrance, vm)
      const step = STEPS[next as keyof typeof STEPS]
      tell(next, step.says(site))
      made = true
      if (next !== last) failures = 0
      last = next
      try {
        await step.act(site)
      } catch (error) {
        // Done or not done: the next look says.
        failures += 1
        if (!mayPass(error) || failures >= FAILURES_MOST) throw error
        tell(next, `Once more: ${(error as Error).message}`)
        await client.clock.pause(backoffMs(client.limits.repeat, failures, client.clock.chance()), signal)
      }
    }
    throw new AutovibeError('substrate.failed', `The template on ${plan.node} did not come about in ${STEPS_MOST} steps: somebody undoes what is done.`, {
      fix: `See who works on it: pvenode task list --vmid ${plan.vmid}`,
    })
  } catch (error) {
    throw withOwnFix(error, site)
  }
}

/** Reads, several times where the failure may pass. */
export async function passing<T>({ client, signal }: Pick<Build, 'client' | 'signal'>, read: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await read()
    } catch (error) {
      if (!mayPass(error) || failures >= FAILURES_MOST) throw error
      await client.clock.pause(backoffMs(client.limits.repeat, failures, client.clock.chance()), signal)
    }
  }
}

const mayPass = (error: unknown): boolean => error instanceof AutovibeError && error.retryable

export function hindered({ plan }: Build, hindrance: Hindrance, vm: SeenVm | null): AutovibeError {
  const { vmid, node, vmids } = plan
  const lock = vm?.lock ?? 'create'
  if (hindrance === 'locked' && lock !== 'create')
    return new AutovibeError('conflict.busy', `VM ${vmid} is locked (${lock}): a task works on it, or has left that behind.`, {
      fix: `Wait for that task (on ${node}: pvenode task list --source active), then the same command again. If none works on it, as root there: qm unlock ${vmid}`,
    })
  if (hindrance === 'locked')
    return new AutovibeError('substrate.failed', `VM ${vmid} is locked by a task that is gone, and Proxmox lets nobody but root take such a lock away.`, {
      fix: `As root on ${node}, if no task works on it (pvenode task list --source active): qm unlock ${vmid} && qm destroy ${vmid} --purge --destroy-unreferenced-disks 1`,
    })
  if (hindrance === 'not installed')
    return new AutovibeError(
      'substrate.failed',
      `VM ${vmid} went off before it said that all is installed: ${node} has ended its process. What is on its disk is half a template.`,
      {
        fix: `See why on ${node} (mostly for want of memory: journalctl -k --grep oom), make room for its 4 GiB, then begin anew: ${buildCommand(plan, ' --abandon')}`,
      },
    )
  if (hindrance === 'another build')
    return new AutovibeError('conflict.state', `VM ${vmid} is an unfinished build with another image, other settings or another version of autovibe.`, {
      fix: `With the same settings, and of its image: ${buildCommand(plan, '', vm?.imageSha256 ?? 'SUM')}. Or take it away: ${buildCommand(plan, ' --abandon')}`,
    })
  if (hindrance === 'another template')
    return new AutovibeError('conflict.state', `VM ${vmid} is a template of another build already, which machines may be clones of.`, {
      fix: `Give this one a free number outside ${vmids.from}-${vmids.to}: --vmid VMID`,
    })
  return new AutovibeError('conflict.state', `VM ${vmid} on ${node} is somebody else's, and is left alone.`, {
    fix: `See whose it is: qm config ${vmid}. Give the template a free number outside ${vmids.from}-${vmids.to}: --vmid VMID`,
  })
}
