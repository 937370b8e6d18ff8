/** IP addresses as texts and as numbers. One spelling of IPv4 is read, canonical dotted decimal; whoever writes another (2130706433, 0x7f.1, 010.0.0.1) wants it to be taken for something else. */

export interface Address {
  readonly family: 4 | 6
  /** 32 or 128 bits. */
  readonly bits: bigint
  /** The canonical text: dotted decimal, or IPv6 by RFC 5952. */
  readonly text: string
}

/** Undefined for anything that is no address, an IPv6 zone (`%eth0`) included. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > LONGEST) return undefined
  return text.includes(':') ? readIpv6(text) : readIpv4(text)
}

/** The most characters that an address takes: eight groups, the last two as dotted decimal. */
const LONGEST = 45
const GROUPS = 8

function readIpv4(text: string): Address | undefined {
  const bits = ipv4Bits(text)
  return bits === undefined ? undefined : { family: 4, bits, text }
}

function ipv4Bits(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let bits = 0n
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined
    bits = (bits << 8n) | BigInt(part)
  }
  return bits
}

function readIpv6(text: string): Address | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head = '', tail] = halves
  const before = readGroups(head, tail === undefined)
  const after = tail === undefined ? [] : readGroups(tail, true)
  if (!before || !after) return undefined
  const missing = GROUPS - before.length - after.length
  // `::` stands for at least one group.
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  const groups = [...before, ...Array<number>(missing).fill(0), ...after]
  return { family: 6, bits: groups.reduce((bits, group) => (bits << 16n) | BigInt(group), 0n), text: writeIpv6(groups) }
}

/** The groups between colons; an IPv4 address may stand for the last two, where the text ends with them. */
function readGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (isEnd && index === parts.length - 1 && part.includes('.')) {
      const bits = ipv4Bits(part)
      if (bits === undefined) return undefined
      groups.push(Number(bits >> 16n), Number(bits & 0xffffn))
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}

/** Lower case, no leading zeros, the first longest run of at least two zero groups as `::`. */
function writeIpv6(groups: readonly number[]): string {
  let [from, length] = [0, 1]
  for (let start = 0; start < GROUPS; start++) {
    let end = start
    while (end < GROUPS && groups[end] === 0) end++
    if (end - start > length) [from, length] = [start, end - start]
  }
  const words = groups.map((group) => group.toString(16))
  if (length === 1) return words.join(':')
  return `${words.slice(0, from).join(':')}::${words.slice(from + length).join(':')}`
}
