/** The gate, where machines come to the Hub: whether this host can listen there, and whether what machines are told leads to it. */
import { once } from 'node:events'
import { createServer, isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type Finding, splitEndpoint } from '@autovibe/contract'
import { isInSubnet } from '@autovibe/core/proxmox/addresses.ts'
import { failed, ok, warning } from './findings.ts'
import { type Site, setCommand } from './site.ts'

/** `serves`: the Hub works with the cluster now, so that it is the one who listens. */
export async function probeGate(site: Pick<Site, 'name' | 'config'>, serves: boolean, own: readonly string[] = ownAddresses()): Promise<readonly Finding[]> {
  return [await listening(site, serves), ...advertised(site, own)]
}

async function listening(site: Pick<Site, 'name' | 'config'>, serves: boolean): Promise<Finding> {
  const { listen } = site.config.gate
  const place = splitEndpoint(listen)
  if (place === null) return failed('gate', listen, 'It is no address and port.', setCommand(site, '--gate-listen ADDRESS:PORT'))
  const server = createServer()
  try {
    server.listen({ host: place.host, port: place.port, exclusive: true })
    await once(server, 'listening')
    await new Promise((resolve) => server.close(resolve))
    return ok('gate', listen, 'The Hub can listen there.')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE')
      return serves
        ? ok('gate', listen, 'The Hub listens there.')
        : failed('gate', listen, 'Something else listens there.', `ss -tlnp 'sport = :${place.port}', or ${setCommand(site, '--gate-listen ADDRESS:PORT')}`)
    if (code === 'EADDRNOTAVAIL')
      return failed('gate', listen, 'This host does not have that address.', `ip address; then ${setCommand(site, '--gate-listen ADDRESS:PORT')}`)
    if (code === 'EACCES') return failed('gate', listen, 'The Hub may not listen on that port.', setCommand(site, `--gate-listen ${place.host}:7443`))
    return failed('gate', listen, `The Hub cannot listen there (${code ?? String(error)}).`, setCommand(site, '--gate-listen ADDRESS:PORT'))
  }
}

function advertised(site: Pick<Site, 'name' | 'config'>, own: readonly string[]): Finding[] {
  const { gate, network, bridge } = site.config
  const { host } = splitEndpoint(gate.advertised) ?? { host: '' }
  const fix = setCommand(site, '--gate ADDRESS:PORT')
  const [area, name] = ['gate', `${gate.advertised} for machines`]
  if (isNowhere(host)) return [failed(area, name, 'A machine would look for the Hub in itself, or nowhere.', fix)]
  if (network.kind === 'static' && isIPv4(host) && network.gateway === null && !isInSubnet(host, network.subnet)) {
    const detail = `It is outside ${network.subnet}, and machines have no gateway that leads there.`
    return [
      failed(
        area,
        name,
        detail,
        `Give the Hub an address on ${bridge}, or machines a gateway: ${setCommand(site, `--network ${network.subnet} --first ${network.first} --gateway ADDRESS`)}`,
      ),
    ]
  }
  const listen = splitEndpoint(gate.listen)?.host ?? ''
  if (!own.includes(host)) return [warning(area, name, `This host does not have that address; something must lead from it to ${gate.listen}.`, fix)]
  if (listen !== host && listen !== '0.0.0.0' && listen !== '::')
    return [failed(area, name, `The Hub listens on ${listen} alone.`, setCommand(site, `--gate-listen ${gate.advertised}`))]
  return [ok(area, name, 'This host has that address.')]
}

const isNowhere = (host: string): boolean => /^(?:0\.|127\.|2(?:2[4-9]|[3-5]\d)\.)/.test(host) || host === '::' || host === '::1'

const ownAddresses = (): string[] => Object.values(networkInterfaces()).flatMap((cards) => (cards ?? []).map(({ address }) => address))
