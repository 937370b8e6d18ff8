import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from '../support/until.ts'
import { type Asker, asker } from './ask.ts'
import { diskOf } from './boot.ts'
import { fileOf, sandboxRefused } from './guests-stage.ts'
import { SandboxGuests } from './sandbox-guests.ts'
import { expectOk } from './stage.ts'
import { type ProxmoxStandIn, startProxmox } from './stand-in.ts'
import { drivesOf } from './vm-config.ts'

const COUNTS = 'cd /var/lib/autovibe; trap "exit 0" TERM; n=0; while :; do n=$((n + 1)); echo $n > count.new; mv count.new count; sleep 0.01 & wait $!; done'
const skip = sandboxRefused()
let pve: ProxmoxStandIn
let root: Asker
let guests: SandboxGuests | undefined
before(async () => {
  pve = await startProxmox({
    secondMs: 4,
    storages: [{ id: 'thin', type: 'lvmthin' }],
    guests: async (directory) => {
      guests = await SandboxGuests.open({ root: join(directory, 'guests'), command: () => ['/bin/sh', '-c', COUNTS] })
      return guests
    },
  })
  root = asker(pve)
})
after(async () => {
  await pve.close()
  assert.deepEqual(pve.violations, [])
})

function fileIn(vmid: number): string {
  const vm = pve.cluster.vms.get(vmid)
  const [drive] = vm ? drivesOf(vm.config).filter(({ key }) => key === 'scsi0') : []
  if (!vm || !drive || !guests) throw new Error(`VM ${vmid} has no disk`)
  return join(guests.folder(diskOf(pve.cluster, vm, drive)), 'count')
}

test('processes live behind the API: a VM is made, cloned from its snapshot, taken back and shut down', { skip }, async () => {
  const vm = '/nodes/pve1/qemu/100'
  expectOk(
    await root.task('POST', '/nodes/pve1/qemu', {
      vmid: 100,
      name: 'counts',
      memory: '512',
      agent: '1',
      scsi0: 'thin:1',
      net0: 'virtio,bridge=vmbr1,firewall=1',
    }),
  )
  expectOk(await root.task('POST', `${vm}/status/start`))
  const before = Number(await fileOf(fileIn(100)))
  expectOk(await root.task('POST', `${vm}/snapshot`, { snapname: 's1' }))
  expectOk(await root.task('POST', `${vm}/clone`, { newid: 101, snapname: 's1', full: 1 }))
  assert.ok(Number(await readFile(fileIn(101), 'utf8')) >= before)
  expectOk(await root.task('POST', '/nodes/pve1/qemu/101/status/start'))
  await fileOf(fileIn(101), (text) => Number(text) > 0)
  await writeFile(fileIn(100).replace(/count$/, 'later'), 'x')
  expectOk(await root.task('POST', `${vm}/snapshot/s1/rollback`, { start: 1 }))
  await assert.rejects(readFile(fileIn(100).replace(/count$/, 'later')), { code: 'ENOENT' })
  await until('the rolled back VM runs', 60_000, async () => guests?.running.has(100) || undefined)
  expectOk(await root.task('POST', `${vm}/status/shutdown`, { timeout: 20 * 1000 }))
  assert.deepEqual([guests?.running.has(100), guests?.running.has(101)], [false, true])
  await pve.crashNode('pve1')
  await until('the guests ended with their node', 60_000, async () => guests?.running.size === 0 || undefined)
})
