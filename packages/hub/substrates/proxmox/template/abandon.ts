/** Takes away what an unfinished build has left: its VM and its files, whichever image and version it was of. A finished template stays. */
import { isFinishedTemplate, isUnfinishedBuild } from '@autovibe/core/proxmox/template-build.ts'
import { isFree, isProxmox } from '../vms.ts'
import { hindered, passing } from './build.ts'
import { seenVm } from './look.ts'
import { type Build, settleOwnTasks, task, withOwnFix } from './site.ts'
import { removeFiles } from './steps.ts'

/** What was removed, in words. */
export async function abandon(site: Build): Promise<string[]> {
  const { plan, tell } = site
  const { node, vmid } = plan
  const removed: string[] = []
  let isAsked = false
  try {
    await passing(site, async () => {
      await settleOwnTasks(site)
      const vm = await seenVm(site)
      if (vm !== null && isFinishedTemplate(vm)) return
      // Files first: with the VM go the rights that were given on its number.
      tell('abandon', `Files of the build on ${plan.imageStorage} are removed`)
      removed.push(...(await removeFiles(site, () => true)))
      // One that is still being made has no name yet, nor has what is left of it.
      if (vm?.lock !== undefined && (vm.name === undefined || isUnfinishedBuild(vm))) throw hindered(site, 'locked', vm)
      // The answer to an earlier try at it was lost.
      if (vm === null && isAsked) removed.push(`VM ${vmid}`)
      if (vm === null || !isUnfinishedBuild(vm)) return
      tell('abandon', `VM ${vmid} is removed`)
      if (vm.isRunning) await task(site, 'POST /nodes/{node}/qemu/{vmid}/status/stop', { node, vmid })
      isAsked = true
      await task(site, 'DELETE /nodes/{node}/qemu/{vmid}', { node, vmid, purge: true, 'destroy-unreferenced-disks': true }).catch(async (error: unknown) => {
        // Asked a second time by the client itself, when the rights had gone with the VM.
        if (!isProxmox(error, 'forbidden', 'absent') || !(await isFree(site, vmid, site.signal))) throw error
      })
      removed.push(`VM ${vmid}`)
    })
    return removed
  } catch (error) {
    throw withOwnFix(error, site)
  }
}
