/** A vitest reporter that prints, last of all, how many property cases the run tried. See `@clipin/testing`. */
import type { Reporter, TestModule } from 'vitest/node';

export default class PropertyCount implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    let properties = 0;
    let cases = 0;
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const meta = test.meta();
        properties += meta.properties ?? 0;
        cases += meta.propertyCases ?? 0;
      }
    }
    console.log(
      `property cases: ${cases.toLocaleString('en-US')} in ${properties.toLocaleString('en-US')} properties\n`,
    );
  }
}
