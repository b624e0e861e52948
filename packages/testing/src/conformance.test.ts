/** The reference device passes its own tests: the suite runs, and its cases are in bounds. */
import { createReferenceDevice } from '@clipin/kernel';
import { deviceConformance } from './conformance';

deviceConformance('the reference device', async () => createReferenceDevice());
