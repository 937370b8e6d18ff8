/** The least that is enough: privileges on kinds of places, computed from what each endpoint checks. */

/** Proxmox's permission expression, as its description writes it, without the parts that depend on who asks. */
export type Check =
  | readonly ['perm', path: string, privileges: readonly string[]]
  | readonly ['perm', path: string, privileges: readonly string[], 'any', 1]
  | readonly ['perm', path: string, privileges: readonly string[], 'require_param', string]
  | readonly ['and' | 'or', ...Check[]]

/** One privilege on one kind of place, written `place privilege`: sets of text compare by themselves. */
export type Grant = string
export const grant = (place: string, privilege: string): Grant => `${place} ${privilege}`

/** Where grants on a path of the description are given; each path leads to one kind of place. */
export type PlaceOf = (path: string) => string

/** Whether a check is passed with these grants. */
export function passes(check: Check, held: ReadonlySet<Grant>, placeOf: PlaceOf): boolean {
  if (check[0] === 'and') return check.slice(1).every((each) => passes(each as Check, held, placeOf))
  if (check[0] === 'or') return check.slice(1).some((each) => passes(each as Check, held, placeOf))
  const [, path, privileges, option] = check as readonly ['perm', string, readonly string[], string?]
  const has = (privilege: string): boolean => held.has(grant(placeOf(path), privilege))
  return option === 'any' ? privileges.some(has) : privileges.every(has)
}

/**
 * A set that passes all checks and none of which can be left out. What a check wants in any case comes first; where there is a choice that
 * is not yet made by then, the first that the check names is taken: Proxmox names the narrow privilege before the broad one.
 */
export function leastGrants(checks: readonly Check[], placeOf: PlaceOf): Set<Grant> {
  const held = new Set(checks.flatMap((check) => wantedAnyway(check, placeOf)))
  for (const check of checks) if (!passes(check, held, placeOf)) for (const each of firstWay(check, held, placeOf)) held.add(each)
  for (const each of [...held]) {
    held.delete(each)
    if (!checks.every((check) => passes(check, held, placeOf))) held.add(each)
  }
  return held
}

function wantedAnyway(check: Check, placeOf: PlaceOf): Grant[] {
  if (check[0] === 'and') return check.slice(1).flatMap((each) => wantedAnyway(each as Check, placeOf))
  if (check[0] === 'or') return []
  const [, path, privileges, option] = check as readonly ['perm', string, readonly string[], string?]
  return option === 'any' && privileges.length > 1 ? [] : privileges.map((privilege) => grant(placeOf(path), privilege))
}

/** The grants of the first way through, without what is passed already. */
function firstWay(check: Check, held: ReadonlySet<Grant>, placeOf: PlaceOf): Grant[] {
  if (passes(check, held, placeOf)) return []
  if (check[0] === 'and') return check.slice(1).flatMap((each) => firstWay(each as Check, held, placeOf))
  if (check[0] === 'or') return check.length > 1 ? firstWay(check[1] as Check, held, placeOf) : []
  const [, path, privileges, option] = check as readonly ['perm', string, readonly string[], string?]
  return (option === 'any' ? privileges.slice(0, 1) : privileges).map((privilege) => grant(placeOf(path), privilege))
}
