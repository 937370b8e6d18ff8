/** autovibe substrate template: what machines are cloned from, made on the cluster. */
import type { Command } from 'commander'
import { act, define, group } from './define.ts'

/** Where a template is made, which is also what its token must be let at. */
interface PlaceOptions {
  readonly node?: string
  readonly imageStorage?: string
  readonly bridge?: string
  readonly vmid?: string
}
export interface GrantsOptions extends PlaceOptions {
  readonly for?: string
}
export interface TemplateOptions extends PlaceOptions {
  readonly ip?: string
  readonly nameserver?: string
  readonly disk?: string
  readonly image?: string
  readonly imageSha256?: string
  readonly tokenId?: string
  readonly tokenEnv?: string
  readonly tokenStdin?: boolean
  readonly use?: boolean
  readonly abandon?: boolean
}

export const withPlace = (command: Command): Command =>
  command
    .option('--node <node>', 'of a template: the node on which it is made')
    .option('--image-storage <storage>', 'of a template: where its image lies meanwhile; takes the contents import and iso')
    .option('--bridge <bridge>', 'of a template: a bridge that leads to the mirrors of packages, for the making alone (vmbr0)')
    .option('--vmid <vmid>', 'of a template: its number (that with which the cluster was brought)')

export const templateCommand = () =>
  group('template', 'Make what machines are cloned from', [
    act<TemplateOptions>(
      withPlace(
        define(
          'build',
          'Make the template on a node, or go on making it',
          [
            'Takes a cloud image of Ubuntu, has a VM install itself from it with the guest of this version, and makes a template of that. It takes some minutes; the same command again goes on where one was ended, whichever way.',
            'The token is one for this alone ("substrate grants NAME --for template" shows the lines that make it) and is kept nowhere. Its secret is read from --token-env or --token-stdin, or a terminal is asked; never from an argument.',
          ].join('\n'),
        ).argument('<name>', 'of the cluster'),
      )
        .option('--ip <ip>', 'its address on that bridge: dhcp, or ADDRESS/BITS,gw=ADDRESS (dhcp)')
        .option('--nameserver <address>', 'with an address: who knows names')
        .option('--disk <gib>', 'of its disk; a machine’s own is added to that (12)')
        .option('--image <url>', 'the cloud image (Ubuntu 24.04, as it is now)')
        .option('--image-sha256 <sum>', 'of the image (as SHA256SUMS beside it says)')
        .option('--token-id <id>', 'the token of the making: USER@REALM!TOKEN')
        .option('--token-env <variable>', 'take its secret from this environment variable')
        .option('--token-stdin', 'read its secret from standard input')
        .option('--use', 'new machines are cloned from it afterwards')
        .option('--abandon', 'take away all that an unfinished one has left, and make nothing'),
      async () => (await import('../actions/substrate-template.ts')).templateBuild,
    ),
  ])
