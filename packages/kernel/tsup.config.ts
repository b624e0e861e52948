import { esmPackage } from '../../tsup.base';

export default esmPackage();
