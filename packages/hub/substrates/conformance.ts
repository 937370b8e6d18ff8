/** The suite that every substrate passes: what the port promises, tried with a real agent, a real door and real files. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import { systemRuntime } from '../runtime.ts'
import { ConformanceDoor, type ScriptResult } from './conformance-door.ts'
import { accountAfter, accountFromInside, type TreeAccount } from './conformance-tree.ts'
import type { SnapshotHandle, Substrate } from './substrate.ts'

/** The program to start in machines in place of the real agent. */
export const CONFORMANCE_AGENT = fileURLToPath(new URL('conformance-agent.ts', import.meta.url))

export interface ConformanceGround {
  /** Opens the substrate, and again on the same ground, as a Hub does that was killed and restarted. */
  open(door: ConformanceDoor): Promise<Substrate>
  /** Ends a machine's processes from outside, as a crash of its host would. */
  crash(machineId: MachineId): Promise<void>
  /** Takes the ground away; whatever is left on it is a failure. */
  dispose(): Promise<void>
}

const signal = new AbortController().signal
const EMPTY: TreeAccount = new Map()
const TOKEN = 'a-token-of-the-machine'

/** Names, kinds and modes that trees really hold; every later scene builds on it. */
const AWKWARD = `
cd project
mkdir -p deep/er/est empty 'with space' locked gone opaque/old
printf one >deep/er/est/file; printf two >'with space/größe'; printf three >"$(printf 'bad\\377name')"; printf four >'back\\slash'; printf 'five' >"$(printf 'new\\nline')"
printf run >tool; chmod 755 tool; printf secret >locked/key; chmod 600 locked/key
ln -s ../home target; ln -s nowhere dangling; ln -s "$(printf 'to\\376')" badlink
printf x >gone/a; printf y >opaque/old/b; printf z >opaque/c; printf k >kind; printf h >first; ln first second; : >nothing
mkfifo pipe; printf dot >../home/.hidden`

const SECOND = `
cd project
rm -r gone; rm -r opaque; mkdir opaque; printf new >opaque/c
mv deep moved; mv 'with space/größe' tool2; rm kind; mkdir kind; printf in >kind/er; rm -r empty; printf file >empty
chmod 700 tool; printf 'more' >>first; rm dangling; ln -s elsewhere dangling; rm "$(printf 'bad\\377name')"
touch -d @1000000000 second; printf bytes >same; touch -d @1000000000 same; mkdir -p a/b/c/d`

/** Same size, same time as before, other bytes. */
const FORGED = `cd project; printf BYTES >same; touch -d @1000000000 same; : >>nothing; rm -r a/b; mkdir a/b; printf q >a/b/c`

/** Registers the cases with node:test. */
export function substrateConformance(name: string, prepare: () => Promise<ConformanceGround>): void {
  describe(name, () => {
    let ground: ConformanceGround
    let door: ConformanceDoor
    let substrate: Substrate
    const machines = new Set<MachineId>()
    const checkpoints = new Set<CheckpointId>()

    before(async () => {
      ground = await prepare()
      door = new ConformanceDoor()
      substrate = await ground.open(door)
    })
    after(async () => {
      for (const machineId of machines) await substrate.destroy(machineId, signal)
      for (const checkpointId of checkpoints) await substrate.dropSnapshot(checkpointId, signal)
      await door.closeAll()
      await ground.dispose()
    })

    const create = async (from: SnapshotHandle | null = null): Promise<MachineId> => {
      const machineId = systemRuntime.newId('machine')
      machines.add(machineId)
      await substrate.create({ machineId, name: 'conform', from, token: TOKEN }, signal)
      return machineId
    }
    const running = async (from: SnapshotHandle | null = null): Promise<MachineId> => {
      const machineId = await create(from)
      await substrate.start(machineId, signal)
      return machineId
    }
    const script = async (machineId: MachineId, text: string): Promise<ScriptResult> => {
      const result = await door.run(machineId, `set -e\n${text}`)
      assert.equal(result.code, 0, result.output.toString('latin1'))
      return result
    }
    const newCheckpoint = (): CheckpointId => {
      const checkpointId = systemRuntime.newId('checkpoint')
      checkpoints.add(checkpointId)
      return checkpointId
    }
    const look = (machineId: MachineId) => accountFromInside(door, machineId)
    const power = async (machineId: MachineId) => (await substrate.list(signal)).find((machine) => machine.machineId === machineId)?.power
    const treeOf = async (handle: SnapshotHandle) => (await accountAfter(EMPTY, substrate.changes(handle, null, signal))).account
    const endsWith = (code: string) => (error: unknown) => error instanceof AutovibeError && error.code === code

    test('create, start, stop and destroy may be repeated, and the list tells what is', async () => {
      const machineId = systemRuntime.newId('machine')
      machines.add(machineId)
      assert.equal(await power(machineId), undefined)
      await substrate.stop(machineId, signal)
      for (let twice = 0; twice < 2; twice++) {
        await substrate.create({ machineId, name: 'conform', from: null, token: TOKEN }, signal)
        assert.equal(await power(machineId), 'stopped')
      }
      for (let twice = 0; twice < 2; twice++) {
        await substrate.start(machineId, signal)
        assert.equal(await power(machineId), 'running')
      }
      const said = await script(machineId, 'echo kept >project/file; cat "$AUTOVIBE_TOKEN_FILE"')
      assert.equal(said.output.toString(), TOKEN)
      assert.equal(said.token, TOKEN)
      await substrate.create({ machineId, name: 'conform', from: null, token: TOKEN }, signal)
      const usage = await substrate.measure(machineId, signal)
      assert.ok(usage !== null && usage.processes >= 1 && usage.memoryBytes > 0)
      for (let twice = 0; twice < 2; twice++) {
        await substrate.stop(machineId, signal)
        assert.equal(await power(machineId), 'stopped')
      }
      assert.equal(await substrate.measure(machineId, signal), null)
      await substrate.start(machineId, signal)
      assert.equal((await script(machineId, 'cat project/file')).output.toString(), 'kept\n')
      for (let twice = 0; twice < 2; twice++) {
        await substrate.destroy(machineId, signal)
        assert.equal(await power(machineId), undefined)
      }
    })

    test('the token is on no command line and in no environment', async () => {
      const machineId = await running()
      const { output } = await script(
        machineId,
        `for p in /proc/[0-9]*; do cat $p/cmdline $p/environ 2>/dev/null || true; done | tr '\\0' '\\n' | grep -c -F -f "$AUTOVIBE_TOKEN_FILE" || true`,
      )
      assert.equal(output.toString().trim(), '0')
    })

    test('a snapshot holds the tree of its moment, and changes are what lies between two', async () => {
      const machineId = await running()
      await script(machineId, AWKWARD)
      const scenes = [await look(machineId)]
      const handles = [(await substrate.snapshot(machineId, newCheckpoint(), signal)).handle]
      for (const scene of [SECOND, FORGED]) {
        await script(machineId, scene)
        scenes.push(await look(machineId))
        handles.push((await substrate.snapshot(machineId, newCheckpoint(), signal)).handle)
      }
      for (const [at, handle] of handles.entries()) {
        assert.deepEqual(await treeOf(handle), scenes[at])
        for (let since = 0; since < at; since++) {
          const { account } = await accountAfter(scenes[since] ?? EMPTY, substrate.changes(handle, handles[since] ?? null, signal))
          assert.deepEqual(account, scenes[at])
        }
        assert.equal((await accountAfter(EMPTY, substrate.changes(handle, handle, signal))).changes, 0)
      }
    })

    test('changes are no more than what differs', async () => {
      const machineId = await running()
      await script(machineId, 'mkdir -p project/a/b; for i in 1 2 3 4 5; do echo $i >project/a/b/$i; done; echo s >project/same')
      const first = await substrate.snapshot(machineId, newCheckpoint(), signal)
      await script(machineId, 'echo changed >project/a/b/3; : >>project/same; rm project/a/b/5')
      const second = await substrate.snapshot(machineId, newCheckpoint(), signal)
      const found: string[] = []
      for await (const change of substrate.changes(second.handle, first.handle, signal))
        found.push(change.kind === 'put' ? change.entry.path : `-${change.path}`)
      assert.deepEqual(found.sort(), ['-project/a/b/5', 'project/a/b/3'])
    })

    test('random work in many rounds is told without a gap', async () => {
      const machineId = await running()
      let scene = await look(machineId)
      let handle = (await substrate.snapshot(machineId, newCheckpoint(), signal)).handle
      for (let round = 1; round <= 5; round++) {
        await door.run(machineId, randomWork(round))
        const now = await look(machineId)
        const next = (await substrate.snapshot(machineId, newCheckpoint(), signal)).handle
        assert.deepEqual((await accountAfter(scene, substrate.changes(next, handle, signal))).account, now, `seed ${round}`)
        scene = now
        handle = next
      }
      const fork = await running(handle)
      assert.deepEqual(await look(fork), scene)
    })

    test('a fork starts from the snapshot and goes its own way; a rollback returns to it', async () => {
      const machineId = await running()
      await script(machineId, AWKWARD)
      const scene = await look(machineId)
      const { handle } = await substrate.snapshot(machineId, newCheckpoint(), signal)
      await script(machineId, SECOND)
      const later = await look(machineId)
      const fork = await running(handle)
      assert.deepEqual(await look(fork), scene)
      await script(fork, 'rm -r project/opaque; echo fork >project/fork')
      assert.deepEqual(await look(machineId), later)
      for (let twice = 0; twice < 2; twice++) {
        await substrate.rollback(machineId, handle, signal)
        assert.equal(await power(machineId), 'stopped')
      }
      await substrate.start(machineId, signal)
      assert.deepEqual(await look(machineId), scene)
      await script(machineId, 'echo after >project/after')
      const next = await substrate.snapshot(machineId, newCheckpoint(), signal)
      assert.deepEqual((await accountAfter(scene, substrate.changes(next.handle, handle, signal))).account, await look(machineId))
      const forked = await substrate.snapshot(fork, newCheckpoint(), signal)
      assert.deepEqual((await accountAfter(scene, substrate.changes(forked.handle, handle, signal))).account, await look(fork))
    })

    test('a snapshot asked for twice is one, and a stopped machine has snapshots too', async () => {
      const machineId = await running()
      await script(machineId, 'echo one >project/file')
      const checkpointId = newCheckpoint()
      const first = await substrate.snapshot(machineId, checkpointId, signal)
      await script(machineId, 'echo two >project/file')
      assert.deepEqual(await substrate.snapshot(machineId, checkpointId, signal), first)
      await substrate.stop(machineId, signal)
      const second = await substrate.snapshot(machineId, newCheckpoint(), signal)
      assert.equal(second.consistency, 'consistent')
      const paths: string[] = []
      for await (const change of substrate.changes(second.handle, first.handle, signal)) if (change.kind === 'put') paths.push(change.entry.path)
      assert.deepEqual(paths, ['project/file'])
    })

    test('a snapshot that is gone or not on the line is refused by name', async () => {
      const machineId = await running()
      const first = (await substrate.snapshot(machineId, newCheckpoint(), signal)).handle
      const other = (await substrate.snapshot(await running(), newCheckpoint(), signal)).handle
      const drain = async (handle: SnapshotHandle, since: SnapshotHandle | null) => void (await accountAfter(EMPTY, substrate.changes(handle, since, signal)))
      await assert.rejects(drain(first, other), endsWith('substrate.failed'))
      for (let twice = 0; twice < 2; twice++) await substrate.dropSnapshot(other, signal)
      await assert.rejects(drain(other, null), endsWith('substrate.snapshot_gone'))
      await assert.rejects(drain(first, other), endsWith('substrate.snapshot_gone'))
      await assert.rejects(create(other), endsWith('substrate.snapshot_gone'))
      await assert.rejects(substrate.rollback(machineId, other, signal), endsWith('substrate.snapshot_gone'))
    })

    test('dropping snapshots harms neither the machines nor the snapshots that came from them', async () => {
      const machineId = await running()
      const handles: SnapshotHandle[] = []
      for (const round of [1, 2, 3]) {
        await script(machineId, `echo ${round} >project/file${round}`)
        handles.push((await substrate.snapshot(machineId, newCheckpoint(), signal)).handle)
      }
      const scene = await look(machineId)
      const fork = await create(handles[2])
      for (const handle of handles.slice(0, 2)) await substrate.dropSnapshot(handle, signal)
      await substrate.destroy(machineId, signal)
      assert.deepEqual(await treeOf(handles[2] ?? ''), scene)
      await substrate.dropSnapshot(handles[2] ?? '', signal)
      await substrate.start(fork, signal)
      assert.deepEqual(await look(fork), scene)
    })

    test('a process that stands in the tree works on through a snapshot, which stays as it was', async () => {
      const machineId = await running()
      await script(
        machineId,
        'cd project; mkdir stand; (cd stand; i=0; while :; do i=$((i+1)); echo $i >count.new && mv count.new count || echo failed >>"$HOME/failed"; sleep 0.01; done) >/dev/null 2>&1 &',
      )
      await script(machineId, 'while ! [ -s project/stand/count ]; do sleep 0.01; done')
      const { handle } = await substrate.snapshot(machineId, newCheckpoint(), signal)
      const frozen = await treeOf(handle)
      await script(machineId, 'was=$(cat project/stand/count); while [ "$(cat project/stand/count)" = "$was" ]; do sleep 0.01; done; ! [ -e home/failed ]')
      assert.deepEqual(await treeOf(handle), frozen)
      const now = await substrate.snapshot(machineId, newCheckpoint(), signal)
      assert.deepEqual((await accountAfter(frozen, substrate.changes(now.handle, handle, signal))).account, await treeOf(now.handle))
    })

    test('a file that is open for writing does not prevent a snapshot, which says what it is', async () => {
      const machineId = await running()
      await script(machineId, '(exec 5>project/open; echo half >&5; echo ready >project/ready; while :; do sleep 1; done) >/dev/null 2>&1 &')
      await script(machineId, 'while ! [ -e project/ready ]; do sleep 0.01; done')
      const { handle, consistency } = await substrate.snapshot(machineId, newCheckpoint(), signal)
      assert.equal(consistency, 'fuzzy')
      assert.ok((await treeOf(handle)).has('project/open'))
    })

    test('what an agent locks away is still kept, told and removed', async () => {
      const machineId = await running()
      await script(machineId, 'cd project; mkdir -p vault/in; echo gold >vault/in/bar; echo x >plain')
      const first = await substrate.snapshot(machineId, newCheckpoint(), signal)
      const scene = await look(machineId)
      await script(machineId, 'cd project; echo more >vault/in/bar; echo y >vault/in/new; chmod 0 vault/in/bar vault/in vault plain')
      const second = await substrate.snapshot(machineId, newCheckpoint(), signal)
      const { account } = await accountAfter(scene, substrate.changes(second.handle, first.handle, signal))
      assert.equal(account.get('project/vault'), 'directory 0')
      assert.equal(account.get('project/vault/in/bar')?.split(' ')[1], '0')
      assert.ok(account.has('project/vault/in/new'))
      assert.deepEqual(await treeOf(second.handle), account)
      const fork = await running(second.handle)
      assert.equal((await script(fork, 'cd project; chmod 700 vault vault/in; chmod 600 vault/in/bar; cat vault/in/bar')).output.toString(), 'more\n')
      for (const gone of [machineId, fork]) await substrate.destroy(gone, signal)
      await substrate.dropSnapshot(second.handle, signal)
    })

    test('a machine that crashed is seen, keeps its tree and starts again', async () => {
      const machineId = await running()
      await script(machineId, 'echo kept >project/file')
      await ground.crash(machineId)
      assert.equal(await power(machineId), 'stopped')
      assert.equal(await substrate.measure(machineId, signal), null)
      const { handle } = await substrate.snapshot(machineId, newCheckpoint(), signal)
      assert.ok((await treeOf(handle)).has('project/file'))
      await substrate.start(machineId, signal)
      assert.equal((await script(machineId, 'cat project/file')).output.toString(), 'kept\n')
    })

    test('a running machine outlives its Hub, and the next Hub commands it', async () => {
      const machineId = await running()
      const agent = (await script(machineId, 'echo one >project/file; echo $PPID')).output.toString()
      const first = await substrate.snapshot(machineId, newCheckpoint(), signal)
      await door.closeAll()
      door = new ConformanceDoor()
      substrate = await ground.open(door)
      assert.equal(await power(machineId), 'running')
      assert.equal((await script(machineId, 'cat project/file; echo $PPID')).output.toString(), `one\n${agent}`)
      await script(machineId, 'echo two >project/file')
      const second = await substrate.snapshot(machineId, newCheckpoint(), signal)
      const scene = await look(machineId)
      assert.deepEqual((await accountAfter(await treeOf(first.handle), substrate.changes(second.handle, first.handle, signal))).account, scene)
      await substrate.stop(machineId, signal)
      assert.equal(await power(machineId), 'stopped')
      await substrate.destroy(machineId, signal)
      assert.equal(await power(machineId), undefined)
    })

    test('a call that was cancelled changes nothing', async () => {
      const machineId = await create()
      const cancelled = AbortSignal.abort()
      await assert.rejects(substrate.start(machineId, cancelled))
      assert.equal(await power(machineId), 'stopped')
      const checkpointId = newCheckpoint()
      await assert.rejects(substrate.snapshot(machineId, checkpointId, cancelled))
      await assert.rejects(accountAfter(EMPTY, substrate.changes(checkpointId, null, signal)), endsWith('substrate.snapshot_gone'))
    })
  })
}

/** A script of thirty steps that follow from the seed: files and folders made, changed, moved, replaced and removed under few names, so that they meet. */
function randomWork(seed: number): string {
  let state = seed * 2654435761
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const path = (): string => ['project', ...Array.from({ length: 1 + next(3) }, () => 'abc'[next(3)] ?? 'a')].join('/')
  const steps = Array.from({ length: 30 }, (_, step) => {
    const [one, other] = [path(), path()]
    return [
      `mkdir -p ${one}`,
      `echo ${seed}.${step} >${one}`,
      `echo more >>${one}`,
      `rm -rf ${one}`,
      `mv ${one} ${other}`,
      `rm -rf ${one}; mkdir ${one}; echo ${step} >${one}/c`,
      `ln -sfn ${other} ${one}`,
      `chmod ${700 + next(8)} ${one}`,
      `cp -a ${one} ${other}`,
    ][next(9)]
  })
  return steps.map((step) => `{ ${step}; } 2>/dev/null || true`).join('\n')
}
