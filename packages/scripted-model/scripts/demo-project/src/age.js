/**
 * The age in whole years on a day. Dates are read in UTC, so that a card says the same everywhere.
 *
 * @param {string | Date} birthDate
 * @param {Date} today
 */
export function ageOn(birthDate, today = new Date()) {
  const birth = new Date(birthDate)
  return today.getUTCFullYear() - birth.getUTCFullYear()
}
