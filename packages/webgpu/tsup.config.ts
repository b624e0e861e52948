import { esmPackage } from '../../tsup.base';

export default esmPackage({
  entry: ['src/index.ts', 'src/gpu-node.ts', 'src/gpu-browser.ts'],
  external: ['#gpu', 'webgpu'],
});
