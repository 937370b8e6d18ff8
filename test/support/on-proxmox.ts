/** Brings a Proxmox cluster to the Hub of a place by the command, as a person would, and lets the Hub make its machines there. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TestCluster } from '../../packages/hub/substrates/proxmox/test-cluster.ts'
import type { StorageType } from '../proxmox/storages.ts'
import type { Place } from './command.ts'

const AGENT = fileURLToPath(new URL('../../packages/agent/main.ts', import.meta.url))

/** The Hub is up before and afterwards. The caller closes the cluster when the Hub has gone. */
export async function moveToProxmox(place: Place, storage: StorageType, archive?: StorageType): Promise<TestCluster> {
  const cluster = await TestCluster.start({
    storage,
    ...(archive === undefined ? {} : { archive }),
    nodes: 2,
    agent: AGENT,
    agentsDir: join(place.dataDir, 'agents'),
  })
  cluster.gatePort = await freePort()
  const { pve, settings, token } = cluster
  const [id = '', secret = ''] = token.split('=')
  const templates = settings.templates.map(({ vmid, node }) => `${vmid}@${node}`)
  const add = ['substrate', 'add', 'proxmox', 'lab', '--url', pve.url, '--fingerprint', pve.fingerprint, '--token-id', id, '--token-stdin']
  const where = ['--storage', settings.storage, '--template', ...templates, '--gate', `${settings.gate.host}:${settings.gate.port}`]
  const archives = settings.archive.storage === null ? [] : ['--archive', settings.archive.storage]
  await runs(place, [...add, ...where, ...archives, '--gate-listen', `127.0.0.1:${cluster.gatePort}`, '--memory', '1024', '--cores', '1'], secret)
  for (const args of [['substrate', 'use', 'lab'], ['down'], ['up']]) await runs(place, args)
  return cluster
}

async function runs(place: Place, args: readonly string[], input?: string): Promise<void> {
  const { code, stdout, stderr } = await place.run(args, input === undefined ? {} : { input })
  assert.equal(code, 0, `${args.join(' ')}: ${stdout}\n${stderr}`)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
