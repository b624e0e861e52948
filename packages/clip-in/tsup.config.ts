import { esmPackage } from '../../tsup.base';

export default esmPackage({ entry: ['src/index.ts', 'src/cli.ts'] });
