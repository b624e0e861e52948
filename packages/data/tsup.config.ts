import { esmPackage } from '../../tsup.base';

/** The worker lies beside the index, where `prefetch` looks for it. */
export default esmPackage({ entry: { index: 'src/index.ts', worker: 'src/batches/worker.ts' } });
