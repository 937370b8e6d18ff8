/** Which of two words counts of what a VM took: that of its own guest, which is hostile input, or that of the cluster around it. */

/** The larger of the two, and no less than what counted before: a guest that is silent, lies or boots again takes nothing back. */
export const countedCpuSeconds = (before: number, toldS: number | null, seenS: number): number => Math.max(before, amount(toldS), amount(seenS))

/** What a VM takes by itself, its kernel and its guest, is no lie of the guest, which tells of its agent alone. */
const OWN_CORES = 0.1
const OWN_S = 30

/** Whether a guest tells much less than its cluster saw in all that time. */
export const isDoubtful = (toldS: number, seenS: number, livedS: number): boolean =>
  amount(toldS) < amount(seenS) / 2 && amount(seenS) - amount(toldS) > OWN_S + OWN_CORES * Math.max(0, livedS)

const amount = (value: number | null): number => (value !== null && Number.isFinite(value) && value > 0 ? value : 0)
