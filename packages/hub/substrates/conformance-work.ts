/** What machines do to their trees in the conformance suite: the awkward, the sly and the random. */

/** Names, kinds and modes that trees really hold; every later scene builds on it. */
export const AWKWARD = `
cd project
mkdir -p deep/er/est empty 'with space' locked gone opaque/old
printf one >deep/er/est/file; printf two >'with space/größe'; printf three >"$(printf 'bad\\377name')"; printf four >'back\\slash'; printf 'five' >"$(printf 'new\\nline')"
printf run >tool; chmod 755 tool; printf secret >locked/key; chmod 600 locked/key
ln -s ../home target; ln -s nowhere dangling; ln -s "$(printf 'to\\376')" badlink
printf x >gone/a; printf y >opaque/old/b; printf z >opaque/c; printf k >kind; printf h >first; ln first second; : >nothing
mkfifo pipe; printf dot >../home/.hidden`

export const SECOND = `
cd project
rm -r gone; rm -r opaque; mkdir opaque; printf new >opaque/c
mv deep moved; mv 'with space/größe' tool2; rm kind; mkdir kind; printf in >kind/er; rm -r empty; printf file >empty
chmod 700 tool; printf 'more' >>first; rm dangling; ln -s elsewhere dangling; rm "$(printf 'bad\\377name')"
touch -d @1000000000 second; printf bytes >same; touch -d @1000000000 same; mkdir -p a/b/c/d`

/** Same size, same time as before, other bytes. */
export const FORGED = `cd project; printf BYTES >same; touch -d @1000000000 same; : >>nothing; rm -r a/b; mkdir a/b; printf q >a/b/c`

/** A script of thirty steps that follow from the seed: files and folders made, changed, moved, replaced and removed under few names, so that they meet. */
export function randomWork(seed: number): string {
  let state = seed * 2654435761
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const path = (): string => ['project', ...Array.from({ length: 1 + next(3) }, () => 'abc'[next(3)] ?? 'a')].join('/')
  const steps = Array.from({ length: 30 }, (_, step) => {
    const [one, other] = [path(), path()]
    return [
      `mkdir -p ${one}`,
      `echo ${seed}.${step} >${one}`,
      `echo more >>${one}`,
      `rm -rf ${one}`,
      `mv ${one} ${other}`,
      `rm -rf ${one}; mkdir ${one}; echo ${step} >${one}/c`,
      `ln -sfn ${other} ${one}`,
      `chmod ${700 + next(8)} ${one}`,
      `cp -a ${one} ${other}`,
    ][next(9)]
  })
  return steps.map((step) => `{ ${step}; } 2>/dev/null || true`).join('\n')
}
