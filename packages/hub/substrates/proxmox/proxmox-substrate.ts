/** Machines as VMs of a Proxmox cluster, behind the substrate's port. Each call takes its machine's turn, looks first and then acts. */
import { AutovibeError, CheckpointId, type Finding, type MachineId, type MachineLimits } from '@autovibe/contract'
import { vmName } from '@autovibe/core/proxmox/vm-names.ts'
import type { MachineArchives } from '../archives.ts'
import type { Capabilities, CreateMachine, ObservedMachine, Snapshot, SnapshotHandle, Substrate, TreeChange, Usage } from '../substrate.ts'
import { ProxmoxArchives } from './archives/proxmox-archives.ts'
import { abandonArchives } from './archives/remove.ts'
import { ensureCloned, takenNumbers } from './cloning.ts'
import { configureVm, resizeVm } from './configuring.ts'
import { leftBehind, mustMove } from './inviting.ts'
import { beginLife, endLife, usageOf } from './machine-usage.ts'
import { observe } from './observed.ts'
import { type Choice, choosePlace, snapshotChoice, templateChoice } from './placing.ts'
import { ensureOff } from './power.ts'
import { purgeIfFree, purgeUnknown } from './purge.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { dropSnapshot, isNeeded, tidy } from './tidy.ts'
import { changesOf, gone, guestOf, guestWithTree, haltAgent, isToBeHad, STORE_POLL_MS } from './trees.ts'
import { rollBackVm, takeVmSnapshot } from './vm-snapshots.ts'
import { isLockedForLong, ownVm } from './vms.ts'

export class ProxmoxSubstrate implements Substrate {
  readonly name = 'proxmox'
  readonly archives: MachineArchives
  readonly #site: Site
  readonly #capabilities: Capabilities
  readonly #findings: readonly Finding[]
  readonly #ending = new AbortController()
  /** As of the last look. */
  #leftBehind: readonly Finding[] = []
  #tidying: Promise<void> | null = null

  constructor(site: Site, capabilities: Capabilities, findings: readonly Finding[]) {
    this.#site = site
    this.#capabilities = capabilities
    this.#findings = findings
    this.archives = new ProxmoxArchives(site)
  }

  capabilities(): Capabilities {
    return this.#capabilities
  }

  findings(): readonly Finding[] {
    return [...this.#findings, ...this.#leftBehind]
  }

  create(machine: CreateMachine, signal: AbortSignal): Promise<void> {
    return this.#inTurn(machine.machineId, signal, async () => {
      const known = await this.#site.records.find(machine.machineId)
      if (known !== null && known.state !== 'making') return
      const record = await ensureCloned(this.#site, known ?? (await this.#placed(machine, signal)), signal)
      await configureVm(this.#site, record, signal)
      // From then on it needs nobody else for its tree: a clone of the checkpoint's snapshot has that on its disk, one of the template gets it now.
      if (record.source_snapshot === null && record.tree !== 'empty') await guestWithTree(this.#site, record, signal)
      await this.#site.records.set(machine.machineId, { state: 'made' })
    })
  }

  start(machineId: MachineId, signal: AbortSignal): Promise<void> {
    return this.#inTurn(machineId, signal, async () => {
      const site = this.#site
      const machine = await this.#made(machineId)
      const found = await ownVm(site, machine, signal)
      // While it is copied or moved it cannot be changed; it is at its next start.
      const isFree = found === null || !isLockedForLong(found.status)
      // Whatever was asked of its size before: a rollback has taken that back since.
      const isResized = isFree && found !== null && (await resizeVm(site, found.record, signal))
      if (isFree && (machine.reboot || isResized || mustMove(site, machine))) {
        await ensureOff(site, machine, 'button', signal)
        await site.records.set(machineId, { reboot: false })
      }
      const { record, guest } = await guestWithTree(site, machine, signal)
      const { limits, name } = record
      await beginLife(site, record, await guest.state(signal))
      // Before it runs, so that it is never taken for one that runs without being asked to.
      await site.records.set(machineId, { agent: true })
      const token = await site.tokenOf(machineId)
      await guest.startAgent({ machineId, name, token, memoryBytes: limits.memory_bytes, processes: limits.processes, diskBytes: limits.disk_bytes }, signal)
    })
  }

  stop(machineId: MachineId, signal: AbortSignal): Promise<void> {
    return this.#inTurn(machineId, signal, async () => {
      const record = await this.#site.records.find(machineId)
      if (record === null || record.state === 'making') return
      // Its guest may be gone at the end of it, and the cluster's list is a little behind.
      await this.#site.meters.lookClosely(record, signal)
      await haltAgent(this.#site, record, signal)
      await endLife(this.#site, machineId, signal)
    })
  }

  destroy(machineId: MachineId, signal: AbortSignal): Promise<void> {
    return this.#inTurn(machineId, signal, async () => {
      const site = this.#site
      const record = await site.records.find(machineId)
      if (record === null) return purgeUnknown(site, machineId, signal)
      const isThere = record.state !== 'making' && (await ownVm(site, record, signal)) !== null
      // Breaking off a copy may take long, and the machine is not to work on meanwhile.
      if (isThere && (await site.archives.taking(machineId)).length > 0) await haltAgent(site, record, signal)
      await abandonArchives(site, machineId, signal)
      const isFree = !isThere || !(await isNeeded(site, await site.records.snapshots(machineId)))
      if (isFree && (await purgeIfFree(site, record, signal))) return
      await haltAgent(site, record, signal)
      await site.records.set(machineId, { state: 'remains' })
    })
  }

  snapshot(machineId: MachineId, checkpointId: CheckpointId, signal: AbortSignal): Promise<Snapshot> {
    return this.#inTurn(machineId, signal, async () => {
      const site = this.#site
      const machine = await this.#made(machineId)
      const earlier = await site.records.snapshot(checkpointId)
      if (earlier?.state === 'taken') return { handle: checkpointId, consistency: earlier.consistency }
      await site.records.beginSnapshot(checkpointId, machineId)
      const { record, guest } = await guestWithTree(site, machine, signal)
      const consistency = await guest.freeze(checkpointId, signal)
      // What the storage takes is what the guest has written.
      await guest.sync(signal)
      const in_vm = await takeVmSnapshot(site, record, checkpointId, signal)
      await site.records.setSnapshot(checkpointId, { state: 'taken', consistency, in_vm })
      return { handle: checkpointId, consistency }
    })
  }

  rollback(machineId: MachineId, to: SnapshotHandle, signal: AbortSignal): Promise<void> {
    return this.#inTurn(machineId, signal, async () => {
      const site = this.#site
      const checkpointId = CheckpointId.parse(to)
      const machine = await this.#made(machineId)
      const snapshot = await site.records.snapshot(checkpointId)
      if (snapshot?.state !== 'taken' && !isToBeHad(await site.trees.state(checkpointId))) throw gone(to)
      await haltAgent(site, machine, signal)
      await site.records.set(machineId, { tree: checkpointId })
      const isWhole = snapshot?.in_vm === true && snapshot.machine_id === machineId && (await this.#othersAreKept(machine, checkpointId, signal))
      // Whole, its disk has the tree already; otherwise it gets it now, as long as it is there to be had.
      if (!isWhole || !(await rollBackVm(site, machine, checkpointId, signal))) await guestWithTree(site, { ...machine, tree: checkpointId }, signal)
    })
  }

  async dropSnapshot(handle: SnapshotHandle, signal: AbortSignal): Promise<void> {
    const site = this.#site
    const id = CheckpointId.safeParse(handle).data
    const snapshot = id === undefined ? null : await site.records.snapshot(id)
    if (snapshot === null) return
    await this.#inTurn(snapshot.machine_id, signal, async () => {
      const machine = await site.records.find(snapshot.machine_id)
      await site.records.setSnapshot(snapshot.checkpoint_id, { state: 'dropped' })
      if (machine === null) return site.records.removeSnapshot(snapshot.checkpoint_id)
      // What it shall start from is on its way to its tree; afterwards nobody needs the snapshot.
      if (machine.state === 'made' && machine.tree === snapshot.checkpoint_id) await guestWithTree(site, machine, signal)
      await dropSnapshot(site, machine, snapshot, signal)
      if (machine.state === 'remains' && !(await isNeeded(site, await site.records.snapshots(machine.machine_id)))) await purgeIfFree(site, machine, signal)
    })
  }

  changes(handle: SnapshotHandle, since: SnapshotHandle | null, signal: AbortSignal): AsyncIterable<TreeChange> {
    return changesOf(this.#site, CheckpointId.parse(handle), since === null ? null : CheckpointId.parse(since), signal)
  }

  measure(machineId: MachineId, signal: AbortSignal): Promise<Usage | null> {
    return usageOf(this.#site, machineId, signal)
  }

  limit(machineId: MachineId, limits: MachineLimits, signal: AbortSignal): Promise<void> {
    return this.#inTurn(machineId, signal, async () => {
      const site = this.#site
      const known = await site.records.find(machineId)
      if (known === null || known.state === 'remains') return
      const record = await site.records.set(machineId, { limits: JSON.stringify(limits) })
      const found = record.state === 'made' ? await ownVm(site, record, signal) : null
      // The next start sees what is new, and begins with a boot.
      if (found !== null && !isLockedForLong(found.status) && (await resizeVm(site, found.record, signal))) await site.records.set(machineId, { reboot: true })
    })
  }

  async list(signal: AbortSignal): Promise<readonly ObservedMachine[]> {
    const observed = await observe(this.#site, signal)
    this.#leftBehind = await leftBehind(this.#site, observed)
    this.#tidying ??= tidy(this.#site, this.#ending.signal)
      .catch((err) => {
        if (!this.#ending.signal.aborted) this.#site.logger.warn({ err }, 'tidying up failed')
      })
      .finally(() => {
        this.#tidying = null
      })
    return observed
  }

  /** Resolves when nothing is being tidied up any more. */
  async settled(): Promise<void> {
    await this.#tidying
  }

  /** Whoever closes it also closes the client and the gate. VMs go on; the next Hub finds them. */
  async close(): Promise<void> {
    this.#ending.abort(new AutovibeError('operation.cancelled', 'The Hub ends.'))
    await this.#tidying
  }

  async #placed({ machineId, from, limits = this.#capabilities.defaultLimits, group }: CreateMachine, signal: AbortSignal): Promise<VmRecord> {
    const site = this.#site
    const tree = from === null ? null : CheckpointId.parse(from)
    const wish = { limits, group: site.settings.spread ? (group ?? null) : null }
    // From the checkpoint's own snapshot where the storage can share it, which is the quickest; else the tree comes out of the store.
    const shared = tree === null ? null : await this.#shared(tree, signal)
    const choices = [...(shared === null ? [] : [shared]), await templateChoice(site, signal)]
    const isTaken = await takenNumbers(site, signal)
    return site.locks.run('placing', async () => {
      const { node, source } = await choosePlace(site, wish, choices)
      const vm = { machineId, name: vmName(site.hubId, machineId), group: group ?? null, node, source, tree: tree ?? ('empty' as const), limits }
      return site.records.add(vm, site.settings.vmids, isTaken)
    })
  }

  async #shared(tree: CheckpointId, signal: AbortSignal): Promise<Choice | null> {
    const site = this.#site
    const snapshot = await site.records.snapshot(tree)
    const isTaken = snapshot?.state === 'taken'
    const owner = isTaken && snapshot.in_vm ? await site.records.find(snapshot.machine_id) : null
    const found = owner === null ? null : await ownVm(site, owner, signal)
    // While it is copied or moved as a whole, Proxmox clones nothing of it.
    if (found !== null && !isLockedForLong(found.status)) {
      const { vmid, node } = found.record
      const choice = await snapshotChoice(site, { vmid, node, snapshot: tree }, signal)
      if (choice !== null) return choice
    }
    if (!isTaken && !isToBeHad(await site.trees.state(tree))) throw gone(tree)
    return null
  }

  /** Whether the store has all trees that would go when the whole VM goes back; waits for those that are on their way. */
  async #othersAreKept(machine: VmRecord, to: CheckpointId, signal: AbortSignal): Promise<boolean> {
    const site = this.#site
    const { clock } = site.client
    const others = (await site.records.snapshots(machine.machine_id)).filter(({ checkpoint_id, state }) => checkpoint_id !== to && state === 'taken')
    const untilMs = clock.nowMs() + site.patience.storeMs
    for (;;) {
      const states = await Promise.all(others.map(({ checkpoint_id }) => site.trees.state(checkpoint_id)))
      if (!states.includes('coming')) return !states.includes('lost')
      if (clock.nowMs() >= untilMs) return false
      // Whoever stores them reads them from this guest.
      await guestOf(site, machine, signal)
      await clock.pause(STORE_POLL_MS, signal)
    }
  }

  async #made(machineId: MachineId): Promise<VmRecord> {
    const record = await this.#site.records.find(machineId)
    if (record?.state === 'made') return record
    throw new AutovibeError('substrate.failed', `The machine ${machineId} does not exist on this substrate.`, {
      fix: 'autovibe ps --all shows what became of it.',
    })
  }

  /** A call that was cancelled before its turn changes nothing. */
  #inTurn<T>(machineId: MachineId, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#site.locks.run(machineId, async () => {
      signal.throwIfAborted()
      return work()
    })
  }
}
