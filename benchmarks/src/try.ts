import { findAdapter } from './adapter';
import { webgpuEntries } from './entries';
import { race } from './race';
import { softwareAdapterWorks } from './works';

const a = await findAdapter();
console.log(a);
const t = performance.now();
await race({
  title: 'webgpu',
  entries: webgpuEntries(a),
  works: softwareAdapterWorks.filter((w) => w.name.includes(process.argv[2] ?? '')),
  effort: { rounds: 1, secondsEach: 3 },
  limits: () => undefined,
});
console.log((performance.now() - t) / 1000);
process.exit(0);
