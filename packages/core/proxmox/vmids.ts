/** Which number the next VM gets: of the Hub's own range, free, and as far as can be from the last ones given, for a call that stalled may still make a VM of an old number. */

export interface VmidRange {
  readonly from: number
  /** Inclusive. */
  readonly to: number
}

/** The first free one after `after`, around the range; null when all are taken. */
export function nextVmid({ from, to }: VmidRange, after: number, isTaken: (vmid: number) => boolean): number | null {
  const size = to - from + 1
  const start = after >= from && after <= to ? after - from + 1 : 0
  for (let step = 0; step < size; step += 1) {
    const vmid = from + ((start + step) % size)
    if (!isTaken(vmid)) return vmid
  }
  return null
}
