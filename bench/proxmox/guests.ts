/** Machines with real guests and agents in sandboxes behind the VMs: spawn, checkpoint, fork and rollback, where the storage shares its snapshots and where the store has to help. */

import { join } from 'node:path'
import { ConformanceDoor } from '../../packages/hub/substrates/conformance-door.ts'
import { SANDBOX_FLAGS } from '../../packages/hub/substrates/local/sandbox.ts'
import { ProxmoxGround } from '../../packages/hub/substrates/proxmox/test-ground.ts'
import type { StorageType } from '../../test/proxmox/storages.ts'
import { timed } from '../support/command.ts'
import { temporaryFolder } from '../support/place.ts'
import { type BenchOptions, type Figure, figure, type Measured } from '../support/report.ts'
import { sideBySide } from '../support/side-by-side.ts'
import { FILE_BYTES, FILES_OF_FOLDER, Place, writeTree } from './place.ts'

const NODES = 4
const FULL = { samples: 10, files: 1_000 }
const QUICK = { samples: 2, files: 100 }

const SANDBOX = [...SANDBOX_FLAGS, '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev', process.execPath, '-e', '0']
const bareSandbox = async (): Promise<number> => (await timed('bwrap', SANDBOX)).ms

export async function measureGuests({ quick, progress }: BenchOptions): Promise<Measured> {
  const { samples, files } = quick ? QUICK : FULL
  const rbd = await on('rbd', files, (place) => onShared(place, samples, progress))
  const zfs = await on('zfspool', files, (place) => onCopying(place, samples, progress))
  return {
    figures: [...rbd, ...zfs],
    targets: [],
    notes: [
      `Real guests: ${NODES} nodes, the real guest as root in a sandbox behind each VM and the conformance suite's agent in it, one machine at a time; the stand-in, the gate and the substrate share this process. There, one of Proxmox's seconds lasts 4 ms: what Proxmox and a kernel's boot really take comes on top.`,
      `The tree has ${files} files of ${FILE_BYTES} bytes, ${FILES_OF_FOLDER} in a folder; a disk is a folder, which the stand-in copies file by file where a storage would share blocks. A checkpoint is the guest's freeze, its sync and the snapshot of the VM; a fork's tree is looked at by its agent.`,
    ],
  }
}

async function on(storage: StorageType, files: number, work: (place: Place) => Promise<Figure[]>): Promise<Figure[]> {
  await using ending = new AsyncDisposableStack()
  const ground = ending.adopt(await ProxmoxGround.make({ storage, nodes: NODES }), (each) => each.dispose())
  const door = ending.adopt(new ConformanceDoor(), (each) => each.closeAll())
  return await work(new Place(await ground.open(door), door, files))
}

async function onShared(place: Place, count: number, progress: (text: string) => void): Promise<Figure[]> {
  await place.brief(null)
  progress('real guests: spawns, one after the other')
  const spawns = await sideBySide(count, () => place.brief(null), bareSandbox)
  const machineId = await place.filled()
  progress('real guests: checkpoints')
  await using folder = await temporaryFolder()
  await writeTree(join(folder.path, 'tree'), place.files)
  let copies = 0
  const copy = async () => (await timed('cp', ['-a', join(folder.path, 'tree'), join(folder.path, String(copies++))])).ms
  const checkpoints = await sideBySide(
    count,
    async () => {
      const { ms, handle } = await place.checkpoint(machineId)
      await place.drop(handle)
      return ms
    },
    copy,
  )
  const { handle } = await place.checkpoint(machineId)
  progress('real guests: forks of a snapshot, rollbacks')
  const forks = await sideBySide(count, () => place.brief(handle), bareSandbox)
  const rollbacks = await sideBySide(count, () => place.rollBack(machineId, handle), bareSandbox)
  await place.assertWhole(machineId)
  await place.destroy(machineId)
  await place.dropAll()

  const bare = figure('bare bwrap … node -e 0, beside the spawns', spawns.bare)
  const copied = figure(`bare cp -a of ${place.files} files`, checkpoints.bare)
  const besideForks = figure('bare bwrap … node -e 0, beside the forks', forks.bare)
  const besideRollbacks = figure('bare bwrap … node -e 0, beside the rollbacks', rollbacks.bare)
  return [
    bare,
    figure(
      'rbd: create',
      spawns.ours.map(({ createdMs }) => createdMs),
    ),
    figure(
      'rbd: spawn to agent started',
      spawns.ours.map(({ startedMs }) => startedMs),
      { beside: bare },
    ),
    figure(
      'rbd: spawn to the first thing that the agent did',
      spawns.ours.map(({ answeredMs }) => answeredMs),
      { beside: bare },
    ),
    copied,
    figure(`rbd: checkpoint of ${place.files} files`, checkpoints.ours, { beside: copied }),
    besideForks,
    figure(
      'rbd: fork of a snapshot to agent started',
      forks.ours.map(({ startedMs }) => startedMs),
      { beside: besideForks },
    ),
    besideRollbacks,
    figure('rbd: rollback to agent started', rollbacks.ours, { beside: besideRollbacks }),
  ]
}

async function onCopying(place: Place, count: number, progress: (text: string) => void): Promise<Figure[]> {
  const machineId = await place.filled()
  const { handle } = await place.checkpoint(machineId)
  progress('real guests: forks out of the store')
  // The first one waits until the store has the tree.
  const first = await place.brief(handle)
  const forks = await sideBySide(count, () => place.brief(handle), bareSandbox)
  const rollbacks = await sideBySide(count, () => place.rollBack(machineId, handle), bareSandbox)
  await place.assertWhole(machineId)
  await place.destroy(machineId)
  await place.dropAll()
  const besideForks = figure('bare bwrap … node -e 0, beside the forks out of the store', forks.bare)
  const besideRollbacks = figure("bare bwrap … node -e 0, beside ZFS's rollbacks", rollbacks.bare)
  return [
    besideForks,
    figure('zfspool: the first fork, which waits until the store has the tree, to agent started', [first.startedMs], { beside: besideForks }),
    figure(
      `zfspool: fork out of the store, ${place.files} files, to agent started`,
      forks.ours.map(({ startedMs }) => startedMs),
      { beside: besideForks },
    ),
    besideRollbacks,
    figure('zfspool: rollback to agent started', rollbacks.ours, { beside: besideRollbacks }),
  ]
}
