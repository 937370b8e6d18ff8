/** Which readings of meters are old enough to be added up, and into which days. */

export const DAY_MS = 86_400_000
/** Whole days (UTC) for which each reading stays as it was. */
export const READINGS_KEPT_DAYS = 7

export const dayOf = (atMs: number): number => Math.floor(atMs / DAY_MS) * DAY_MS

/** Readings before this are added up: the beginning of a day, so that a day is added up when all of it is old enough. */
export const summedBefore = (nowMs: number): number => dayOf(nowMs) - READINGS_KEPT_DAYS * DAY_MS
