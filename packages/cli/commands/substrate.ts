/** autovibe substrate: what machines are made on, this host or a Proxmox cluster. */
import type { Command } from 'commander'
import { act, define, group } from './define.ts'
import { type GrantsOptions, templateCommand, withPlace } from './substrate-template.ts'

export interface SubstrateOptions {
  readonly url?: readonly string[]
  readonly fingerprint?: readonly string[]
  readonly ca?: string
  readonly tokenId?: string
  readonly tokenEnv?: string
  readonly tokenStdin?: boolean
  readonly node?: readonly string[]
  readonly allNodes?: boolean
  readonly storage?: string
  readonly bridge?: string
  readonly template?: readonly string[]
  readonly vmids?: string
  readonly pool?: string
  readonly gate?: string
  readonly gateListen?: string
  readonly network?: string
  readonly first?: string
  readonly gateway?: string
  readonly nameserver?: string
  readonly cores?: string
  readonly memory?: string
  readonly snapshots?: string
  readonly ram?: boolean
  readonly spread?: boolean
  readonly archive?: string
  readonly archivesKept?: string
}

const NAME = 'its name'

const withOptions = (command: Command): Command =>
  command
    .option('--url <url...>', 'where its nodes answer: https://HOST:8006; each leads to the whole cluster')
    .option('--fingerprint <sha256...>', 'of the certificate of each, in the same order, as pvenode cert info shows it')
    .option('--ca <file>', 'the authority of the certificates in PEM, instead of fingerprints')
    .option('--token-id <id>', 'the API token: USER@REALM!TOKEN')
    .option('--token-env <variable>', 'take its secret from this environment variable')
    .option('--token-stdin', 'read its secret from standard input')
    .option('--node <node...>', 'machines are made on these nodes alone')
    .option('--all-nodes', 'machines are made on every node')
    .option('--storage <storage>', 'where the disks of machines lie')
    .option('--bridge <bridge>', 'what machines are plugged into (vmbr1)')
    .option('--template <vmid...>', 'what machines are cloned from: VMID, or VMID@NODE for each node')
    .option('--vmids <from-to>', 'the numbers of machines (900000-909999)')
    .option('--pool <pool>', 'the pool of machines and templates (autovibe)')
    .option('--gate <address:port>', 'how machines reach the Hub from the bridge')
    .option('--gate-listen <address:port>', 'where the Hub waits for them (0.0.0.0 and the same port)')
    .option('--network <network>', 'dhcp, or the network of the bridge: machines then have addresses by their numbers (dhcp)')
    .option('--first <address>', 'with a network: the address of the first number')
    .option('--gateway <address>', 'with a network: a way out of it; without one there is none')
    .option('--nameserver <address>', 'with a network: who knows names')
    .option('--cores <count>', 'of a machine for which nobody says otherwise (2)')
    .option('--memory <mib>', 'the same, in MiB (4096)')
    .option('--snapshots <count>', 'that one machine keeps on the cluster at once (8)')
    .option('--ram', 'snapshots keep the memory too')
    .option('--no-ram', 'they do not')
    .option('--spread', 'machines of one project keep to different nodes')
    .option('--no-spread', 'they go wherever there is most room')
    .option('--archive <storage>', 'where copies of whole machines go, best a Proxmox Backup Server; none: nowhere')
    .option('--archives-kept <count>', 'of one machine (3)')

export const substrateCommand = () =>
  group('substrate', 'Bring Proxmox clusters, and choose what machines are made on', [
    act<SubstrateOptions>(
      withOptions(
        define(
          'add',
          'Bring a Proxmox cluster',
          [
            'Shows the certificate and asks whether it is the right one, unless --fingerprint or --ca says so. Without --token-id it prints the lines that make a token with the least privileges, and remembers nothing.',
            'The secret of the token is kept encrypted in the Hub. It is read from --token-env or --token-stdin, or a terminal is asked; never from an argument.',
            'What was brought is probed at once; "use" then chooses it.',
          ].join('\n'),
        )
          .argument('<kind>', 'proxmox')
          .argument('<name>', 'a name of your own'),
      ),
      async () => (await import('../actions/substrate-add.ts')).substrateAdd,
    ),
    act<SubstrateOptions>(
      withOptions(
        define(
          'set',
          'Change how a cluster is worked with',
          'What is left out stays as it is; lists are given whole. A Hub that works with it goes by the change from its next start on.',
        ).argument('<name>', NAME),
      ),
      async () => (await import('../actions/substrate-add.ts')).substrateSet,
    ),
    act(define('list', 'List what machines can be made on'), async () => (await import('../actions/substrate.ts')).substrateList),
    act(define('show', 'Show a substrate with all that is set').argument('<name>', NAME), async () => (await import('../actions/substrate.ts')).substrateShow),
    act(
      define(
        'probe',
        'Look whether a cluster is as it must be',
        'Version, token, nodes, storage, bridge, firewall, templates, numbers and the way of machines to the Hub. Nothing is changed. The exit code is 1 when something failed; warnings are none.',
      ).argument('<name>', NAME),
      async () => (await import('../actions/substrate.ts')).substrateProbe,
    ),
    act<GrantsOptions>(
      withPlace(
        define(
          'grants',
          'Show the lines that give its token the least privileges',
          'An administrator types them on a node of the cluster. With --for template they make a token for "template build" alone, and the lines that take it away again are shown too.',
        ).argument('<name>', NAME),
      ).option('--for <what>', 'hub, or template (hub)'),
      async () => (await import('../actions/substrate.ts')).substrateGrants,
    ),
    templateCommand(),
    act(
      define(
        'use',
        'Make machines on it from the next start of the Hub on',
        'Refused while machines live on another one, which the Hub could not reach any more. "local" is this host.',
      ).argument('<name>', NAME),
      async () => (await import('../actions/substrate.ts')).substrateUse,
    ),
    act(
      define('remove', 'Forget a cluster with its token', 'Refused while the Hub works with it. Nothing is changed on the cluster.').argument('<name>', NAME),
      async () => (await import('../actions/substrate.ts')).substrateRemove,
    ),
  ])
