import { deviceConformance } from '@clipin/testing';
import { softwareDevice } from './test-support';

deviceConformance('webgpu, software schedules', () => softwareDevice('software'), { cases: 8, ieee: false });
deviceConformance('webgpu, hardware schedules', () => softwareDevice('hardware'), { cases: 5, ieee: false });
