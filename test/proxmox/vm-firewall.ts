/** The firewall of a VM: options, rules by position, and what rules may refer to. */
import { createHash } from 'node:crypto'
import { badParameters, died, listOf } from './answers.ts'
import { networkOf } from './boot.ts'
import { type Call, type Endpoints, vmidOf } from './call.ts'
import type { Rule, Vm } from './cluster.ts'

const RULES = '/nodes/{node}/qemu/{vmid}/firewall/rules'
const OPTIONS = '/nodes/{node}/qemu/{vmid}/firewall/options'

export const VM_FIREWALL: Endpoints = {
  'GET /nodes/{node}/qemu/{vmid}/firewall': () => ['rules', 'aliases', 'ipset', 'refs', 'options'].map((name) => ({ name })),
  [`GET ${OPTIONS}`]: (call) => {
    const { options } = vmAnywhere(call).firewall
    return {
      ...Object.fromEntries(Object.entries(options).map(([key, value]) => [key, /^[01]$/.test(value) ? Number(value) : value])),
      digest: digest(options),
    }
  },
  [`PUT ${OPTIONS}`]: putOptions,
  [`GET ${RULES}`]: (call) => vmAnywhere(call).firewall.rules.map((rule, pos) => shown(rule, pos, vmAnywhere(call))),
  [`POST ${RULES}`]: addRule,
  [`GET ${RULES}/{pos}`]: (call) => {
    const vm = vmAnywhere(call)
    return shown(ruleAt(vm, call), position(call), vm)
  },
  [`PUT ${RULES}/{pos}`]: changeRule,
  [`DELETE ${RULES}/{pos}`]: async (call) => {
    const vm = vmAnywhere(call)
    checkDigest(call, vm.firewall.rules)
    ruleAt(vm, call)
    vm.firewall.rules.splice(position(call), 1)
    await tell(call, vm)
  },
  'GET /nodes/{node}/qemu/{vmid}/firewall/refs': (call) => (vmAnywhere(call), []),
}

/** Firewall files are the cluster's: whichever node is asked has them. */
function vmAnywhere(call: Call): Vm {
  const vm = call.cluster.vms.get(vmidOf(call))
  if (!vm) throw died(`no such VM ('${vmidOf(call)}')`)
  return vm
}

const digest = (value: unknown): string => createHash('sha1').update(JSON.stringify(value)).digest('hex')
const position = (call: Call): number => call.parameters.number('pos') ?? 0

function checkDigest(call: Call, value: unknown): void {
  const given = call.parameters.text('digest')
  if (given !== undefined && given !== digest(value)) throw died('detected modified configuration - file changed by other user? Try again.')
}

function ruleAt(vm: Vm, call: Call): Rule {
  const rule = vm.firewall.rules[position(call)]
  if (!rule) throw died(`no rule at position ${position(call)}`)
  return rule
}

/** A running guest feels it at once. */
const tell = async (call: Call, vm: Vm): Promise<void> =>
  void (vm.pid !== null && (await call.cluster.guests.networkChanged(vm.vmid, networkOf(call.cluster, vm))))

async function putOptions(call: Call): Promise<void> {
  const vm = vmAnywhere(call)
  checkDigest(call, vm.firewall.options)
  for (const key of listOf(call.parameters.text('delete'))) delete vm.firewall.options[key]
  Object.assign(vm.firewall.options, call.parameters.without('node', 'vmid', 'delete', 'digest'))
  await tell(call, vm)
}

/** New rules stand first unless they say where. */
async function addRule(call: Call): Promise<void> {
  const vm = vmAnywhere(call)
  const rule = made(call, undefined)
  const at = Math.min(call.parameters.number('pos') ?? 0, vm.firewall.rules.length)
  vm.firewall.rules.splice(at, 0, rule)
  await tell(call, vm)
}

async function changeRule(call: Call): Promise<void> {
  const vm = vmAnywhere(call)
  checkDigest(call, vm.firewall.rules)
  const before = ruleAt(vm, call)
  const to = call.parameters.number('moveto')
  vm.firewall.rules.splice(position(call), 1)
  vm.firewall.rules.splice(to ?? position(call), 0, to === undefined ? made(call, before) : before)
  await tell(call, vm)
}

function made(call: Call, before: Rule | undefined): Rule {
  const { parameters } = call
  const type = parameters.text('type') ?? before?.type ?? 'in'
  const action = parameters.text('action') ?? before?.action ?? ''
  if (type !== 'group' && !['ACCEPT', 'DROP', 'REJECT'].includes(action)) throw badParameters({ action: `unknown action '${action}'` })
  const removed = new Set(listOf(parameters.text('delete')))
  const text = (key: string, old: string | undefined): string | undefined => (removed.has(key) ? undefined : (parameters.text(key) ?? old))
  const [protocol, dport, sport] = [text('proto', before?.protocol), text('dport', before?.destinationPort), text('sport', before?.sourcePort)]
  if (protocol === undefined && (dport ?? sport) !== undefined) throw badParameters({ proto: "missing property - 'proto' is required" })
  const optional = {
    protocol,
    source: text('source', before?.source),
    destination: text('dest', before?.destination),
    sourcePort: sport,
    destinationPort: dport,
    comment: text('comment', before?.comment),
    macro: text('macro', before?.macro),
    iface: text('iface', before?.iface),
    log: text('log', before?.log),
    icmpType: text('icmp-type', before?.icmpType),
  }
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<Rule>
  // A rule that does not say so is off.
  return { ...given, type, action, direction: type === 'out' ? 'out' : 'in', enabled: (parameters.text('enable') ?? (before?.enabled ? '1' : '0')) !== '0' }
}

function shown(rule: Rule, pos: number, vm: Vm): unknown {
  const fields = {
    proto: rule.protocol,
    source: rule.source,
    dest: rule.destination,
    sport: rule.sourcePort,
    dport: rule.destinationPort,
    comment: rule.comment,
    macro: rule.macro,
    iface: rule.iface,
    log: rule.log,
    'icmp-type': rule.icmpType,
  }
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
  return { ...given, pos, type: rule.type, action: rule.action, enable: rule.enabled ? 1 : 0, digest: digest(vm.firewall.rules) }
}
