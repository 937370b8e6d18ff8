/** What the scripted model says in more than one test of the agent. */

export const EDIT_AND_TEST = `
conversations:
  - match: Do it
    replies:
      - text: I look first.
        tools:
          - { name: list_files, input: {} }
          - { name: read_file, input: { path: a.txt } }
      - text: Now the change.
        tools:
          - { name: edit_file, input: { path: a.txt, old_text: one, new_text: two } }
          - { name: shell, input: { command: "cat a.txt" } }
      - text: It says two now.
`

/** The first command goes on until the test writes the file `go`. */
export const SLOW = `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: shell, input: { command: "touch started; while [ ! -e go ]; do sleep 0.05; done; echo x >> done.txt" } }]
      - tools: [{ name: shell, input: { command: "echo y >> done.txt" } }]
      - text: Done.
`
