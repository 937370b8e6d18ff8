/** Who is compared: the bare upstream, our gateway, and the gateways of others as far as this machine can install them. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import npm from '../../scripts/npm.cjs'
import { timed } from '../support/command.ts'
import type { Place } from '../support/generator.ts'
import { installed } from '../support/installed.ts'
import { type PeerProcess, startPeer } from '../support/peer-process.ts'
import { MODEL } from '../support/stage.ts'

export interface Peer {
  readonly name: string
  /** Where connection `index` calls it. */
  readonly to: (index: number) => Place
}

const PORTKEY = '1.15.2'
/** With the newer ones that it asks for, it answers 500 to every stream. */
const PORTKEY_SERVER = '1.13.8'
/** The newest whose dependencies were all to be had. */
const LITELLM = '1.101.6'
const LITELLM_INSTALL_TIMEOUT_MS = 240_000

const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01', 'x-api-key': 'bench' }

export const barePeer = (port: number): Peer => ({ name: 'bare upstream', to: () => ({ port, path: '/v1/messages', headers }) })

/** Portkey's gateway, on the Node that runs ours. Rejects when it cannot be installed. */
export async function startPortkey(upstream: string): Promise<Peer & AsyncDisposable> {
  const folder = await installed(`portkey-${PORTKEY}`, async (cwd) => {
    const manifest = { private: true, dependencies: { '@portkey-ai/gateway': PORTKEY }, overrides: { '@hono/node-server': PORTKEY_SERVER } }
    await writeFile(join(cwd, 'package.json'), JSON.stringify(manifest))
    await npm.npm({ what: 'Portkey', args: ['install', '--ignore-scripts', '--fetch-timeout=20000'], cwd, node: process.execPath, cacheDir: join(cwd, 'npm') })
  })
  const main = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js')
  const server = await startPeer({ command: process.execPath, args: (port) => [main, `--port=${port}`, '--headless'], path: '/' })
  return served(`Portkey ${PORTKEY}`, server, { ...headers, 'x-portkey-provider': 'anthropic', 'x-portkey-custom-host': `${upstream}/v1` })
}

/** LiteLLM's proxy with a budget that is not used up. Rejects when there is no Python for it or it cannot be installed. */
export async function startLitellm(upstream: string, configFolder: string): Promise<Peer & AsyncDisposable> {
  const folder = await installed(`litellm-${LITELLM}`, async (cwd) => {
    await timed('python3', ['-c', 'import sys, venv, ensurepip; assert sys.version_info >= (3, 9), sys.version'])
    await timed('python3', ['-m', 'venv', join(cwd, 'venv')])
    await timed(join(cwd, 'venv/bin/pip'), ['install', '--quiet', '--retries', '1', `litellm[proxy]==${LITELLM}`], { timeoutMs: LITELLM_INSTALL_TIMEOUT_MS })
  })
  await mkdir(configFolder, { recursive: true })
  const config = join(configFolder, 'litellm.json')
  const params = { model: `anthropic/${MODEL}`, api_base: upstream, api_key: 'bench', input_cost_per_token: 3e-6, output_cost_per_token: 15e-6 }
  // JSON is YAML too.
  await writeFile(
    config,
    JSON.stringify({
      model_list: [{ model_name: MODEL, litellm_params: params }],
      litellm_settings: { max_budget: 1_000_000, budget_duration: '30d' },
    }),
  )
  const server = await startPeer({
    command: join(folder, 'venv/bin/litellm'),
    args: (port) => ['--config', config, '--host', '127.0.0.1', '--port', String(port), '--telemetry', 'False'],
    path: '/health/liveliness',
    env: { LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_LOG: 'ERROR' },
  })
  return served(`LiteLLM ${LITELLM}`, server, headers)
}

function served(name: string, server: PeerProcess, sent: Readonly<Record<string, string>>): Peer & AsyncDisposable {
  return { name, to: () => ({ port: server.port, path: '/v1/messages', headers: sent }), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}
