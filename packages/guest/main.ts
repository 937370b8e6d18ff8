/** Starts the guest: as root in a machine's VM, from boot on until the VM ends. */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { Agent } from './agent/agent.ts'
import { readBoot } from './boot.ts'
import { answering } from './calls/answer.ts'
import { openDoor } from './door/door.ts'
import { Identities } from './link/identity.ts'
import { keepLink } from './link/keep-link.ts'
import { rekeySystem } from './rekey.ts'
import { settingsFrom } from './settings.ts'
import { DiskLook } from './trees/disk-look.ts'
import { Trees } from './trees/trees.ts'

const settings = settingsFrom(process.argv.slice(2))
const { stateFolder, runFolder, owner, treeAt, rekeyRoot } = settings

/** One JSON line each on standard error, which the system's journal keeps. */
const log = (message: string, fields: object = {}): void =>
  void process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), message, ...fields })}\n`)
const warn = (message: string, error: unknown): void => log(message, { reason: error instanceof Error ? error.message : String(error) })

await mkdir(stateFolder, { recursive: true })
// Whoever has a tree of its own in sight needs no way through this folder.
await chmod(stateFolder, treeAt === null ? 0o711 : 0o700)
const identities = new Identities({
  folder: stateFolder,
  invitationFile: settings.invitationFile,
  rekey: async (invitation) => {
    if (rekeyRoot !== null) await rekeySystem(rekeyRoot, invitation)
  },
})

if (settings.onlyRekey) await identities.prepare()
else await run()

async function run(): Promise<void> {
  await mkdir(runFolder, { recursive: true, mode: 0o755 })
  const treesFolder = join(stateFolder, 'trees')
  await mkdir(treesFolder, { recursive: true })
  await chmod(treesFolder, 0o711)
  const socket = join(runFolder, 'hub.sock')
  const agent = new Agent({
    command: settings.agentCommand,
    tree: join(treesFolder, 'tree'),
    treeAt,
    socket,
    tokenFile: join(runFolder, 'token'),
    agentsDir: settings.agentsFolder,
    owner,
    warn,
  })
  await agent.begin()
  const trees = await Trees.open({ folder: treesFolder, owner, agent, onlyCopies: settings.onlyCopies, warn })
  const disk = new DiskLook(trees.tree)
  const boot = await readBoot(runFolder)
  const door = await openDoor(socket, owner, identities)
  log('the guest runs', { boot: boot.id, trees: trees.kind })
  const ending = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.abort())
  await keepLink({ identities, answer: answering({ agent, trees, disk, boot, log }), log }, ending.signal)
  await door.close()
  await agent.stop()
  await trees.settled()
  await trees.sync()
  process.exit(0)
}
