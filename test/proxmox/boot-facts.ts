/** What a guest is told by its start, as far as every kind of guest reads it alike. */
import type { Boot } from './guests.ts'

/** The serial number in a VM's `smbios1`; its text is in base64 where the option says so. */
export function serialOf(boot: Boot): string {
  const options = new Map((boot.config['smbios1'] ?? '').split(',').map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]))
  const serial = options.get('serial') ?? ''
  return options.get('base64') === '1' ? Buffer.from(serial, 'base64').toString('utf8') : serial
}

/** A name that the kernel takes: a VM's may hold blanks. */
export const hostnameOf = (boot: Boot): string => boot.name.replace(/[^A-Za-z0-9.-]+/g, '-').slice(0, 63)
