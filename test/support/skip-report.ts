import type { Reporter, TestModule } from 'vitest/node'

/** Lists what was skipped, and why, after everything else: a suite without its server must not pass for a green one. */
export class SkipReport implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const countByLine = new Map<string, number>()
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const result = test.result()
        const reason =
          test.options.mode === 'todo' ? 'to do' : (result.state === 'skipped' && result.note) || 'no reason given'
        const suite = test.parent.type === 'suite' ? test.parent.fullName : test.name
        const line = `${module.relativeModuleId} > ${suite} (${reason})`
        countByLine.set(line, (countByLine.get(line) ?? 0) + 1)
      }
    }
    if (countByLine.size === 0) return
    const lines = [...countByLine].map(([line, count]) => `  skipped: ${line}${count > 1 ? `, ${count} tests` : ''}`)
    process.stdout.write(`\n${lines.join('\n')}\n`)
  }
}
