/** What an agent is told when its money is out and its work is wound down, and when there is money again. */

export const CLOSING = `<notice>
The money for this work is used up. A small amount is left for closing it, and for nothing else. Do not go on with the task. Leave the project in a state that works (save what is half done, undo what is broken) with as few tool calls as possible, best with none. Then end with a short report: what is done, what is open, and how to go on.
</notice>`

export const MONEY_AGAIN = `<notice>
There is money again. Go on with the task from where you left it.
</notice>`

/** More answers than this are not asked for, however much is left of what was set aside. */
export const CLOSING_STEPS_MAX = 6

/** Why, when the refusal itself is not known any more. */
export const USED_UP = 'The budget of the run is used up.'
