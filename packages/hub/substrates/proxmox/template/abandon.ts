/** Takes away what an unfinished build has left: its VM and its files, whichever image and version it was of. A finished template stays. */
import { isUnfinishedBuild } from '@autovibe/core/proxmox/template-build.ts'
import { hindered, passing } from './build.ts'
import { seenVm } from './look.ts'
import { type Build, settleOwnTasks, task, withOwnFix } from './site.ts'
import { removeFiles } from './steps.ts'

/** What was removed, in words. */
export async function abandon(site: Build): Promise<string[]> {
  const { plan, tell } = site
  const { node, vmid } = plan
  const removed: string[] = []
  try {
    await passing(site, async () => {
      await settleOwnTasks(site)
      // Files first: with the VM go the rights that were given on its number.
      tell('abandon', `Files of the build on ${plan.imageStorage} are removed`)
      removed.push(...(await removeFiles(site, () => true)))
      const vm = await seenVm(site)
      // One that is still being made has no name yet, nor has what is left of it.
      if (vm?.lock !== undefined && (vm.name === undefined || isUnfinishedBuild(vm))) throw hindered(site, 'locked')
      if (vm === null || !isUnfinishedBuild(vm)) return
      tell('abandon', `VM ${vmid} is removed`)
      if (vm.isRunning) await task(site, 'POST /nodes/{node}/qemu/{vmid}/status/stop', { node, vmid })
      await task(site, 'DELETE /nodes/{node}/qemu/{vmid}', { node, vmid, purge: true })
      removed.push(`VM ${vmid}`)
    })
    return removed
  } catch (error) {
    throw withOwnFix(error, plan)
  }
}
