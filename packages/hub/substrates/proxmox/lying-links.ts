/** For tests: guests that are linked really, and then tell of themselves what the test says. */
import type { Guest, GuestLinks, GuestState } from './guest-links.ts'

/** May keep silent until the signal. */
export type Lie = (state: GuestState, signal: AbortSignal) => GuestState | Promise<GuestState>

/** `lie` is asked at each telling; null: the truth. */
export function lyingLinks(links: GuestLinks, lie: () => Lie | null): GuestLinks {
  const lying = (guest: Guest): Guest =>
    instead(guest, {
      state: async (signal) => {
        const state = await guest.state(signal)
        return (await lie()?.(state, signal)) ?? state
      },
    })
  return instead(links, {
    linked: async (machineId, withinMs, signal) => lying(await links.linked(machineId, withinMs, signal)),
    current: (machineId) => {
      const guest = links.current(machineId)
      return guest && lying(guest)
    },
  })
}

/** As of a guest that takes a question and never answers. */
export const silence: Lie = (_state, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))

function instead<T extends object>(whole: T, some: Partial<T>): T {
  return new Proxy(whole, {
    get: (target, key) => {
      const value = Reflect.get(key in some ? some : target, key) as unknown
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
