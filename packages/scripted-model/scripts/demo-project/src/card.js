import { ageOn } from './age.js'

/** The text of a card for a person, as it reads on a day. */
export function cardFor({ name, birthDate }, today = new Date()) {
  const age = ageOn(birthDate, today)
  return isBirthday(birthDate, today) ? `Happy birthday, ${name}! You are ${age} today.` : `Thinking of you, ${name}, at ${age} years of age.`
}

function isBirthday(birthDate, today) {
  const birth = new Date(birthDate)
  return birth.getUTCMonth() === today.getUTCMonth() && birth.getUTCDate() === today.getUTCDate()
}
