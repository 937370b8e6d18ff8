/** Races against the Hub while it copies a tree: a machine that will not stand still puts links in the place of folders. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { systemRuntime } from '../../packages/hub/runtime.ts'
import type { SnapshotHandle } from '../../packages/hub/substrates/substrate.ts'
import { perl, unknownNumbers } from './perl.ts'
import { Stage, signal } from './stage.ts'

const FOLDERS = 200
const ROUNDS = 2
/** A race that is never won in so many rounds outside would prove nothing inside. */
const OUTSIDE_ROUNDS = 400

/**
 * Folders with one file named `secret` are exchanged again and again with links to the folder that holds the real one (RENAME_EXCHANGE), so that every path exists at
 * all times. `unruly` processes continue all others, so that the Hub cannot hold them still; a file stays open for writing, so that it cannot make the tree read-only.
 */
const flipping = (target: string, unruly: number): string =>
  perl(`alarm(60); open(W,">","busy"); mkdir("flip"); chdir("flip");
    for my $n (1..${FOLDERS}) { mkdir("d$n"); open(F,">","d$n/secret"); print F "harmless"; close(F); symlink("${target}","l$n") }
    for (1..${unruly}) { if(!fork()) { my $end=time+60; while(time<$end) { kill("CONT",-1); select(undef,undef,undef,0.001); exit 0 if fork() } exit 0 } } $|=1; print "ready\\n";
    my @p=map { ["d$_\\0","l$_\\0"] } 1..${FOLDERS}; for(;;) { for (@p) { syscall($N{renameat2},-100,$_->[0],-100,$_->[1],2) } }`)

let stage: Stage
/** Holds the secret alone, so that every name that is read through a link exists there too. */
let vault = ''
before(async () => {
  stage = await Stage.open()
  vault = join(stage.outside, 'vault')
  await mkdir(vault)
  await writeFile(join(vault, 'secret'), stage.secret, { mode: 0o600 })
})
after(() => stage.close())

test('a link put in the place of a folder while the tree is copied leads nowhere', { skip: unknownNumbers }, async (t) => {
  if (stage.weak !== false) return t.skip(stage.weak)
  const rounds = await roundsUntilWon()
  assert.ok(rounds < OUTSIDE_ROUNDS, 'it does not even succeed outside')
  t.diagnostic(`a plain copy followed the link in round ${rounds}`)

  const machineId = await stage.machine()
  assert.equal(
    (await stage.inside(`cd project; ${flipping(vault, 4)} >/machine/home/said 2>&1 & until grep -q ready /machine/home/said 2>/dev/null; do sleep 0.05; done`))
      .code,
    0,
  )
  let [copied, failed] = [0, 0]
  for (let round = 0; round < ROUNDS; round++) {
    try {
      const { handle } = await stage.substrate.snapshot(machineId, systemRuntime.newId('checkpoint'), signal)
      copied += 1
      assert.deepEqual(await leaks(handle), [])
      await stage.substrate.dropSnapshot(handle, signal)
    } catch (error) {
      // A copy of a tree that changes under it may fail; then nothing of it is kept.
      if (!(error instanceof AutovibeError)) throw error
      failed += 1
    }
  }
  t.diagnostic(`${copied} snapshots of the unruly machine, ${failed} refused`)
})

/** How many copies of such a tree the host makes until one holds the secret. */
async function roundsUntilWon(): Promise<number> {
  const tree = join(stage.outside, 'tree')
  await mkdir(tree)
  const flipper = spawn('sh', ['-c', `exec ${flipping(vault, 0)}`], { cwd: tree, stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => flipper.stdout.once('data', resolve))
  try {
    for (let round = 0; round < OUTSIDE_ROUNDS; round++) {
      await stage.onHost(`rm -rf copy; cp -a tree copy 2>/dev/null; true`)
      for (const name of await readdir(join(stage.outside, 'copy/flip')))
        if (name.startsWith('d') && (await readFile(join(stage.outside, 'copy/flip', name, 'secret'), 'utf8').catch(() => '')) === stage.secret) return round
    }
    return OUTSIDE_ROUNDS
  } finally {
    flipper.kill('SIGKILL')
  }
}

/** The files of a snapshot that hold the secret of the host. */
async function leaks(handle: SnapshotHandle): Promise<string[]> {
  const found: string[] = []
  for await (const change of stage.substrate.changes(handle, null, signal))
    if (change.kind === 'put' && change.entry.type === 'file' && (await text(change.open())).includes(stage.secret)) found.push(change.entry.path)
  return found
}
