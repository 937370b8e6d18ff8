/** Names for machines that nobody named: an adjective and an animal, easy to say and to type. */

const ADJECTIVES = (
  'able amber brave brisk calm clever coral crisp deft eager early fair fleet fond gentle glad golden hardy honest jolly keen kind lively loyal ' +
  'lucid mellow merry mild neat nimble noble patient plucky polite prime proud quick quiet ready royal sage sharp silver sleek snug solid spry ' +
  'steady stout sunny sure swift tidy true vivid warm wise witty young zesty bold bright cosmic dapper'
).split(' ')
const ANIMALS = (
  'badger bat bear beaver bee bison camel cat cheetah crab crane crow deer dingo dove duck eagle egret elk falcon ferret finch fox frog gecko ' +
  'goat goose hare hawk heron horse ibex jay koala lark lemur lion llama lynx marten mole moose moth newt okapi otter owl panda pika puffin ' +
  'quail rabbit raven robin salmon seal shrew sparrow stoat swan tapir tiger toad wren'
).split(' ')

/** The name for four bytes of chance: two choose the words; from the second attempt on the others add a number. */
export function machineName(chance: Uint8Array, attempt: number): string {
  const [first = 0, second = 0, third = 0, fourth = 0] = chance
  const name = `${ADJECTIVES[first % ADJECTIVES.length]}-${ANIMALS[second % ANIMALS.length]}`
  return attempt === 0 ? name : `${name}-${third * 256 + fourth}`
}
