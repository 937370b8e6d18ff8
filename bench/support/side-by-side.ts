/** Samples of ours, each with one of its baseline right after it, so that both meet the same load from other work. */
export async function sideBySide<O, B>(count: number, ours: () => Promise<O>, bare: () => Promise<B>): Promise<{ ours: O[]; bare: B[] }> {
  const samples: { ours: O[]; bare: B[] } = { ours: [], bare: [] }
  for (let time = 0; time < count; time++) {
    samples.ours.push(await ours())
    samples.bare.push(await bare())
  }
  return samples
}
