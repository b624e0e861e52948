/** All works, in the order of the table. */
import { blockStep } from './block-step';
import { mlpStep } from './mlp-step';
import { product } from './product';
import type { Work } from './work';

/** What is measured. */
export const works: readonly Work[] = [
  product(256, 'nn'),
  product(512, 'nn'),
  product(1024, 'nn'),
  product(512, 'tn'),
  product(512, 'nt'),
  product(1024, 'tn'),
  product(1024, 'nt'),
  mlpStep(),
  blockStep(),
];
