/** The guest as it runs in a VM: root itself, its agent an ordinary user that has its tree where every machine has it, and no way to what is the guest's. */
import assert from 'node:assert/strict'
import { chmod, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { Ground, never, newCheckpoint, newMachine, treeOf } from './testing/ground.ts'

const SCRIPT = `
cd "$AUTOVIBE_TREE" && exec >home/said 2>&1
id -u; id -g; id -G; pwd -P; echo "$HOME"; cat "$AUTOVIBE_TOKEN_FILE"; echo; ls project
grep -E '^(NoNewPrivs|CapEff|CapBnd)' /proc/self/status
cat "$GUEST_STATE/identity.json"; ls "$GUEST_STATE"; ls "$GUEST_STATE/trees/frozen"; echo x >"$AUTOVIBE_TOKEN_FILE"
mv home/said home/done; exec sleep 1000`

suite('a guest that is root', { skip: process.getuid?.() === 0 ? false : 'only root starts processes of others' }, () => {
  test('gives its agent a tree and a token, and nothing else', async (t) => {
    const ground = await Ground.open()
    t.after(() => ground.close())
    await chmod(ground.folder, 0o711)
    const at = join(ground.folder, 'machine')
    const state = join(ground.folder, 'vm-0/state')
    const command = JSON.stringify(['/bin/sh', '-c', SCRIPT.replaceAll('$GUEST_STATE', state)])
    const vm = ground.vm({ args: ['--user', '4711:4712', '--tree-at', at, '--agent-command', command] })
    const machineId = newMachine()
    await vm.insert(await ground.gate.invite(machineId))
    vm.boot()
    const guest = await ground.linked(machineId)
    await guest.plant(null, never)
    await ground.start({ machineId, guest })
    const said = await doneBy(vm.tree, async () => void (await guest.state(never)))
    const lines = said.split('\n')
    assert.deepEqual(lines.slice(0, 6), ['4711', '4712', '4712', at, join(at, 'home'), 'a-token-of-the-machine'])
    assert.match(said, /CapEff:\s+0000000000000000\n.*CapBnd:\s+0000000000000000\n.*NoNewPrivs:\s+1/s)
    assert.equal(said.match(/Permission denied/g)?.length, 4)
    // What the agent sees there is seen by its processes alone.
    await assert.rejects(stat(join(at, 'home')), { code: 'ENOENT' })
    for (const [path, mode] of [
      ['run/token', 0o400],
      ['run/hub.sock', 0o600],
    ] as const) {
      const { uid, gid, mode: has } = await stat(join(vm.folder, path))
      assert.deepEqual([uid, gid, has & 0o777], [4711, 4712, mode])
    }
    assert.equal((await stat(join(vm.state, 'identity.json'))).mode & 0o777, 0o600)
    assert.ok((await guest.state(never)).processes >= 1)
    const id = newCheckpoint()
    await guest.freeze(id, never)
    await guest.stopAgent(never)
    assert.equal((await guest.state(never)).processes, 0)
    await rm(join(vm.tree, 'home/done'))
    await guest.rollBack(id, never)
    const { uid, gid } = await stat(join(vm.tree, 'home/done'))
    assert.deepEqual([uid, gid], [4711, 4712])
    assert.deepEqual([...(await treeOf(guest, id)).keys()].sort(), ['home', 'home/done', 'project'])
  })
})

/** Looks until the agent has finished its account; each look waits for the guest. */
async function doneBy(tree: string, look: () => Promise<void>): Promise<string> {
  for (let looks = 0; looks < 5_000; looks++) {
    const said = await readFile(join(tree, 'home/done'), 'utf8').catch(() => null)
    if (said !== null) return said
    await look()
  }
  throw new Error('the agent did not finish its account')
}
