/** The limit of a budget that nobody has limited: far above any sum, far below what a bigint column holds. */
export const UNLIMITED = 2n ** 62n
