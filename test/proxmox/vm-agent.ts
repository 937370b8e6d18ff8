/** …/agent/*: what Proxmox passes on to the QEMU guest agent, and how it says that there is none. */
import { Buffer } from 'node:buffer'
import { died, textOf } from './answers.ts'
import { type Call, type Endpoints, vmOf } from './call.ts'
import { type GuestAgent, GuestAgentError } from './guests.ts'

/** Commands without parameters, by their method. */
const PLAIN: Readonly<Record<'GET' | 'POST', readonly string[]>> = {
  GET: [
    'get-time',
    'info',
    'network-get-interfaces',
    'get-vcpus',
    'get-fsinfo',
    'get-memory-blocks',
    'get-memory-block-info',
    'get-host-name',
    'get-osinfo',
    'get-users',
    'get-timezone',
  ],
  POST: ['ping', 'fsfreeze-status', 'fsfreeze-freeze', 'fsfreeze-thaw', 'fstrim', 'suspend-hybrid', 'suspend-ram', 'suspend-disk', 'shutdown'],
}
const MAX_READ_BYTES = 16 * 1024 * 1024

const plain = (command: string) => async (call: Call) => ({ result: (await ask(call, `guest-${command}`, {})) ?? {} })

export const VM_AGENT: Endpoints = {
  ...Object.fromEntries(
    Object.entries(PLAIN).flatMap(([method, commands]) => commands.map((command) => [`${method} /nodes/{node}/qemu/{vmid}/agent/${command}`, plain(command)])),
  ),
  'GET /nodes/{node}/qemu/{vmid}/agent': () =>
    [...PLAIN.GET, ...PLAIN.POST, 'exec', 'exec-status', 'file-read', 'file-write', 'set-user-password'].sort().map((name) => ({ name })),
  'POST /nodes/{node}/qemu/{vmid}/agent': (call) => plain(call.parameters.required('command'))(call),
  'POST /nodes/{node}/qemu/{vmid}/agent/exec': exec,
  'GET /nodes/{node}/qemu/{vmid}/agent/exec-status': execStatus,
  'GET /nodes/{node}/qemu/{vmid}/agent/file-read': fileRead,
  'POST /nodes/{node}/qemu/{vmid}/agent/file-write': fileWrite,
  'POST /nodes/{node}/qemu/{vmid}/agent/set-user-password': async (call) => {
    const password = Buffer.from(call.parameters.required('password')).toString('base64')
    return {
      result:
        (await ask(call, 'guest-set-user-password', { username: call.parameters.required('username'), password, crypted: call.parameters.flag('crypted') })) ??
        {},
    }
  },
}

function available(call: Call): GuestAgent {
  const vm = vmOf(call)
  if (vm.config['agent'] === undefined) throw died('No QEMU guest agent configured')
  if (vm.pid === null) throw died(`VM ${vm.vmid} is not running`)
  const agent = vm.paused ? null : call.cluster.guests.agent(vm.vmid)
  if (!agent) throw died('QEMU guest agent is not running')
  return agent
}

const ask = (call: Call, command: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown> => answered(available(call), command, parameters)

async function answered(agent: GuestAgent, command: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown> {
  try {
    return await agent.execute(command, parameters)
  } catch (error) {
    if (error instanceof GuestAgentError) throw died(`Agent error: ${textOf(error)}`)
    throw error
  }
}

async function exec(call: Call): Promise<unknown> {
  const [path, ...arg] = call.parameters.list('command')
  const input = call.parameters.text('input-data')
  const parameters = {
    'capture-output': true,
    ...(path === undefined ? {} : { path, arg }),
    ...(input === undefined ? {} : { 'input-data': Buffer.from(input).toString('base64') }),
  }
  if (path === undefined && input === undefined) throw died('command or input-data (or both) required')
  return ask(call, 'guest-exec', parameters)
}

async function execStatus(call: Call): Promise<unknown> {
  const answer = (await ask(call, 'guest-exec-status', { pid: Number(call.parameters.required('pid')) })) as Record<string, unknown>
  const shown = Object.entries(answer).map(([key, value]) => {
    if (key === 'out-data' || key === 'err-data') return [key, Buffer.from(String(value), 'base64').toString('utf8')]
    return [key, typeof value === 'boolean' ? Number(value) : value]
  })
  return Object.fromEntries(shown)
}

async function fileRead(call: Call): Promise<unknown> {
  const agent = available(call)
  const most = call.parameters.number('count') ?? MAX_READ_BYTES
  const handle = await answered(agent, 'guest-file-open', { path: call.parameters.required('file'), mode: 'r' })
  try {
    if (call.parameters.number('offset')) await answered(agent, 'guest-file-seek', { handle, offset: call.parameters.number('offset'), whence: 'set' })
    const read = (await answered(agent, 'guest-file-read', { handle, count: most })) as { 'buf-b64': string; count: number; eof: boolean }
    const content = call.parameters.text('decode') === '0' ? read['buf-b64'] : Buffer.from(read['buf-b64'], 'base64').toString('utf8')
    return { content, 'bytes-read': read.count, ...(read.eof ? {} : { truncated: 1 }) }
  } finally {
    await answered(agent, 'guest-file-close', { handle })
  }
}

async function fileWrite(call: Call): Promise<null> {
  const agent = available(call)
  const content = call.parameters.required('content')
  const handle = await answered(agent, 'guest-file-open', { path: call.parameters.required('file'), mode: 'wb' })
  try {
    await answered(agent, 'guest-file-write', { handle, 'buf-b64': call.parameters.text('encode') === '0' ? content : Buffer.from(content).toString('base64') })
  } finally {
    await answered(agent, 'guest-file-close', { handle })
  }
  return null
}
